package main

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"time"

	"go.temporal.io/sdk/activity"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/worker"

	"rpo/activities/chat"
	"rpo/activities/sample"
)

// lookEvery is the resolution of the spans that are measured.
const lookEvery = 200 * time.Millisecond

// shares are what a run made of the endpoint's capacity.
type shares struct {
	share, refused, seconds  float64
	wholeShare, wholeRefused float64
}

// watched samples p.turns turns and measures the endpoint meanwhile.
func (p plan) watched(ctx context.Context, s *stack, e *endpoint, model string) (shares, error) {
	manifest, err := s.importTurns(ctx, p.turns, p.perShard)
	if err != nil {
		return shares{}, err
	}
	done := make(chan error, 1)
	go func() { done <- s.sample(ctx, manifest, model, "30s") }()
	first, err := await(ctx, e, done, func(c counts) bool { return c.Queue.Running > 0 })
	if err != nil {
		return shares{}, err
	}
	warm, err := await(ctx, e, done, func(c counts) bool { return c.Queue.At.Sub(first.Queue.At) >= p.warm })
	if err != nil {
		return shares{}, fmt.Errorf("%w: sample more turns, so that something is left after the warm-up", err)
	}
	last, err := await(ctx, e, done, func(c counts) bool { return c.Queue.Answered >= p.turns-2*p.slots })
	if err != nil {
		return shares{}, err
	}
	if err := <-done; err != nil {
		return shares{}, err
	}
	var m shares
	m.share, m.refused = p.between(warm, last)
	m.wholeShare, m.wholeRefused = p.between(first, last)
	m.seconds = round(last.Queue.At.Sub(warm.Queue.At).Seconds())
	return m, nil
}

func (p plan) between(from, to counts) (share, refused float64) {
	a, b := from.Queue, to.Queue
	share = (b.Worked - a.Worked).Seconds() / (float64(p.slots) * b.At.Sub(a.At).Seconds())
	said := float64(b.Refused - a.Refused)
	return round(share), round(said / (said + float64(b.Answered-a.Answered)))
}

// await returns the first counts that satisfy enough. A run that ends before is
// an error.
func await(ctx context.Context, e *endpoint, done <-chan error, enough func(counts) bool) (counts, error) {
	for {
		c, err := e.counts()
		if err != nil || enough(c) {
			return c, err
		}
		select {
		case err := <-done:
			if err == nil {
				err = fmt.Errorf("the run ended early, after %d answers", c.Queue.Answered)
			}
			return c, err
		case <-ctx.Done():
			return c, ctx.Err()
		case <-time.After(lookEvery):
		}
	}
}

// bareWorker serves the queue of model calls with the same activity over the
// baseline.
func (s *stack) bareWorker(ctx context.Context, url string, width int) (stop func(), err error) {
	objects, err := s.store(ctx)
	if err != nil {
		return nil, err
	}
	temporal, err := client.Dial(client.Options{HostPort: s.Temporal, Logger: slog.New(slog.DiscardHandler)})
	if err != nil {
		return nil, err
	}
	w := worker.New(temporal, "rpo-llm", worker.Options{DisableWorkflowWorker: true})
	models := bareModels{newBare(url, width)}
	w.RegisterActivityWithOptions(&sample.Activities{Store: objects, Models: models}, activity.RegisterOptions{})
	w.RegisterActivityWithOptions(&chat.Activities{Models: models}, activity.RegisterOptions{})
	if err := w.Start(); err != nil {
		temporal.Close()
		return nil, err
	}
	return func() { w.Stop(); temporal.Close() }, nil
}

func round(x float64) float64 { return math.Round(x*1e4) / 1e4 }
