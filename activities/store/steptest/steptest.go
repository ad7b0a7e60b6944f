package steptest

import (
	"context"
	"fmt"
	"strings"
	"testing"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/testsuite"

	"rpo/activities/chat"
	"rpo/activities/store"
	"rpo/schemas"
)

// Run calls do with the context of an activity. It returns when do does.
func Run(t testing.TB, do func(ctx context.Context)) {
	t.Helper()
	var suite testsuite.WorkflowTestSuite
	env := suite.NewTestActivityEnvironment()
	env.RegisterActivityWithOptions(func(ctx context.Context) error { do(ctx); return nil }, activity.RegisterOptions{Name: "step"})
	if _, err := env.ExecuteActivity("step"); err != nil {
		t.Fatal(err)
	}
}

// Models maps the names of endpoints to their addresses. Every model has the
// name "scripted" unless the caller asks for another.
type Models map[string]string

// atOnce is how many calls a step makes at once to a model of Models.
const atOnce = 4

// Model implements chat.Models.
func (m Models) Model(_ context.Context, use chat.Use) (chat.Model, func(), error) {
	endpoint, model := use.Endpoint, use.Model
	url, ok := m[endpoint]
	if !ok {
		return chat.Model{}, nil, schemas.Errorf(schemas.InvalidInput, "endpoint %q is not one of %v", endpoint, m)
	}
	if model == "" {
		model = "scripted"
	}
	c, err := chat.New(chat.Endpoint{Name: endpoint, URL: url, Model: model})
	if err != nil {
		return chat.Model{}, nil, err
	}
	var metered chat.Completer = c
	if use.Meter != nil {
		metered = chat.Metered(c, use.Meter, chat.Terms{})
	}
	return chat.Model{Completer: metered, Name: model, AtOnce: atOnce}, c.Close, nil
}

// Identify implements chat.Models.
func (m Models) Identify(ctx context.Context, endpoint, model string) (string, error) {
	found, release, err := m.Model(ctx, chat.Use{Endpoint: endpoint, Model: model})
	if err != nil {
		return "", err
	}
	defer release()
	return found.Name, nil
}

// Evaluates implements chat.Models: every scripted endpoint serves any name.
func (m Models) Evaluates(context.Context, string, string) error { return nil }

// Constraint is what a test says of one: the rest follows from its place.
type Constraint struct {
	Text, Trigger string
	Rule          schemas.Rule
}

// Turn makes a turn whose system message holds the constraints, one a line, and
// triggers them all. Equal names give equal turns.
func Turn(name string, constraints ...Constraint) schemas.Turn {
	t := schemas.Turn{
		ProfileID: schemas.ID("profile", name), Split: schemas.SplitTrain,
		System: "You are " + name + ".\n", Query: "What does " + name + " do?",
	}
	for i, c := range constraints {
		row := schemas.Constraint{
			ConstraintID: schemas.ID("constraint", t.ProfileID, fmt.Sprint(i), c.Text),
			Text:         c.Text, Family: schemas.FamilyContent, Rule: c.Rule, Trigger: c.Trigger,
			Start: int64(len(t.System) + len("- ")), End: int64(len(t.System) + len("- ") + len(c.Text)),
		}
		t.System += "- " + c.Text + "\n"
		t.Constraints = append(t.Constraints, row)
		t.Triggered = append(t.Triggered, row.ConstraintID)
	}
	t.DialogueID = schemas.ID("dialogue", t.ProfileID, "0")
	t.TurnID = schemas.ID("turn", t.DialogueID, "0")
	return t
}

// Turns makes n turns named after the prefix.
func Turns(prefix string, n int, constraints ...Constraint) []schemas.Turn {
	out := make([]schemas.Turn, n)
	for i := range out {
		out[i] = Turn(fmt.Sprintf("%s%d", prefix, i), constraints...)
	}
	return out
}

// Name is the name that Turn was given, read from a message of its prompt.
func Name(message string) string {
	name := strings.TrimPrefix(message, "You are ")
	return name[:strings.Index(name, ".\n")]
}

// Manifest writes one training shard per list of turns and returns the URI.
func Manifest(t testing.TB, s store.Store, shards ...[]schemas.Turn) string {
	t.Helper()
	m := schemas.Manifest{Job: schemas.ID("import"), Stage: "import"}
	for i, turns := range shards {
		o, err := store.PutRows(context.Background(), s, schemas.TableTurn, turns)
		if err != nil {
			t.Fatal(err)
		}
		m.Shards = append(m.Shards, schemas.ManifestShard{
			Shard: i, Split: schemas.SplitTrain, Objects: map[string]schemas.Object{schemas.TableTurn: o},
		})
	}
	uri, err := store.PutManifest(context.Background(), s, m)
	if err != nil {
		t.Fatal(err)
	}
	return uri
}

// Open opens a stage on the training shards of a manifest and names its shard.
func Open(t testing.TB, s store.Store, stage, manifest string, config any, number int) store.Shard {
	t.Helper()
	a := store.Activities{Store: s}
	opened, err := a.OpenStage(context.Background(), store.OpenStageInput{
		Stage: stage, Manifest: manifest, Split: schemas.SplitTrain, Config: config,
	})
	if err != nil {
		t.Fatal(err)
	}
	return store.Shard{Job: opened.Job, Stage: stage, ConfigHash: opened.ConfigHash, Manifest: manifest, Number: number}
}

// Close closes the stage of a shard and returns its manifest's URI.
func Close(t testing.TB, s store.Store, shard store.Shard) schemas.StageResult {
	t.Helper()
	a := store.Activities{Store: s}
	out, err := a.CloseStage(context.Background(), store.CloseStageInput{
		Job: shard.Job, Stage: shard.Stage, Manifest: shard.Manifest, Split: schemas.SplitTrain,
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// Record returns the commit record of a shard, or fails.
func Record(t testing.TB, s store.Store, shard store.Shard) schemas.CommitRecord {
	t.Helper()
	r, ok, err := store.Committed(context.Background(), s, shard.Job, shard.Stage, shard.Number)
	if err != nil || !ok {
		t.Fatalf("shard %d of stage %s has no commit record: %v", shard.Number, shard.Stage, err)
	}
	if !r.Books.Closed() {
		t.Fatalf("the books of shard %d of stage %s do not close: %+v", shard.Number, shard.Stage, r.Books)
	}
	return r
}

// Rows reads a table that a record names, nil if it names none.
func Rows[T any](t testing.TB, s store.Store, r schemas.CommitRecord, table string) []T {
	t.Helper()
	o, ok := r.Outputs[table]
	if !ok {
		return nil
	}
	rows, err := store.GetRows[T](context.Background(), s, o)
	if err != nil {
		t.Fatal(err)
	}
	return rows
}
