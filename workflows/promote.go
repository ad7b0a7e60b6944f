package workflows

import (
	"fmt"
	"strings"
	"time"

	"go.temporal.io/sdk/temporal"
	"go.temporal.io/sdk/workflow"

	"rpo/activities/promote"
	"rpo/schemas"
)

// attributeOwner is set by whoever starts a run, never by a workflow.
var attributeOwner = temporal.NewSearchAttributeKeyKeyword("RpoOwner")

// promoteStage is what RpoStage says of a promotion, followed by the failed gates
// of one that was refused.
const promoteStage = "promote"

// PromoteModel makes a trained model the next version of a named one, if its gates
// let it through, or brings an older version back. A refusal is a result, not a
// failure: the gates did their work.
func PromoteModel(ctx workflow.Context, in schemas.PromoteModelInput) (schemas.PromoteResult, error) {
	status := schemas.PromoteStatus{Status: schemas.StatusRunning, PromoteResult: schemas.PromoteResult{Name: in.Name}}
	err := workflow.SetQueryHandlerWithOptions(ctx, QueryStatus, func() (schemas.PromoteStatus, error) { return status, nil },
		workflow.QueryHandlerOptions{Description: "The decision and what each gate measured, as JSON."})
	if err != nil {
		return status.PromoteResult, err
	}
	workflow.SetCurrentDetails(ctx, promotionDetails(status))
	if err := workflow.UpsertTypedSearchAttributes(ctx, AttributeStage.ValueSet(promoteStage), AttributeStatus.ValueSet(status.Status), AttributeModel.ValueSet(in.Name)); err != nil {
		return status.PromoteResult, err
	}
	what := "measure the model against its gates"
	if in.Restore > 0 {
		what = fmt.Sprintf("restore version %d of %s", in.Restore, in.Name)
	}
	err = workflow.ExecuteActivity(withRecords(ctx, what), promoteModel, promote.Input{PromoteModelInput: in, By: promotedBy(ctx)}).Get(ctx, &status.PromoteResult)
	status.Status = ended(err)
	if err == nil && status.Decision == schemas.DecisionRefused {
		status.Status = schemas.StatusRefused
	}
	workflow.SetCurrentDetails(ctx, promotionDetails(status))
	attributes := []temporal.SearchAttributeUpdate{AttributeStatus.ValueSet(status.Status)}
	if gates := failedGates(status.Outcomes); status.Status == schemas.StatusRefused {
		attributes = append(attributes, AttributeStage.ValueSet(promoteStage+"/"+gates))
	}
	if status.Evaluation.Verdicts > 0 {
		attributes = append(attributes, AttributeScore.ValueSet(status.Evaluation.Trained))
	}
	if upsertErr := workflow.UpsertTypedSearchAttributes(ctx, attributes...); err == nil {
		err = upsertErr
	}
	return status.PromoteResult, err
}

// failedGates names the gates that did not let a model through.
func failedGates(outcomes []schemas.GateOutcome) string {
	var names []string
	for _, o := range outcomes {
		if !o.Passed {
			names = append(names, o.Gate)
		}
	}
	return strings.Join(names, ",")
}

// promoteAs promotes in a child workflow of its own, so that the decision can be
// found by what it says of itself.
func promoteAs(ctx workflow.Context, id string, in schemas.PromoteModelInput) (*schemas.Promotion, error) {
	var out schemas.PromoteResult
	err := workflow.ExecuteChildWorkflow(withStage(ctx, id, "promote to "+in.Name), PromoteModelName, in).Get(ctx, &out)
	if err != nil {
		return nil, err
	}
	return out.Short(), nil
}

// promotedBy names the run. A reset keeps the first run's id, and so its version.
func promotedBy(ctx workflow.Context) schemas.Promoted {
	info := workflow.GetInfo(ctx)
	owner, _ := workflow.GetTypedSearchAttributes(ctx).GetKeyword(attributeOwner)
	return schemas.Promoted{WorkflowID: info.WorkflowExecution.ID, RunID: info.FirstRunID, At: info.WorkflowStartTime.UTC().Format(time.RFC3339), By: owner}
}

// promotionDetails is the decision as Markdown.
func promotionDetails(s schemas.PromoteStatus) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**: model %s", s.Status, code(s.Name))
	switch s.Decision {
	case schemas.DecisionPromoted:
		fmt.Fprintf(&b, ", promoted as version %d", s.Version)
	case schemas.DecisionUnchanged:
		fmt.Fprintf(&b, ", version %d already, and version %d is in use", s.Version, s.Current)
	case schemas.DecisionRefused:
		if b.WriteString(", refused by its gates; "); s.Current > 0 {
			fmt.Fprintf(&b, "version %d stays in use", s.Current)
		} else {
			b.WriteString("no version is in use")
		}
	}
	b.WriteString("\n")
	if len(s.Outcomes) > 0 {
		b.WriteString("\n| gate | | measured |\n| --- | --- | --- |\n")
	}
	for _, o := range s.Outcomes {
		verdict := "passed"
		if !o.Passed {
			verdict = "**failed**"
		}
		fmt.Fprintf(&b, "| %s | %s | %s |\n", o.Gate, verdict, o.Reason)
	}
	b.WriteString(list(line{s.Manifest != "", "version " + code(s.Manifest)},
		line{s.Evaluation.Manifest != "", "evaluation " + code(s.Evaluation.Manifest)}))
	return b.String()
}
