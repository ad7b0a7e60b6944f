package store

import (
	"context"
	"slices"

	"rpo/schemas"
)

// Shard names one unit of a stage's work.
type Shard struct {
	Job        string `json:"job"`
	Stage      string `json:"stage"`
	ConfigHash string `json:"config_hash"`
	// Manifest is the URI of the input, Number the shard's number in it.
	Manifest string `json:"manifest"`
	Number   int    `json:"number"`
	// Generation is the stage's; Allowance is what the work may spend.
	Generation int64             `json:"generation,omitempty"`
	Allowance  schemas.Allowance `json:"allowance,omitzero"`
}

// Work is what a stage does with one shard: it reads Input, puts tables, sets
// rows aside and keeps the books. Nothing of it counts until RunShard commits.
type Work struct {
	Input  schemas.ManifestShard
	Record schemas.CommitRecord

	store       Store
	quarantined []schemas.Quarantined
}

// RunShard does the work on one shard and commits it. A shard that has a commit
// record is not worked on again; of two attempts at the same time the first to
// commit wins and the other adopts the winner's record, which is returned in
// both cases. reused says that the work was not this call's.
func RunShard(ctx context.Context, s Store, shard Shard, do func(context.Context, *Work) error) (r schemas.CommitRecord, reused bool, err error) {
	if r, ok, err := Committed(ctx, s, shard.Job, shard.Stage, shard.Number); err != nil || ok {
		return r, ok, err
	}
	if shard.Allowance.EstimateOnly {
		s = unwritten{s}
	}
	m, err := GetManifest(ctx, s, shard.Manifest)
	if err != nil {
		return r, false, err
	}
	i := slices.IndexFunc(m.Shards, func(in schemas.ManifestShard) bool { return in.Shard == shard.Number })
	if i < 0 {
		return r, false, schemas.Errorf(schemas.NotFound, "shard %d is not in manifest %s", shard.Number, shard.Manifest)
	}
	in := m.Shards[i]
	w := &Work{store: s, Input: in, Record: schemas.CommitRecord{
		Job: shard.Job, Stage: shard.Stage, Shard: shard.Number, Split: in.Split,
		ConfigHash: shard.ConfigHash, CodeVersion: schemas.CodeVersion,
		Outputs: map[string]schemas.Object{}, Counts: map[string]int64{},
	}}
	for table, o := range in.Objects {
		// Later stages join what the earlier ones made; a quarantine is listed
		// by the stage that made it and read by none.
		if table != schemas.TableQuarantine {
			w.Record.Inputs = append(w.Record.Inputs, o.SHA256)
			w.Record.Outputs[table] = o
		}
	}
	slices.Sort(w.Record.Inputs)
	if err := do(ctx, w); err != nil || shard.Allowance.EstimateOnly {
		return r, false, err
	}
	if len(w.quarantined) > 0 {
		if err := PutTable(ctx, w, schemas.TableQuarantine, w.quarantined); err != nil {
			return r, false, err
		}
	}
	r, won, err := Commit(ctx, s, w.Record)
	return r, !won, err
}

// unwritten is a store that takes no rows: those of an estimate are not made.
type unwritten struct{ Store }

func (unwritten) Put(context.Context, string, []byte) error { return nil }

// Table reads one table of the shard's input.
func Table[T any](ctx context.Context, w *Work, table string) ([]T, error) {
	o, ok := w.Input.Objects[table]
	if !ok {
		return nil, schemas.Errorf(schemas.InvalidInput,
			"stage %s needs table %q, which shard %d of its manifest lacks: start it from the stage that makes that table",
			w.Record.Stage, table, w.Input.Shard)
	}
	return GetRows[T](ctx, w.store, o)
}

// PutTable writes one table of the shard's output.
func PutTable[T any](ctx context.Context, w *Work, table string, rows []T) error {
	o, err := PutRows(ctx, w.store, table, rows)
	if err == nil {
		w.Record.Outputs[table] = o
	}
	return err
}

// Quarantine sets a row aside with its reason and what was asked.
func (w *Work) Quarantine(table, rowID string, err error, request string) {
	w.quarantined = append(w.quarantined, schemas.Quarantined{
		Stage: w.Record.Stage, Table: table, RowID: rowID,
		ErrorType: string(schemas.TypeOf(err)), Reason: err.Error(), Request: request,
	})
	w.Record.Books.Quarantined++
}

// Count adds to a number that is summed over the stage.
func (w *Work) Count(name string, n int64) { w.Record.Counts[name] += n }
