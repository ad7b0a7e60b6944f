package main

import (
	"context"
	"fmt"
	"maps"
	"reflect"
	"slices"

	"rpo/activities/store"
	"rpo/schemas"
)

// outcome is what a run made: all that must be as in the undisturbed one.
type outcome struct {
	// Stages are by name.
	Stages map[string]stageOutcome
	// Hash is that of the data set's newest version, Version its number.
	Hash    string
	Version int
}

type stageOutcome struct {
	// Hash is the dataset hash of all objects of the stage's manifest but those of
	// rows that were set aside, whose reasons name addresses.
	Hash string
	// Objects are the sums of the manifest's objects by shard and table.
	Objects map[string]string
	// Rows are the rows by table.
	Rows   map[string]int64
	Books  schemas.Books
	Counts map[string]int64
	// SetAside are the rows in quarantine: table, id and type of error.
	SetAside []string
}

// collect reads all that a run made out of the store and checks it as it goes:
// every object has the bytes that its name says, every id stands once, the books
// close, every shard has one commit record. records are the hashes of these.
func collect(ctx context.Context, s store.Store, results []schemas.StageResult, published schemas.PairResult) (out outcome, records map[unit]string, problems []string, err error) {
	problem := func(format string, args ...any) { problems = append(problems, fmt.Sprintf(format, args...)) }
	out.Stages, records = map[string]stageOutcome{}, map[unit]string{}
	for _, r := range results {
		m, err := store.GetManifest(ctx, s, r.Manifest)
		if err != nil {
			return out, records, problems, err
		}
		stage := stageOutcome{Objects: map[string]string{}, Rows: map[string]int64{}, Books: r.Books, Counts: r.Counts}
		if !r.Books.Closed() || r.Books != m.Books || r.FailedShards != 0 {
			problem("stage %s: books %+v, those of its manifest %+v, %d failed shards", r.Stage, r.Books, m.Books, r.FailedShards)
		}
		var all []schemas.Object
		for _, shard := range m.Shards {
			for table, object := range shard.Objects {
				data, err := s.Get(ctx, object.Key)
				if err != nil {
					return out, records, problems, err
				}
				if hash(data) != object.SHA256 || int64(len(data)) != object.Bytes {
					problem("stage %s: object %s is damaged", r.Stage, object.Key)
				}
				stage.Rows[table] += object.Rows
				if table == schemas.TableQuarantine {
					continue
				}
				stage.Objects[fmt.Sprintf("%d/%s", shard.Shard, table)] = object.SHA256
				all = append(all, object)
			}
		}
		stage.Hash = schemas.Hash(all)
		if stage.SetAside, err = setAside(ctx, s, m); err != nil {
			return out, records, problems, err
		}
		for _, shard := range m.Shards {
			key := fmt.Sprintf("runs/%s/%s/shard-%05d.json", r.Job, r.Stage, shard.Shard)
			data, err := s.Get(ctx, key)
			if err != nil {
				return out, records, problems, err
			}
			records[unit{r.Stage, shard.Shard}] = hash(data)
		}
		if len(m.Shards) != shards {
			problem("stage %s: %d shards, want %d", r.Stage, len(m.Shards), shards)
		}
		twice, err := doubled(ctx, s, r.Stage, m)
		if err != nil {
			return out, records, problems, err
		}
		problems = append(problems, twice...)
		out.Stages[r.Stage] = stage
	}
	v, _, err := store.LatestVersion(ctx, s, published.Dataset)
	if err != nil {
		return out, records, problems, err
	}
	if out.Hash, out.Version = v.Hash, v.Number; v.Hash != published.Hash || v.Number != published.Version {
		problem("data set %s: version %d has hash %s, the stage says version %d with hash %s", published.Dataset, v.Number, v.Hash, published.Version, published.Hash)
	}
	return out, records, problems, nil
}

// setAside lists the rows in quarantine.
func setAside(ctx context.Context, s store.Store, m schemas.Manifest) (out []string, err error) {
	for _, o := range m.Objects(schemas.TableQuarantine) {
		rows, err := store.GetRows[schemas.Quarantined](ctx, s, o)
		if err != nil {
			return nil, err
		}
		for _, r := range rows {
			out = append(out, fmt.Sprintf("%s %s %s", r.Table, r.RowID, r.ErrorType))
		}
	}
	slices.Sort(out)
	return out, nil
}

// doubled finds rows of a stage's own table that stand more than once.
func doubled(ctx context.Context, s store.Store, stage string, m schemas.Manifest) (problems []string, err error) {
	seen := map[string]int{}
	switch stage {
	case "sample":
		err = count(ctx, s, m, schemas.TableResponse, seen, func(r schemas.Response) string { return r.ResponseID })
	case "judge":
		err = count(ctx, s, m, schemas.TableVerdict, seen, func(v schemas.Verdict) string { return v.ResponseID + " " + v.ConstraintID })
	case "reverse":
		err = count(ctx, s, m, schemas.TableOpposite, seen, func(o schemas.Opposite) string { return o.ConstraintID })
	default:
		err = count(ctx, s, m, schemas.TablePair, seen, func(p schemas.Pair) string { return p.PairID })
	}
	for _, id := range slices.Sorted(maps.Keys(seen)) {
		if seen[id] > 1 {
			problems = append(problems, fmt.Sprintf("stage %s: row %s stands %d times", stage, id, seen[id]))
		}
	}
	return problems, err
}

func count[T any](ctx context.Context, s store.Store, m schemas.Manifest, table string, seen map[string]int, id func(T) string) error {
	for _, o := range m.Objects(table) {
		rows, err := store.GetRows[T](ctx, s, o)
		if err != nil {
			return err
		}
		for _, row := range rows {
			seen[id(row)]++
		}
	}
	return nil
}

// differences says in what a run differs from the undisturbed one.
func differences(want, got outcome) (out []string) {
	differ := func(what string, want, got any) {
		if !reflect.DeepEqual(want, got) {
			out = append(out, fmt.Sprintf("%s: %v, undisturbed %v", what, got, want))
		}
	}
	differ("dataset hash", want.Hash, got.Hash)
	differ("version", want.Version, got.Version)
	for _, name := range stageNames {
		w, g := want.Stages[name], got.Stages[name]
		differ(name+": dataset hash", w.Hash, g.Hash)
		differ(name+": books", w.Books, g.Books)
		differ(name+": rows", w.Rows, g.Rows)
		differ(name+": counts", w.Counts, g.Counts)
		differ(name+": rows set aside", w.SetAside, g.SetAside)
		for _, at := range slices.Sorted(maps.Keys(w.Objects)) {
			differ(name+": object "+at, w.Objects[at], g.Objects[at])
		}
	}
	return out
}
