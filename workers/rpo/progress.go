package main

import (
	"context"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"time"

	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"

	"rpo/schemas"
	"rpo/workflows"
)

// pollEvery is how often progress is asked for.
const pollEvery = 300 * time.Millisecond

// follow shows the progress of a pipeline until it ends. A stage that needs
// attention when it is first seen was parked by an earlier quickstart and is
// tried again once; one that parks later ends the quickstart with its failures.
func follow(ctx context.Context, c client.Client, run client.WorkflowRun, worker *child, summary *schemas.Summary) error {
	result := make(chan error, 1)
	go func() { result <- run.Get(ctx, summary) }()
	p := &progress{client: c, id: run.GetID(), out: os.Stdout, terminal: isTerminal(os.Stdout), began: map[string]time.Time{}}
	tick := time.NewTicker(pollEvery)
	defer tick.Stop()
	for {
		select {
		case err := <-result:
			p.show(ctx)
			if err != nil && ctx.Err() == nil {
				return plainFailure(err)
			}
			return err
		case <-worker.exited:
			return schemas.Errorf(schemas.Internal, "the worker ended: %s (%s)", lastLine(worker.log), worker.log)
		case <-tick.C:
			if parked := p.show(ctx); parked != nil {
				return parked
			}
		}
	}
}

// progress draws one line per stage: in place on a terminal, else a line when a
// stage ends.
type progress struct {
	client   client.Client
	id       string
	out      io.Writer
	terminal bool
	drawn    int
	printed  map[string]bool
	began    map[string]time.Time
	took     map[string]time.Duration
	tried    bool
	settled  bool
}

// show draws the present state. It returns an error if a stage is parked.
func (p *progress) show(ctx context.Context) error {
	var s schemas.PipelineStatus
	if query(ctx, p.client, p.id, &s) != nil {
		return nil // the worker is starting, or the run has ended: its result tells
	}
	var lines []string
	var parked error
	for _, stage := range s.Stages {
		done, total, note := p.stage(ctx, stage)
		if stage.Status == schemas.StatusRunning {
			if err := p.attend(ctx, stage); err != nil {
				parked = err
			}
		}
		line := bar(stage, done, total, note, p.elapsed(stage))
		lines = append(lines, line)
		if !p.terminal && slices.Contains([]string{schemas.StatusDone, schemas.StatusFailed, schemas.StatusCanceled}, stage.Status) && !p.printed[stage.Stage] {
			if p.printed == nil {
				p.printed = map[string]bool{}
			}
			p.printed[stage.Stage] = true
			fmt.Fprintln(p.out, line)
		}
	}
	if p.terminal {
		if p.drawn > 0 {
			fmt.Fprintf(p.out, "\x1b[%dA", p.drawn)
		}
		for _, line := range lines {
			fmt.Fprintf(p.out, "\x1b[2K%s\n", line)
		}
		p.drawn = len(lines)
	}
	return parked
}

// stage asks a stage how far it is: in shards, or in a trainer's steps.
func (p *progress) stage(ctx context.Context, stage schemas.PipelineStage) (done, total int, note string) {
	if stage.Status != schemas.StatusRunning {
		return 0, 0, ""
	}
	var s schemas.StageStatus
	if query(ctx, p.client, stage.WorkflowID, &s) == nil && s.Total > 0 {
		return s.Done, s.Total, "shards"
	}
	d, err := p.client.DescribeWorkflowExecution(ctx, stage.WorkflowID, "")
	if err != nil {
		return 0, 0, ""
	}
	for _, a := range d.GetPendingActivities() {
		var h schemas.Heartbeat
		if converter.GetDefaultDataConverter().FromPayloads(a.GetHeartbeatDetails(), &h) == nil && h.Total > 0 {
			note = "steps"
			if h.Loss != nil {
				note = fmt.Sprintf("steps, loss %.4f", *h.Loss)
			}
			return h.Done, h.Total, note
		}
	}
	return 0, 0, ""
}

// attend looks whether a running stage is parked.
func (p *progress) attend(ctx context.Context, stage schemas.PipelineStage) error {
	var s schemas.StageStatus
	if query(ctx, p.client, stage.WorkflowID, &s) != nil {
		return nil
	}
	if s.Status != schemas.StatusNeedsAttention {
		p.settled = true
		return nil
	}
	if s.Failed == 0 {
		return schemas.Errorf(schemas.BudgetExceeded, "stage %s needs attention: %s: send %s to %s", s.Stage, s.Reason, workflows.UpdateRaiseBudget, stage.WorkflowID)
	}
	if !p.settled && !p.tried {
		p.tried = true
		_, err := p.client.UpdateWorkflow(ctx, client.UpdateWorkflowOptions{WorkflowID: stage.WorkflowID,
			UpdateName: workflows.UpdateRetryFailed, WaitForStage: client.WorkflowUpdateStageCompleted})
		// From here on a parked stage is parked anew.
		p.settled = true
		return err
	}
	if !p.settled {
		return nil
	}
	first := s.Failures[0]
	return schemas.Errorf(schemas.ErrorType(first.ErrorType), "stage %s needs attention: %d of %d shards failed, the first, %d: %s: mend the cause and run the same command again",
		s.Stage, s.Failed, s.Total, first.Shard, first.Message)
}

func (p *progress) elapsed(stage schemas.PipelineStage) time.Duration {
	if stage.Status == schemas.StatusPending {
		return 0
	}
	if _, ok := p.began[stage.Stage]; !ok {
		p.began[stage.Stage] = time.Now()
	}
	if stage.Status == schemas.StatusRunning {
		return time.Since(p.began[stage.Stage])
	}
	if p.took == nil {
		p.took = map[string]time.Duration{}
	}
	if _, ok := p.took[stage.Stage]; !ok {
		p.took[stage.Stage] = time.Since(p.began[stage.Stage])
	}
	return p.took[stage.Stage]
}

func bar(stage schemas.PipelineStage, done, total int, note string, elapsed time.Duration) string {
	const width = 28
	filled, text := 0, ""
	switch stage.Status {
	case schemas.StatusDone:
		filled, text = width, "done"
	case schemas.StatusFailed:
		text = "failed"
	case schemas.StatusCanceled:
		text = "canceled"
	case schemas.StatusRunning:
		text = "starting"
		if total > 0 {
			filled, text = width*min(done, total)/total, fmt.Sprintf("%d/%d %s", done, total, note)
		}
	default:
		return fmt.Sprintf("  %-10s %s", stage.Stage, strings.Repeat("·", width))
	}
	return fmt.Sprintf("  %-10s %s%s  %s, %d s", stage.Stage, strings.Repeat("█", filled), strings.Repeat("░", width-filled), text, int(elapsed.Seconds()))
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0 && os.Getenv("TERM") != "dumb"
}
