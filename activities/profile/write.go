package profile

import (
	"context"
	"strconv"

	"rpo/activities/store"
	"rpo/schemas"
)

// ShardSize is how many of n profiles a shard holds by default: few enough for 8
// shards or more where there are so many profiles, and at most 200.
func ShardSize(n int) int { return min(max(1, (n+15)/16), 200) }

// Write stores an import as shards of at most profilesPerShard profiles with
// their turns, the train split before the eval split, no shard of both, and
// quarantined rows on the shards from number 0 on. Objects, job id and manifest
// depend on the rows alone: writing the same import again changes nothing.
//
// An import without a profile is refused, and nothing is written.
func Write(ctx context.Context, s store.Store, in Imported, profilesPerShard int) (manifestURI string, m schemas.Manifest, err error) {
	if profilesPerShard < 1 {
		return "", m, schemas.Errorf(schemas.InvalidInput, "import: profiles per shard must be at least 1, it is %d", profilesPerShard)
	}
	if len(in.Profiles) == 0 {
		reason := "there was none"
		if len(in.Quarantined) > 0 {
			reason = "the first one was set aside because " + in.Quarantined[0].Reason
		}
		return "", m, schemas.Errorf(schemas.InvalidInput, "import: none of %d rows became a profile: %s", in.Books.In, reason)
	}
	if !in.Books.Closed() {
		return "", m, schemas.Errorf(schemas.Internal, "import: the books do not close: %+v", in.Books)
	}
	turns := map[string][]schemas.Turn{}
	for _, t := range in.Turns {
		turns[t.ProfileID] = append(turns[t.ProfileID], t)
	}
	m = schemas.Manifest{Stage: importStage, Books: in.Books, Counts: map[string]int64{"turns": int64(len(in.Turns))}}
	var objects []schemas.Object
	for _, split := range []string{schemas.SplitTrain, schemas.SplitEval} {
		var profiles []schemas.Profile
		for _, p := range in.Profiles {
			if p.Split == split {
				profiles = append(profiles, p)
			}
		}
		m.Counts[split+"_profiles"] = int64(len(profiles))
		for start := 0; start < len(profiles); start += profilesPerShard {
			part := profiles[start:min(start+profilesPerShard, len(profiles))]
			shard := schemas.ManifestShard{Shard: len(m.Shards), Split: split, Objects: map[string]schemas.Object{}}
			var rows []schemas.Turn
			for _, p := range part {
				rows = append(rows, turns[p.ProfileID]...)
			}
			if err := put(ctx, s, &shard, &objects, schemas.TableProfile, part); err != nil {
				return "", schemas.Manifest{}, err
			}
			if err := put(ctx, s, &shard, &objects, schemas.TableTurn, rows); err != nil {
				return "", schemas.Manifest{}, err
			}
			m.Shards = append(m.Shards, shard)
		}
	}
	// Quarantined rows fill the shards in order, no object larger than it must be.
	most := max(profilesPerShard, (len(in.Quarantined)+len(m.Shards)-1)/len(m.Shards))
	for i := 0; i*most < len(in.Quarantined); i++ {
		rows := in.Quarantined[i*most : min((i+1)*most, len(in.Quarantined))]
		if err := put(ctx, s, &m.Shards[i], &objects, schemas.TableQuarantine, rows); err != nil {
			return "", schemas.Manifest{}, err
		}
	}
	m.Job = schemas.ID(importStage, strconv.Itoa(profilesPerShard), schemas.Hash(objects))
	manifestURI, err = store.PutManifest(ctx, s, m)
	if err != nil {
		return "", schemas.Manifest{}, err
	}
	return manifestURI, m, nil
}

func put[T any](ctx context.Context, s store.Store, shard *schemas.ManifestShard, objects *[]schemas.Object, table string, rows []T) error {
	o, err := store.PutRows(ctx, s, table, rows)
	if err != nil {
		return err
	}
	shard.Objects[table] = o
	*objects = append(*objects, o)
	return nil
}
