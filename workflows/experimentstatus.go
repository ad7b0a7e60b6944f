package workflows

import (
	"fmt"
	"strings"

	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// handle registers the query and the updates of an experiment with their signal
// twins.
func (e *experimentRun) handle(ctx workflow.Context) error {
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.ExperimentStatus, error) { return e.status, nil },
		workflow.QueryHandlerOptions{Description: "The arms, what is at work on each and its gain, as JSON."})
	if err != nil {
		return err
	}
	for _, d := range []struct {
		name, description string
		do                func()
	}{
		{UpdatePause, "Start no further arm; those at work end. Returns the status.", func() { e.status.Paused = true }},
		{UpdateResume, "Go on after a pause. Returns the status.", func() { e.status.Paused = false }},
		{UpdateStop, "Start no further arm, and compare those at work once they end. Returns the status.", func() { e.stopped = true }},
	} {
		told := func() {
			d.do()
			e.show(ctx)
		}
		err := workflow.SetUpdateHandlerWithOptions(ctx, d.name, func(workflow.Context) (schemas.ExperimentStatus, error) {
			told()
			return e.status, nil
		}, workflow.UpdateHandlerOptions{Description: d.description})
		if err != nil {
			return err
		}
		receive(ctx, d.name, d.description, func(converter.RawValue) { told() })
	}
	return nil
}

// show keeps the current details up to date: the arms, and their table once there
// is one.
func (e *experimentRun) show(ctx workflow.Context) {
	workflow.SetCurrentDetails(ctx, experimentDetails(placeOf(ctx), e.status, e.out))
}

func experimentDetails(at place, s schemas.ExperimentStatus, out schemas.ExperimentResult) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**", s.Status)
	if s.Paused {
		b.WriteString(", starts no further arm until `resume`")
	}
	b.WriteString("\n\n| arm | status | at work on | gain | 95 % interval |\n| --- | --- | --- | --- | --- |\n")
	for _, a := range s.Arms {
		stage, gain, interval := "", "", ""
		if a.Workflow != "" {
			stage = at.workflow(a.Stage, a.Workflow)
		}
		if a.Gain != nil {
			gain, interval = fmt.Sprintf("%+.4f", *a.Gain), fmt.Sprintf("%+.4f to %+.4f", a.CI95[0], a.CI95[1])
		}
		fmt.Fprintf(&b, "| %s | %s | %s | %s | %s |\n", a.Arm, a.Status, stage, gain, interval)
	}
	var errors []line
	for _, a := range s.Arms {
		errors = append(errors, line{a.Error != "", a.Arm + ": " + code(a.Error)})
	}
	b.WriteString(list(errors...))
	if out.Table == "" {
		return b.String()
	}
	fmt.Fprintf(&b, "\nThe base model follows %.4f of the constraints, by %s verdicts on %s held-out profiles.\n", out.Base, count(out.Verdicts), count(out.Profiles))
	b.WriteString("\n| arm | follows | gain | over the first | reward accuracy | malformed | tokens | hours |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, a := range out.Arms {
		if a.Status != schemas.StatusDone {
			continue
		}
		name, accuracy, over := a.Arm, "", ""
		if name == out.Best {
			name = "**" + name + "**"
		}
		if a.RewardAccuracy != nil {
			accuracy = fmt.Sprintf("%.4f", *a.RewardAccuracy)
		}
		if d := a.OverFirst; d != nil {
			over = fmt.Sprintf("%+.4f (%+.4f to %+.4f)", d.Value, d.CI95[0], d.CI95[1])
		}
		fmt.Fprintf(&b, "| %s | %.4f | %+.4f | %s | %s | %.4f | %s | %.4f |\n", name, a.Trained, a.Gain, over, accuracy, a.Malformed, count(a.Tokens), a.Hours)
	}
	promotion := ""
	if p := out.Promotion; p != nil {
		promotion = fmt.Sprintf("model %s: %s", code(p.Name), p.Decision)
		if p.Version > 0 {
			promotion += fmt.Sprintf(", version %d", p.Version)
		}
	}
	b.WriteString(list(line{true, "table " + code(out.Table)}, line{true, "page " + code(out.Page)}, line{promotion != "", promotion}))
	return b.String()
}
