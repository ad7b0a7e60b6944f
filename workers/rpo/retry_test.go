package main

import (
	"context"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"rpo/schemas"
)

func TestRunsAreToldNoFasterThanAskedAndAFewAtATime(t *testing.T) {
	for _, c := range []struct {
		rate  float64
		takes time.Duration
		least time.Duration
	}{
		{20, 0, 99 * time.Second / 20},
		{1, 0, 99 * time.Second},
		// Answers that take a second let retryAtOnce runs be told a second.
		{1000, time.Second, 100 * time.Second / retryAtOnce},
	} {
		t.Run(fmt.Sprintf("%v a second, answers after %s", c.rate, c.takes), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				runs := make([]retryReport, 100)
				for i := range runs {
					runs[i].RunID = fmt.Sprint(i)
				}
				var mu sync.Mutex
				told := map[string]int{}
				var now, most atomic.Int64
				start := time.Now()
				atRate(t.Context(), c.rate, runs, func(r retryReport) {
					most.Store(max(most.Load(), now.Add(1)))
					time.Sleep(c.takes)
					now.Add(-1)
					mu.Lock()
					defer mu.Unlock()
					told[r.RunID]++
				})
				if took := time.Since(start); took < c.least || took > c.least+2*time.Second {
					t.Errorf("took %s, want %s", took, c.least)
				}
				if len(told) != 100 || most.Load() > retryAtOnce {
					t.Errorf("%d runs were told, at most %d at once", len(told), most.Load())
				}
				for id, n := range told {
					if n != 1 {
						t.Errorf("run %s was told %d times", id, n)
					}
				}
			})
		})
	}
}

func TestAnInterruptBeginsNoFurtherRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancel(t.Context())
		var told atomic.Int64
		atRate(ctx, 1, make([]retryReport, 50), func(retryReport) {
			if told.Add(1) == 3 {
				cancel()
			}
		})
		if told.Load() != 3 {
			t.Errorf("%d runs were told", told.Load())
		}
	})
}

func TestWhatNoStageCouldTakeIsRefusedBeforeAnyRunIsTold(t *testing.T) {
	t.Setenv("TEMPORAL_ADDRESS", "127.0.0.1:1") // nobody is asked
	for args, says := range map[string]string{
		"--error-type Overlaoded":   `"Overlaoded" is not one of`,
		"--model m":                 "needs endpoint beside it",
		"--heartbeat-timeout 10ms":  "not between 1s and 1h",
		"--rate 0":                  "--rate",
		"--rate 100000":             "at most 1000",
		"--rate NaN":                "--rate",
		"--query RpoStage=x excess": "want 0 arguments",
	} {
		err := retryCommand(t.Context(), strings.Fields(args))
		if schemas.TypeOf(err) != usageError || !strings.Contains(err.Error(), says) {
			t.Errorf("retry %s gives %v", args, err)
		}
	}
}
