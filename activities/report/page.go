package report

import (
	"bytes"
	"embed"
	"html/template"
	"net/url"
	"strings"

	"rpo/schemas"
)

// Data is everything the page shows.
type Data struct {
	// Title heads the page, "" for a general one.
	Title   string
	Summary schemas.Summary
	Steps   []Step
	Evals   []Eval
	// Examples are pairs to show; the first maxExamples are.
	Examples []schemas.Pair
	// RunLink is the address of the run in Temporal's UI. Only an http or https
	// address becomes a link.
	RunLink       string
	Configuration []Item
}

// Item is one row of the configuration table.
type Item struct{ Name, Value string }

//go:embed templates
var templates embed.FS

var page = template.Must(template.New("report.html").ParseFS(templates, "templates/*.html", "templates/*.css"))

// HTML writes the page: one file that loads nothing, readable on paper, in the
// dark and without seeing its plots. Quantities that are missing or not finite
// are left out or shown as "–"; they never fail the page.
func HTML(d Data) ([]byte, error) {
	var b bytes.Buffer
	if err := page.Execute(&b, newView(d)); err != nil {
		return nil, schemas.Errorf(schemas.Internal, "write report %q: %w", d.Title, err)
	}
	return b.Bytes(), nil
}

// view is what the template reads: texts ready to print and geometry.
type view struct {
	Title         string
	RunLink       string // "" unless it is a web address
	RunText       string // RunLink if it is none
	Dataset       string
	DatasetHash   string
	Headline      headline
	Funnel        []funnelStep
	Quarantined   string
	AnyQuarantine bool
	Facts         []Item
	Lines         []*lineChart
	LinesNote     string
	PairsByG      *barChart
	Families      *barChart
	Stages        stageView
	Examples      []exampleView
	Configuration []Item
	Places        []Item
}

// funnelStep is one count on the way from dialogues to pairs.
type funnelStep struct{ Name, Count, Note string }

func newView(d Data) view {
	s := d.Summary
	v := view{
		Title: printable(d.Title), Headline: newHeadline(s),
		DatasetHash: printable(s.DatasetHash),
		Quarantined: plural(s.Quarantined, "row"), AnyQuarantine: s.Quarantined > 0,
		PairsByG: drawPairsByG(s.PairsByG), Families: drawFamilies(s.Families),
		Stages: newStages(s.Stages), Examples: newExamples(d.Examples),
	}
	if v.Title == "" {
		v.Title = "Preference optimization run"
	}
	if s.Dataset != "" {
		v.Dataset = "“" + printable(s.Dataset) + "”, version " + count(int64(s.DatasetVersion))
	}
	if link := printable(d.RunLink); webAddress(link) {
		v.RunLink = link
	} else {
		v.RunText = link
	}
	v.Funnel = []funnelStep{
		{"dialogues", count(s.Dialogues), ""},
		{"responses", count(s.Responses), per(s.Responses, s.Dialogues, "dialogue")},
		{"verdicts", count(s.Verdicts), per(s.Verdicts, s.Responses, "response")},
		{"training pairs", count(s.Pairs), per(s.Pairs, s.Dialogues, "dialogue")},
	}
	v.Facts = facts(s)
	v.Lines, v.LinesNote = drawTraining(d.Steps, d.Evals)
	for _, i := range d.Configuration {
		v.Configuration = append(v.Configuration, Item{printable(i.Name), printable(i.Value)})
	}
	for _, p := range []Item{{"Dataset card", s.Card}, {"Trained model", s.Model}, {"This report", s.Report}} {
		if p.Value != "" {
			v.Places = append(v.Places, Item{p.Name, printable(p.Value)})
		}
	}
	return v
}

func per(a, b int64, noun string) string {
	r := ratio(a, b)
	if r == "" {
		return ""
	}
	return r + " per " + noun
}

// facts are the results of training beside the headline.
func facts(s schemas.Summary) []Item {
	steps := Item{"optimizer steps", count(s.TrainSteps)}
	if s.TrainSteps == 0 {
		return []Item{steps}
	}
	accuracy := none
	if s.RewardAccuracy != nil {
		accuracy = percent(*s.RewardAccuracy)
	}
	return []Item{
		steps,
		{"loss, first → last step (nats per pair)", figure(s.LossFirst) + " → " + figure(s.LossLast)},
		{"reward accuracy on held-out pairs", accuracy},
	}
}

func webAddress(s string) bool {
	u, err := url.Parse(s)
	return err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != ""
}

// drawTraining draws the four plots over steps, and says what it cannot draw.
func drawTraining(steps []Step, evals []Eval) (charts []*lineChart, note string) {
	var numbers []int
	values := make([][]float64, 6)
	for _, s := range steps {
		numbers = append(numbers, s.Step)
		for i, v := range []float64{s.Loss, s.RewardChosen, s.RewardRejected, s.RewardMargin, s.RewardAccuracy, s.RewardAccuracyMargin} {
			values[i] = append(values[i], v)
		}
	}
	var losses, accuracies []point
	for _, e := range evals {
		losses = append(losses, point{e.Step, e.Loss})
		accuracies = append(accuracies, point{e.Step, e.RewardAccuracy})
	}
	const heldOut = "held-out pairs"
	for _, c := range []*lineChart{
		drawLines("loss", "Loss", "nats per pair", numbers, []series{{"training pairs", "trained", values[0]}}, heldOut, losses, false),
		drawLines("accuracy", "Reward accuracy", "share of pairs", numbers, []series{
			{"chosen is higher", "trained", values[4]},
			{"by more than the target margin", "margin", values[5]}}, heldOut, accuracies, true),
		drawLines("rewards", "Rewards of chosen and rejected", "β (log π − log ref)", numbers, []series{
			{"chosen", "trained", values[1]}, {"rejected", "rejected", values[2]}}, "", nil, false),
		drawLines("margins", "Reward margin, chosen minus rejected", "difference of rewards", numbers, []series{{"margin", "margin", values[3]}}, "", nil, false),
	} {
		if c != nil {
			charts = append(charts, c)
		}
	}
	if len(charts) == 0 {
		note = "The trainer reported no steps."
	} else if !anyFinite(values[1]) && !anyFinite(values[3]) {
		note = "The trainer reported no rewards: supervised training has none."
	}
	return charts, note
}

// stageView is the stage table.
type stageView struct {
	Rows   []stageRow
	Totals stageRow
	Failed []failureRow
	Counts []Item
}

type stageRow struct {
	Name, Shards, Reused, In, OK, Quarantined, Skipped string
	Closed                                             bool
	Calls, PromptTokens, CompletionTokens              string
}

type failureRow struct{ Stage, Shard, Type, Message string }

func newStages(stages []schemas.StageResult) stageView {
	var v stageView
	var shards, reused, calls, prompt, completion int64
	for _, s := range stages {
		name := printable(s.Stage)
		b := s.Books
		v.Rows = append(v.Rows, stageRow{
			Name: name, Shards: count(int64(s.Shards)), Reused: count(int64(s.Reused)),
			In: count(b.In), OK: count(b.OK), Quarantined: count(b.Quarantined), Skipped: count(b.Skipped), Closed: b.Closed(),
			Calls: count(s.Calls), PromptTokens: count(s.PromptTokens), CompletionTokens: count(s.CompletionTokens),
		})
		shards, reused = shards+int64(s.Shards), reused+int64(s.Reused)
		calls, prompt, completion = calls+s.Calls, prompt+s.PromptTokens, completion+s.CompletionTokens
		for _, f := range s.Failed {
			v.Failed = append(v.Failed, failureRow{name, count(int64(f.Shard)), printable(f.ErrorType), printable(f.Message)})
		}
		var counted []string
		for _, c := range sortedByG(s.Counts) {
			counted = append(counted, printable(c.G)+" "+count(c.Pairs))
		}
		if len(counted) > 0 {
			v.Counts = append(v.Counts, Item{name, strings.Join(counted, ", ")})
		}
	}
	v.Totals = stageRow{Shards: count(shards), Reused: count(reused), Calls: count(calls),
		PromptTokens: count(prompt), CompletionTokens: count(completion)}
	return v
}
