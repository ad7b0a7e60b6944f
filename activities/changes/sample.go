package changes

import (
	"context"
	"crypto/sha256"
	"slices"

	"rpo/activities/store"
	"rpo/schemas"
)

// maxShards bounds how many shards a sample is drawn from.
const maxShards = 20

// drawn are the sampled turns of one shard with the rows that belong to them. has
// names the tables that the shard has.
type drawn struct {
	turns     []schemas.Turn
	profiles  []schemas.Profile
	responses []schemas.Response
	verdicts  []schemas.Verdict
	opposites []schemas.Opposite
	pairs     []schemas.Pair
	has       map[string]bool
}

// draw takes about n turns of a manifest, evenly over its shards and always the
// same ones.
func draw(ctx context.Context, s store.Store, m schemas.Manifest, n int) (out []drawn, err error) {
	var shards []schemas.ManifestShard
	for _, shard := range m.Shards {
		if o, ok := shard.Objects[schemas.TableTurn]; ok && o.Rows > 0 {
			shards = append(shards, shard)
		}
	}
	take := min(len(shards), maxShards, n)
	for i := range take {
		shard := shards[i*len(shards)/take]
		d, err := drawShard(ctx, s, shard, n*(i+1)/take-n*i/take)
		if err != nil {
			return nil, err
		}
		out = append(out, d)
	}
	return out, nil
}

func drawShard(ctx context.Context, s store.Store, shard schemas.ManifestShard, n int) (d drawn, err error) {
	d.has = map[string]bool{}
	turns, err := rowsOf[schemas.Turn](ctx, s, shard, schemas.TableTurn, &d, func(schemas.Turn) bool { return true })
	if err != nil {
		return d, err
	}
	// By the hash of their ids: those of one dialogue or profile stand together.
	slices.SortFunc(turns, func(a, b schemas.Turn) int {
		x, y := sha256.Sum256([]byte(a.TurnID)), sha256.Sum256([]byte(b.TurnID))
		return slices.Compare(x[:], y[:])
	})
	d.turns = turns[:min(n, len(turns))]
	ofTurn, ofProfile, ofConstraint := map[string]bool{}, map[string]bool{}, map[string]bool{}
	for _, t := range d.turns {
		ofTurn[t.TurnID], ofProfile[t.ProfileID] = true, true
		for _, c := range t.Constraints {
			ofConstraint[c.ConstraintID] = true
		}
	}
	if d.profiles, err = rowsOf(ctx, s, shard, schemas.TableProfile, &d, func(r schemas.Profile) bool { return ofProfile[r.ProfileID] }); err != nil {
		return d, err
	}
	if d.responses, err = rowsOf(ctx, s, shard, schemas.TableResponse, &d, func(r schemas.Response) bool { return ofTurn[r.TurnID] }); err != nil {
		return d, err
	}
	if d.verdicts, err = rowsOf(ctx, s, shard, schemas.TableVerdict, &d, func(r schemas.Verdict) bool { return ofTurn[r.TurnID] }); err != nil {
		return d, err
	}
	if d.opposites, err = rowsOf(ctx, s, shard, schemas.TableOpposite, &d, func(r schemas.Opposite) bool { return ofConstraint[r.ConstraintID] }); err != nil {
		return d, err
	}
	d.pairs, err = rowsOf(ctx, s, shard, schemas.TablePair, &d, func(r schemas.Pair) bool { return ofTurn[r.TurnID] })
	return d, err
}

func rowsOf[T any](ctx context.Context, s store.Store, shard schemas.ManifestShard, table string, d *drawn, keep func(T) bool) (out []T, err error) {
	o, ok := shard.Objects[table]
	if !ok {
		return nil, nil
	}
	d.has[table] = true
	rows, err := store.GetRows[T](ctx, s, o)
	for _, r := range rows {
		if keep(r) {
			out = append(out, r)
		}
	}
	return out, err
}

// overlay reads from a store and writes to memory.
type overlay struct {
	store.Store
	mem *store.Memory
}

// Overlay is a store that reads from s and writes to memory.
func Overlay(s store.Store) store.Store { return newOverlay(s) }

func newOverlay(s store.Store) overlay { return overlay{s, store.NewMemory("overlay")} }

func (o overlay) Put(ctx context.Context, key string, data []byte) error {
	return o.mem.Put(ctx, key, data)
}

func (o overlay) PutIfAbsent(ctx context.Context, key string, data []byte) (bool, error) {
	return o.mem.PutIfAbsent(ctx, key, data)
}

func (o overlay) Get(ctx context.Context, key string) ([]byte, error) {
	if there, _ := o.mem.Exists(ctx, key); there {
		return o.mem.Get(ctx, key)
	}
	return o.Store.Get(ctx, key)
}

func (o overlay) Head(ctx context.Context, key string) (int64, string, error) {
	if there, _ := o.mem.Exists(ctx, key); there {
		return o.mem.Head(ctx, key)
	}
	return o.Store.Head(ctx, key)
}

// Delete never reaches the store.
func (o overlay) Delete(ctx context.Context, key string) error { return o.mem.Delete(ctx, key) }

// shardOf writes tables as the one shard of a manifest and names it as a stage's.
func shardOf(ctx context.Context, o overlay, stage string, generation int64, put ...func(*schemas.ManifestShard) error) (store.Shard, error) {
	shard := schemas.ManifestShard{Split: schemas.SplitTrain, Objects: map[string]schemas.Object{}}
	for _, add := range put {
		if err := add(&shard); err != nil {
			return store.Shard{}, err
		}
	}
	uri, err := store.PutManifest(ctx, o, schemas.Manifest{Job: schemas.ID("changes"), Stage: "import", Shards: []schemas.ManifestShard{shard}})
	return store.Shard{Job: schemas.ID("changes", stage, uri), Stage: stage, Manifest: uri, Generation: generation}, err
}

func with[T any](ctx context.Context, o overlay, table string, rows []T) func(*schemas.ManifestShard) error {
	return func(shard *schemas.ManifestShard) (err error) {
		shard.Objects[table], err = store.PutRows(ctx, o, table, rows)
		return err
	}
}

// made reads a table that a stage made of its shard, and which rows it set aside.
func made[T any](ctx context.Context, o overlay, shard store.Shard, table string) (rows []T, aside map[string]string, err error) {
	r, ok, err := store.Committed(ctx, o, shard.Job, shard.Stage, shard.Number)
	if err != nil || !ok {
		return nil, nil, err
	}
	aside = map[string]string{}
	if q, ok := r.Outputs[schemas.TableQuarantine]; ok {
		set, err := store.GetRows[schemas.Quarantined](ctx, o, q)
		if err != nil {
			return nil, nil, err
		}
		for _, row := range set {
			aside[row.RowID] = row.Reason
		}
	}
	rows, err = store.GetRows[T](ctx, o, r.Outputs[table])
	return rows, aside, err
}
