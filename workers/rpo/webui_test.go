//go:build endtoend

package main

import (
	"flag"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"rpo/activities/chat/scripted"
	"rpo/workflows"
)

// pictures is where `make screenshots` wants the pictures of the README.
var pictures = flag.String("screenshots", "", "folder for screenshots of the web UI")

// form is the address of the form that starts a workflow of a type.
func (l *local) form(workflowType string) string {
	return fmt.Sprintf("%s/namespaces/%s/workflows/start-workflow?taskQueue=%s&workflowType=%s", l.UI, l.Namespace, workflows.QueueWorkflows, workflowType)
}

func (l *local) page(workflowID string) string {
	return fmt.Sprintf("%s/namespaces/%s/workflows/%s", l.UI, l.Namespace, workflowID)
}

// details waits until the current details of the run that the page shows say so.
func (p *page) details(wanted ...string) {
	p.t.Helper()
	await(p.t, fmt.Sprintf("details that say %q", wanted), func() bool {
		p.key("r") // the page asks for the details anew
		text := p.text()
		for _, w := range wanted {
			if !strings.Contains(text, w) {
				return false
			}
		}
		return true
	})
}

// linked waits for a link of the details whose address contains part.
func (p *page) linked(part string) (address string) {
	p.t.Helper()
	await(p.t, "a link to "+part, func() bool {
		return p.value(`[...document.querySelectorAll("iframe")].map(f => f.contentDocument.querySelector(`+quotedJS("a[href*='"+part+"']")+`)).find(a => a).href`, &address) == nil
	})
	return address
}

// Everything is done by mouse and keyboard in a real browser.
func TestAPersonStartsWatchesAndMendsARunInTheWebUI(t *testing.T) {
	l := startLocal(t)
	var locked, slow atomic.Bool
	locked.Store(true)
	slow.Store(true)
	policy := scripted.New(t, func(p scripted.Parsed) scripted.Reply {
		if strings.Contains(p.System(), "guide 5.") && locked.Load() {
			return scripted.Refuse(http.StatusForbidden, "the key of this project is locked")
		}
		r := scripted.PerChoice(answer)(p)
		r.Hang = slow.Load() && strings.Contains(p.System(), "guide 13.") && strings.Contains(p.Last(), "town")
		return r
	})
	// Nothing may give up waiting while the page is looked at.
	patient := strings.NewReplacer(`"timeout":"20s"`, `"timeout":"10m"`, `"concurrency":2`, `"concurrency":64`)
	l.worker(t, writeFile(t, l.dir, "patient.json", patient.Replace(mustRead(t, l.config(t, policy.URL)))))
	manifest := l.importProfiles(t, profiles(t, l.dir, 18), "--profiles-per-shard", "2")

	p := startBrowser(t, l.root).open(l.form(workflows.SampleResponsesName))
	p.reads("Start Workflow", "Task Queue is Active")
	p.paste("#workflowId", "sample-town-guides")
	p.paste("[role=textbox][contenteditable=true]", fmt.Sprintf("{\n  \"manifest\": %q,\n  \"responses\": 4,\n  \"max_tokens\": 96\n}", manifest))
	p.picture(*pictures, "start-form")
	p.press("Start Workflow")
	p.reads("Workflow started successfully")
	p.goTo(l.page("sample-town-guides"))
	p.reads("RUNNING", "sample-town-guides", "sample shard ")
	p.press("User Metadata")
	p.details("sample: Running", " of 8", "about ")
	p.picture(*pictures, "running")

	slow.Store(false)
	policy.Release()
	p.details("sample: NeedsAttention", "1 of 8 shards failed", "retry_failed", "shard 2: InvalidInput", "the key of this project is locked")
	p.picture(*pictures, "parked")

	locked.Store(false)
	p.press("More Actions")
	p.press("Send an Update")
	p.click("[data-testid=update-select-button]", "")
	p.reads("Work on the failed shards of a parked stage again", "Go on without the failed shards", "Raise caps")
	p.picture(*pictures, "update")
	p.press("retry_failed")
	p.press("Submit")
	p.reads("COMPLETED")
	p.details("sample: Done", "8 of 8", "next: "+workflows.JudgeResponsesName)

	// The links of the details lead where they say.
	if next := p.linked("start-workflow"); next != l.form(workflows.JudgeResponsesName) {
		t.Errorf("the next step's link is %s, want %s", next, l.form(workflows.JudgeResponsesName))
	}
	p.goTo(p.linked("RpoJob"))
	p.reads("sample-town-guides", "RpoJob")
}

func TestSeedFillsTheFormsAndShowsWhatEachRunLooksLike(t *testing.T) {
	l := startLocal(t)
	policy := scripted.New(t, everybody)
	l.worker(t, l.config(t, policy.URL))
	seeded := l.expect(t, 0, "seed", "--eval-endpoint", "local")
	for name := range workflows.Inputs() {
		if !strings.Contains(seeded, exampleID(name)+" ") {
			t.Errorf("no example of %s in\n%s", name, seeded)
		}
	}
	calls := policy.Stats().Answered
	again := l.expect(t, 0, "seed", "--eval-endpoint", "local")
	if strings.Count(again, " is there") != len(exampleRuns) || policy.Stats().Answered != calls {
		t.Errorf("once more it took %d calls and said\n%s", policy.Stats().Answered-calls, again)
	}

	p := startBrowser(t, l.root).open(l.form(workflows.JudgeResponsesName))
	p.reads("Start Workflow", `"manifest": "s3://rpo/runs/`)
	p.goTo(l.page(exampleID(workflows.RunPipelineName)))
	p.reads("COMPLETED", "sample stage", "judge stage", "reverse stage", "pair stage", "reference stage", "train stage", "evaluate stage", "write report and dataset card")
	p.size(1440, 1100)
	p.picture(*pictures, "run")
	p.press("User Metadata")
	p.details("Done, data set example", "report s3://")
	p.picture(*pictures, "pipeline")
	p.goTo(p.linked("judge"))
	p.reads("COMPLETED", exampleID(workflows.RunPipelineName)+"/judge", "judge shard")
}
