package workflows

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.temporal.io/sdk/workflow"

	"rpo/schemas"
)

// What a run says of itself in the web UI, as Markdown. It is no part of the
// history: it may change between releases. Links have no host and no leading
// slash, so that they hold wherever the UI is served. A number over another one
// with a slash would be drawn as a fraction.

// next is the workflow that takes what a stage made, by the stage's name.
var next = map[string]string{
	"profile": BuildDialoguesName, "dialogue": SampleResponsesName, "sample": JudgeResponsesName, "judge": ReverseConstraintsName,
	"reverse": BuildPairsName, "pair": ComputeReferenceName, "reference": TrainModelName, "train": EvaluateModelName, "evaluate": PromoteModelName,
}

// place is where a run stands in the web UI.
type place struct {
	namespace, id, run string
	// parent is the id of the workflow that this one is part of, "" for none.
	parent string
}

func placeOf(ctx workflow.Context) place {
	info := workflow.GetInfo(ctx)
	p := place{namespace: info.Namespace, id: info.WorkflowExecution.ID, run: info.WorkflowExecution.RunID}
	if info.ParentWorkflowExecution != nil {
		p.parent = info.ParentWorkflowExecution.ID
	}
	return p
}

func link(text string, elements ...string) string {
	for i := range elements {
		elements[i] = url.PathEscape(elements[i])
	}
	return "[" + text + "](namespaces/" + strings.Join(elements, "/") + ")"
}

// workflow links to the newest run of a workflow.
func (p place) workflow(text, id string) string { return link(text, p.namespace, "workflows", id) }

// pending links to the pending activities of the run itself.
func (p place) pending(text string) string {
	return link(text, p.namespace, "workflows", p.id, p.run, "pending-activities")
}

// list links to the runs that a query finds.
func (p place) list(text, query string) string {
	return "[" + text + "](namespaces/" + url.PathEscape(p.namespace) + "/workflows?query=" + url.QueryEscape(query) + ")"
}

// form links to the form that starts a workflow of a type.
func (p place) form(workflowType string) string {
	return "[" + workflowType + "](namespaces/" + url.PathEscape(p.namespace) + "/workflows/start-workflow?taskQueue=" + QueueWorkflows + "&workflowType=" + workflowType + ")"
}

// objects is the address below which the bucket's objects open in a browser, "" if
// there is none. It is the worker's, which sets it once, before it starts.
var objects string

// LinkObjects makes links of the URIs in current details: the object of key k is at
// address + k. Without it they are shown as they are, since nothing is known of where
// else a bucket can be seen.
func LinkObjects(address string) { objects = address }

// stored shows the URI of an object.
func stored(uri string) string {
	_, key, found := strings.Cut(strings.TrimPrefix(uri, "s3://"), "/")
	if objects == "" || !found || !strings.HasPrefix(uri, "s3://") {
		return code(uri)
	}
	return "[" + code(uri) + "](" + objects + (&url.URL{Path: key}).EscapedPath() + ")"
}

// code shows text that is not ours as it is.
func code(text string) string {
	return "`" + strings.NewReplacer("`", "'", "\n", " ", "\r", " ").Replace(text) + "`"
}

// plain shows text that may hold what is not ours without any markup.
func plain(text string) string {
	var b strings.Builder
	for _, r := range strings.NewReplacer("\n", " ", "\r", " ").Replace(text) {
		if strings.ContainsRune("\\`*_{}[]()#!|<>~&$", r) {
			b.WriteByte('\\')
		}
		b.WriteRune(r)
	}
	return b.String()
}

// count writes a number with separators.
func count(n int64) string {
	digits := strconv.FormatInt(n, 10)
	for i := len(digits) - 3; i > 0 && digits[i-1] != '-'; i -= 3 {
		digits = digits[:i] + "," + digits[i:]
	}
	return digits
}

// moment is a time of a status for people, in UTC.
func moment(at string) string {
	t, err := time.Parse(time.RFC3339, at)
	if err != nil {
		return ""
	}
	return t.UTC().Format("Jan 2 15:04")
}

// stamp is a time as a status gives it.
func stamp(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

// ends is when a stage ends that worked so long on shards of which some are left.
// The time parked does not count, nor do shards that an earlier run had committed:
// they took no time. It is zero if nothing can be said.
func ends(now time.Time, worked time.Duration, made, left int) time.Time {
	if worked <= 0 || made <= 0 || left <= 0 {
		return time.Time{}
	}
	return now.Add(time.Duration(float64(worked) / float64(made) * float64(left)))
}

// outlook is when the stage ends, "" if it is not at work or that is not known.
func (r *stageRun) outlook(ctx workflow.Context) string {
	if r.status != schemas.StatusRunning {
		return ""
	}
	return stamp(ends(workflow.Now(ctx), r.ran(ctx), r.p.Done-r.p.Reused, r.p.Shards-r.p.Done-r.p.FailedShards))
}

// details is the state of a stage.
func details(s schemas.StageStatus, overBudget bool) string {
	var b strings.Builder
	fmt.Fprintf(&b, "**%s**: %s", s.Stage, s.Status)
	if s.Began != "" {
		fmt.Fprintf(&b, ", began %s UTC", moment(s.Began))
	}
	b.WriteString("\n\n| stage | done | failed | calls | tokens | cost | ends (UTC) |\n| --- | --- | --- | --- | --- | --- | --- |\n")
	done := fmt.Sprintf("%s of %s", count(int64(s.Done)), count(int64(s.Total)))
	if s.Reused > 0 {
		done += fmt.Sprintf(" (%s reused)", count(int64(s.Reused)))
	}
	about := ""
	if s.Ends != "" {
		about = "about " + moment(s.Ends)
	}
	fmt.Fprintf(&b, "| %s | %s | %s | %s | %s | %.4g | %s |\n", s.Stage, done, count(int64(s.Failed)),
		count(s.Spent.Calls), count(s.Spent.Tokens()), s.Spent.Cost, about)
	if e := s.Estimate; e != nil {
		about = ""
		if e.Seconds != nil {
			about = "after at most " + (time.Duration(*e.Seconds) * time.Second).String()
		}
		fmt.Fprintf(&b, "| estimate | %s | | %s | at most %s | at most %.4g | %s |\n",
			count(int64(s.Total)), count(e.Calls), count(e.PromptTokens+e.CompletionTokensMax), e.CostMax, about)
	}
	if s.Budget != (schemas.BudgetOptions{}) {
		fmt.Fprintf(&b, "| budget | | | | %s | %s | %s |\n", capped(s.Budget.BudgetTokens > 0, count(s.Budget.BudgetTokens)),
			capped(s.Budget.BudgetCost > 0, fmt.Sprintf("%g", s.Budget.BudgetCost)),
			capped(s.Budget.BudgetTime > 0, "after "+time.Duration(s.Budget.BudgetTime).String()+" at work"))
	}
	if s.Status == schemas.StatusNeedsAttention {
		way := "Mend the cause, then send the update `retry_failed` (More Actions, Send an Update); `skip_failed` goes on without them, `stop` ends the stage."
		if overBudget {
			way = "Send the update `raise_budget` (More Actions, Send an Update); `skip_failed` goes on without the shards that are left, `stop` ends the stage."
		}
		if s.Updates != nil && !slices.Contains(s.Updates, UpdateSkipFailed) {
			way = "It tries again by itself, at least every hour. Send the update `retry_failed` (More Actions, Send an Update) and it tries at once; `stop` ends the stage."
		}
		fmt.Fprintf(&b, "\n**%s.** %s\n", plain(s.Reason), way)
	}
	if o := s.Override; o != nil {
		b.WriteString(list(
			line{o.Endpoint != "", "endpoint " + code(o.Endpoint) + " since `retry_failed`"},
			line{o.Model != "", "model " + code(o.Model) + " since `retry_failed`"},
			line{o.HeartbeatTimeout != 0, "heartbeat_timeout " + time.Duration(o.HeartbeatTimeout).String() + " since `retry_failed`"}))
	}
	failures := make([]line, len(s.Failures))
	for i, f := range s.Failures {
		failures[i] = line{true, fmt.Sprintf("shard %d: **%s**: %s", f.Shard, f.ErrorType, code(f.Message))}
	}
	if more := s.Failed - len(s.Failures); more > 0 {
		failures = append(failures, line{true, fmt.Sprintf("and %s more", count(int64(more)))})
	}
	b.WriteString(list(failures...))
	return b.String()
}

func capped(is bool, text string) string {
	if is {
		return text
	}
	return "none"
}

// line is an item of a list, if it is there.
type line struct {
	is   bool
	text string
}

// list is a list of what is there, nothing if nothing is.
func list(lines ...line) string {
	var b strings.Builder
	for _, l := range lines {
		if l.is {
			b.WriteString("\n- " + l.text)
		}
	}
	if b.Len() > 0 {
		b.WriteString("\n")
	}
	return b.String()
}

// surroundings are a stage's ways to what belongs to it: its input, the runs of
// its job, the workflow that it is part of, and once it has made something, the
// form that starts the next step on it.
func (p place) surroundings(s schemas.StageStatus, input, made string) string {
	follow := ""
	if to := next[s.Stage]; made != "" && to != "" {
		field := "manifest"
		switch s.Stage {
		case "train":
			field = "trained_model"
		case "evaluate":
			field = "evaluation"
		}
		follow = "next: " + p.form(to) + " with " + code(fmt.Sprintf(`{"%s": "%s"}`, field, made))
	}
	return list(
		line{p.parent != "", "part of " + p.workflow(code(p.parent), p.parent)},
		line{true, "input " + stored(input)},
		line{s.Job != "", "job " + p.list(code(s.Job), fmt.Sprintf("RpoJob = %q", s.Job))},
		line{made != "", "made " + stored(made)},
		line{follow != "", follow},
	)
}

// table lists the stages of a pipeline.
func (p place) table(stages []schemas.PipelineStage) string {
	var b strings.Builder
	b.WriteString("| stage | status | shards | failed | tokens | cost | began (UTC) | took |\n| --- | --- | --- | --- | --- | --- | --- | --- |\n")
	for _, s := range stages {
		name, numbers := s.Stage, " | | | |"
		if s.WorkflowID != "" {
			name = p.workflow(s.Stage, s.WorkflowID)
		}
		if s.Shards > 0 {
			numbers = fmt.Sprintf("%s | %s | %s | %.4g |", count(int64(s.Shards)), count(int64(s.Failed)), count(s.Tokens), s.Cost)
		}
		fmt.Fprintf(&b, "| %s | %s | %s %s | %s |\n", name, s.Status, numbers, moment(s.Began), took(s))
	}
	return b.String()
}

// outcome is the result of a stage workflow.
type outcome interface {
	Outcome() schemas.StageResult
	Made() string
}

// running is a stage that begins now.
func running(ctx workflow.Context, name, id string) schemas.PipelineStage {
	return schemas.PipelineStage{Stage: name, Status: schemas.StatusRunning, WorkflowID: id, Began: stamp(workflow.Now(ctx))}
}

// over is a stage that ends now, with result if err is nil.
func over(ctx workflow.Context, s schemas.PipelineStage, result outcome, err error) schemas.PipelineStage {
	s.Status, s.Ended = ended(err), stamp(workflow.Now(ctx))
	if err == nil {
		out := result.Outcome()
		s.Shards, s.Failed, s.Tokens, s.Cost = out.Shards, out.FailedShards, out.Tokens(), out.Cost
	}
	return s
}

// took is how long a stage lasted.
func took(s schemas.PipelineStage) string {
	began, err := time.Parse(time.RFC3339, s.Began)
	ended, endErr := time.Parse(time.RFC3339, s.Ended)
	if cmp.Or(err, endErr) != nil {
		return ""
	}
	return ended.Sub(began).String()
}
