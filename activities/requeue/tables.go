package requeue

import (
	"context"
	"encoding/json"
	"slices"

	"rpo/activities/store"
	"rpo/schemas"
)

// set is a set of ids.
type set map[string]bool

// selection names the rows that go back, by the ids that tables are joined by.
type selection struct {
	seeds, profiles, dialogues, turns, constraints set
}

// turn adds a turn and what it belongs to.
func (x *selection) turn(t schemas.Turn) {
	x.turns[t.TurnID], x.dialogues[t.DialogueID], x.profiles[t.ProfileID] = true, true, true
	for _, c := range t.Constraints {
		x.constraints[c.ConstraintID] = true
	}
}

// table collects the chosen rows of one table over shards.
type table interface {
	name() string
	add(ctx context.Context, s store.Store, o schemas.Object, x selection) error
	len() int
	put(ctx context.Context, s store.Store) (schemas.Object, error)
}

type tableOf[T any] struct {
	named string
	keep  func(T, selection) bool
	rows  []T
}

func (t *tableOf[T]) name() string { return t.named }
func (t *tableOf[T]) len() int     { return len(t.rows) }

func (t *tableOf[T]) add(ctx context.Context, s store.Store, o schemas.Object, x selection) error {
	rows, err := store.GetRows[T](ctx, s, o)
	if err != nil {
		return err
	}
	for _, r := range rows {
		if t.keep(r, x) {
			t.rows = append(t.rows, r)
		}
	}
	return nil
}

func (t *tableOf[T]) put(ctx context.Context, s store.Store) (schemas.Object, error) {
	return store.PutRows(ctx, s, t.named, t.rows)
}

func keep[T any](name string, by func(T, selection) bool) func() table {
	return func() table { return &tableOf[T]{named: name, keep: by} }
}

// joined are the tables that a stage on turns reads or hands on, in the order in
// which the stages make them.
var joined = []func() table{
	keep(schemas.TableProfile, func(r schemas.Profile, x selection) bool { return x.profiles[r.ProfileID] }),
	keep(schemas.TableDialogue, func(r schemas.Dialogue, x selection) bool { return x.dialogues[r.DialogueID] }),
	keep(schemas.TableTurn, func(r schemas.Turn, x selection) bool { return x.turns[r.TurnID] }),
	keep(schemas.TableTrigger, func(r schemas.Trigger, x selection) bool { return x.turns[r.TurnID] }),
	keep(schemas.TableGolden, func(r schemas.Golden, x selection) bool { return x.turns[r.TurnID] }),
	keep(schemas.TableGoldenVerdict, func(r schemas.Verdict, x selection) bool { return x.turns[r.TurnID] }),
	keep(schemas.TableResponse, func(r schemas.Response, x selection) bool { return x.turns[r.TurnID] }),
	keep(schemas.TableVerdict, func(r schemas.Verdict, x selection) bool { return x.turns[r.TurnID] }),
	keep(schemas.TableOpposite, func(r schemas.Opposite, x selection) bool { return x.constraints[r.ConstraintID] }),
}

// origin is a stage whose rows can be requeued.
type origin struct {
	// workflow is started on the supplement.
	workflow string
	// primary is the table that the stage reads row by row.
	primary string
	// carries are the tables of its input that the supplement holds; makes are those
	// that it makes itself, which are not of its input.
	carries []func() table
	makes   []string
	// choose adds what the quarantined rows of a shard need.
	choose func(ctx context.Context, s store.Store, shard schemas.ManifestShard, rows []Row, x *selection) error
}

// origins are the stages by name. The import is none of them: what it refused is
// mended in the file. Nor is an evaluation, which compares what it could judge.
var origins = map[string]origin{
	"profile": {
		workflow: "GenerateProfiles", primary: schemas.TableSeed,
		carries: []func() table{keep(schemas.TableSeed, func(r schemas.Seed, x selection) bool { return x.seeds[r.SeedID] })},
		choose: func(_ context.Context, _ store.Store, _ schemas.ManifestShard, rows []Row, x *selection) error {
			for _, r := range rows {
				x.seeds[r.RowID] = true
			}
			return nil
		},
	},
	"dialogue": {
		workflow: "BuildDialogues", primary: schemas.TableProfile, carries: joined[:1],
		choose: func(_ context.Context, _ store.Store, _ schemas.ManifestShard, rows []Row, x *selection) error {
			for _, r := range rows {
				var said struct {
					ProfileID string `json:"profile_id"`
				}
				if err := json.Unmarshal([]byte(r.Request), &said); err != nil || said.ProfileID == "" {
					return schemas.Errorf(schemas.CorruptData, "quarantined dialogue %s names no profile", r.RowID)
				}
				x.profiles[said.ProfileID] = true
			}
			return nil
		},
	},
	"sample": {
		workflow: "SampleResponses", primary: schemas.TableTurn, carries: joined, makes: []string{schemas.TableResponse},
		choose: turnsOf(func(t schemas.Turn, ids set, _ set) bool { return ids[t.TurnID] }),
	},
	"judge": {
		workflow: "JudgeResponses", primary: schemas.TableTurn, carries: joined, makes: []string{schemas.TableVerdict},
		choose: turnsOf(func(t schemas.Turn, _ set, answered set) bool { return answered[t.TurnID] }),
	},
	"reverse": {
		workflow: "ReverseConstraints", primary: schemas.TableTurn, carries: joined, makes: []string{schemas.TableOpposite},
		choose: turnsOf(func(t schemas.Turn, ids set, _ set) bool {
			return slices.ContainsFunc(t.Triggered, func(id string) bool { return ids[id] })
		}),
	},
}

// turnsOf chooses the turns that is admits, by the ids of quarantined rows and by
// the turns that a quarantined response answers.
func turnsOf(is func(t schemas.Turn, ids, answered set) bool) func(context.Context, store.Store, schemas.ManifestShard, []Row, *selection) error {
	return func(ctx context.Context, s store.Store, shard schemas.ManifestShard, rows []Row, x *selection) error {
		ids, answered := set{}, set{}
		for _, r := range rows {
			ids[r.RowID] = true
		}
		if o, ok := shard.Objects[schemas.TableResponse]; ok && rows[0].Table == schemas.TableResponse {
			responses, err := store.GetRows[schemas.Response](ctx, s, o)
			if err != nil {
				return err
			}
			for _, r := range responses {
				if ids[r.ResponseID] {
					answered[r.TurnID] = true
				}
			}
		}
		turns, err := store.GetRows[schemas.Turn](ctx, s, shard.Objects[schemas.TableTurn])
		if err != nil {
			return err
		}
		for _, t := range turns {
			if is(t, ids, answered) {
				x.turn(t)
			}
		}
		return nil
	}
}
