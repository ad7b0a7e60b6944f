package requeue

import (
	"context"
	"slices"
	"time"

	"rpo/activities/store"
	"rpo/schemas"
)

// Row is a quarantined row and where it stands.
type Row struct {
	schemas.Quarantined
	Shard int
	// Since is when its shard was committed; nil where the store does not know.
	Since *time.Time
}

// Choice says which quarantined rows are meant. What is empty chooses all.
type Choice struct {
	ErrorTypes []string
	// Since leaves out rows that were set aside earlier, and those of which nobody
	// knows when.
	Since time.Time
	// Until leaves out rows that were set aside later, and those of which nobody knows
	// when.
	Until time.Time
	// Rows are the ids of rows.
	Rows map[string]bool
}

func (c Choice) takes(r Row) bool {
	return (len(c.ErrorTypes) == 0 || slices.Contains(c.ErrorTypes, r.ErrorType)) &&
		(c.Since.IsZero() || r.Since != nil && !r.Since.Before(c.Since)) &&
		(c.Until.IsZero() || r.Since != nil && !r.Since.After(c.Until)) &&
		(c.Rows == nil || c.Rows[r.RowID])
}

// Rows lists the chosen rows that the stage of a manifest set aside, in the order
// of its shards.
func Rows(ctx context.Context, s store.Store, m schemas.Manifest, c Choice) ([]Row, error) {
	var out []Row
	for _, shard := range m.Shards {
		o, ok := shard.Objects[schemas.TableQuarantine]
		if !ok || o.Rows == 0 {
			continue
		}
		rows, err := store.GetRows[schemas.Quarantined](ctx, s, o)
		if err != nil {
			return nil, err
		}
		var since *time.Time
		at, known, err := store.CommittedAt(ctx, s, m.Job, m.Stage, shard.Shard)
		if err != nil {
			return nil, err
		}
		if known {
			since = &at
		}
		for _, q := range rows {
			if r := (Row{q, shard.Shard, since}); c.takes(r) {
				out = append(out, r)
			}
		}
	}
	return out, nil
}

func byShard(rows []Row) map[int][]Row {
	out := map[int][]Row{}
	for _, r := range rows {
		out[r.Shard] = append(out[r.Shard], r)
	}
	return out
}

// Bodies returns the quarantined rows themselves as JSON, by id, where the tables
// of the manifest hold them.
func Bodies(ctx context.Context, s store.Store, m schemas.Manifest, rows []Row) (map[string][]byte, error) {
	out := map[string][]byte{}
	by := byShard(rows)
	for _, shard := range m.Shards {
		ids := map[string]set{} // by table
		for _, r := range by[shard.Shard] {
			table := r.Table
			if table == tableConstraint {
				table = schemas.TableTurn // which holds its turn's constraints
			}
			if ids[table] == nil {
				ids[table] = set{}
			}
			ids[table][r.RowID] = true
		}
		for table, wanted := range ids {
			o, ok := shard.Objects[table]
			if !ok {
				continue
			}
			if err := bodies(ctx, s, table, o, wanted, out); err != nil {
				return nil, err
			}
		}
	}
	return out, nil
}

// tableConstraint is what the reverse stage names the rows of, which stand in turns.
const tableConstraint = "constraint"

func bodies(ctx context.Context, s store.Store, table string, o schemas.Object, wanted set, out map[string][]byte) error {
	switch table {
	case schemas.TableSeed:
		return bodiesOf(ctx, s, o, wanted, out, func(r schemas.Seed) string { return r.SeedID })
	case schemas.TableResponse:
		return bodiesOf(ctx, s, o, wanted, out, func(r schemas.Response) string { return r.ResponseID })
	case schemas.TableTurn:
		turns, err := store.GetRows[schemas.Turn](ctx, s, o)
		if err != nil {
			return err
		}
		for _, t := range turns {
			if err := body(t.TurnID, t, wanted, out); err != nil {
				return err
			}
			for _, c := range t.Constraints {
				if err := body(c.ConstraintID, c, wanted, out); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

func bodiesOf[T any](ctx context.Context, s store.Store, o schemas.Object, wanted set, out map[string][]byte, id func(T) string) error {
	rows, err := store.GetRows[T](ctx, s, o)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if err := body(id(r), r, wanted, out); err != nil {
			return err
		}
	}
	return nil
}

func body[T any](id string, row T, wanted set, out map[string][]byte) (err error) {
	if wanted[id] && out[id] == nil {
		out[id], err = schemas.RowJSON(row)
	}
	return err
}
