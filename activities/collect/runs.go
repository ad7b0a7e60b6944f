package collect

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"
)

// runs chooses the jobs whose runs go: old ones that nothing names. While any run
// is open none is chosen, since its input may be a manifest of any other.
func (c *collector) runs(ctx context.Context, m *marks, open Open) (map[string]bool, error) {
	if open.Runs > 0 {
		c.sum.Note = fmt.Sprintf("%d runs are open, and any of them may need what an earlier one made or paid for: no run, no watermark and no old reply was collected", open.Runs)
	}
	if c.o.Runs == 0 || open.Runs > 0 {
		return nil, nil
	}
	keys, err := c.s.List(ctx, "runs/", "", 0)
	if err != nil {
		return nil, err
	}
	of := map[string][]string{}
	for _, key := range keys {
		of[jobOf(key)] = append(of[jobOf(key)], key)
	}
	dropped := map[string]bool{}
	for _, job := range slices.Sorted(maps.Keys(of)) {
		if m.named[job] {
			continue
		}
		old, err := c.allBefore(ctx, of[job], c.now.Add(-max(c.o.Runs, c.o.Grace)))
		if err != nil {
			return nil, err
		}
		if old {
			dropped[job] = true
		}
	}
	return dropped, nil
}

func (c *collector) allBefore(ctx context.Context, keys []string, when time.Time) (bool, error) {
	for _, key := range slices.Backward(keys) { // the newest is most often the last
		at, err := c.s.Modified(ctx, key)
		if err := absent(err); err != nil {
			return false, err
		}
		if !at.Before(when) {
			return false, nil
		}
	}
	return true, nil
}

// sweepRuns deletes the runs of dropped jobs. Each time it asks again whether a run
// has begun, which could be one of that very job.
func (c *collector) sweepRuns(ctx context.Context, dropped map[string]bool) error {
	for _, job := range slices.Sorted(maps.Keys(dropped)) {
		open, err := c.open(ctx)
		if err != nil {
			return err
		}
		if open.Runs > 0 {
			c.sum.Note = "a run began: the rest of the old runs was left"
			return nil
		}
		keys, err := c.s.List(ctx, "runs/"+job+"/", "", 0)
		if err != nil {
			return err
		}
		// The manifest goes first: without it nobody takes the rest for a whole.
		slices.SortStableFunc(keys, func(a, b string) int {
			return strings.Count(b, "manifest.json") - strings.Count(a, "manifest.json")
		})
		for _, key := range keys {
			if err := c.drop(ctx, key, "run", c.now.Add(-c.o.Grace)); err != nil {
				return err
			}
		}
	}
	return nil
}

// cache deletes old parts of the call cache, while no run is open: one may have
// paid for any of them. A body without its index is of a writer that died.
func (c *collector) cache(ctx context.Context, open Open) error {
	keys, err := c.s.List(ctx, "cache/", "", 0)
	if err != nil {
		return err
	}
	whole := map[string]bool{}
	for _, key := range keys {
		if name, ok := strings.CutSuffix(key, ".idx"); ok {
			whole[name] = true
		}
	}
	// An index goes before its body: a part without an index does not exist.
	slices.SortStableFunc(keys, func(a, b string) int {
		return strings.Count(b, ".idx") - strings.Count(a, ".idx")
	})
	for _, key := range keys {
		name := strings.TrimSuffix(strings.TrimSuffix(key, ".idx"), ".dat")
		switch {
		case strings.HasSuffix(key, ".dat") && !whole[name]:
			err = c.drop(ctx, key, "unnamed", c.now.Add(-c.o.Grace))
		case c.o.Cache > 0 && open.Runs == 0:
			err = c.drop(ctx, key, "cache", c.now.Add(-max(c.o.Cache, c.o.Grace)))
		}
		if err != nil {
			return err
		}
	}
	return nil
}
