package collect

import (
	"context"
	"slices"
	"strings"
	"time"

	"rpo/activities/store"
	"rpo/schemas"
)

const (
	// DefaultGrace is longer than any shard is worked on.
	DefaultGrace = 7 * 24 * time.Hour
	// MinGrace keeps a mistyped grace from deleting what is being written.
	MinGrace = time.Hour
	// trash holds copies of deleted data objects and watermarks for another grace
	// period.
	trash = "trash/"
)

// Options say what is old enough to go.
type Options struct {
	// Grace is the age under which nothing is deleted.
	Grace time.Duration
	// Runs is the age, of their newest object, from which runs go that no version and
	// no promoted model names; 0 keeps them.
	Runs time.Duration
	// Cache is the age from which parts of the call cache go; 0 keeps them.
	Cache  time.Duration
	DryRun bool
}

// Open are the runs that have not ended, parked ones included.
type Open struct {
	Runs int
	// Jobs are those that the runs have told.
	Jobs map[string]bool
}

// Store is what the collector needs: a store that knows when it was written.
type Store interface {
	store.Store
	store.Times
}

// Item is one object that was deleted, or would be.
type Item struct {
	Key      string    `json:"key"`
	Bytes    int64     `json:"bytes"`
	Modified time.Time `json:"modified"`
	// Why is "unnamed", "trained", "run", "cache" or "trash".
	Why string `json:"why"`
}

// Summary counts.
type Summary struct {
	DryRun bool `json:"dry_run"`
	// Deleted counts objects and their bytes by reason.
	Deleted map[string]Count `json:"deleted"`
	// Young would have gone but for the grace period.
	Young int64 `json:"young"`
	// Restored were named by a run while they were deleted, and are back.
	Restored int64 `json:"restored"`
	// Missing are objects that a record names and the bucket lacks, the first of them
	// by key.
	Missing      int64    `json:"missing"`
	MissingFirst []string `json:"missing_first,omitempty"`
	Versions     int      `json:"versions"`
	OpenRuns     int      `json:"open_runs"`
	// Note says what was left for another time.
	Note string `json:"note,omitempty"`
}

// Count is a number of objects and their size.
type Count struct {
	Objects int64 `json:"objects"`
	Bytes   int64 `json:"bytes"`
}

// collector is one collection.
type collector struct {
	s       Store
	o       Options
	now     time.Time
	open    func(context.Context) (Open, error)
	deleted func(Item)
	sum     Summary
	binned  []string // what this collection put into the trash
}

// Collect deletes what nothing names. open tells the runs that have not ended, and
// deleted is told of every object. now is the server's time, roughly.
func Collect(ctx context.Context, s Store, o Options, now time.Time, open func(context.Context) (Open, error), deleted func(Item)) (Summary, error) {
	if o.Grace < MinGrace {
		return Summary{}, schemas.Errorf(schemas.InvalidInput, "collect: a grace period of %s is under %s: objects that are being written would go", o.Grace, MinGrace)
	}
	c := &collector{s: s, o: o, now: now, open: open, deleted: deleted, sum: Summary{DryRun: o.DryRun, Deleted: map[string]Count{}}}
	runs, err := open(ctx)
	if err != nil {
		return c.sum, err
	}
	c.sum.OpenRuns = runs.Runs
	whole, err := mark(ctx, s, nil)
	if err != nil {
		return c.sum, err
	}
	c.sum.Versions = whole.versions
	dropped, err := c.runs(ctx, whole, runs)
	if err != nil {
		return c.sum, err
	}
	if err := c.sweepRuns(ctx, dropped); err != nil {
		return c.sum, err
	}
	if !o.DryRun {
		dropped = nil // their documents are gone, or a run began and they stayed
	}
	m := whole
	if c.o.Runs > 0 {
		if m, err = mark(ctx, s, dropped); err != nil {
			return c.sum, err
		}
	}
	// The old trash first: it is no trash of this collection.
	for _, step := range []func() error{
		func() error { return c.sweep(ctx, trash, "trash", func(string) bool { return true }) },
		func() error {
			return c.sweep(ctx, "data/", "unnamed", func(key string) bool { return !m.live[key] })
		},
		func() error {
			// An open refresh names its watermark only when it publishes.
			return c.sweep(ctx, "watermarks/", "unnamed", func(key string) bool { return !m.live[key] && runs.Runs == 0 })
		},
		func() error {
			return c.sweep(ctx, "models/", "unnamed", func(key string) bool {
				return !m.live[key] && !m.models[jobOf(key)] && !runs.Jobs[jobOf(key)]
			})
		},
		func() error {
			return c.sweep(ctx, "checkpoints/", "trained", func(key string) bool {
				return m.ended[jobOf(key)] && !runs.Jobs[jobOf(key)]
			})
		},
		func() error { return c.cache(ctx, runs) },
		func() error { return c.missing(ctx, m) },
		func() error { return c.restore(ctx) },
	} {
		if err := step(); err != nil {
			return c.sum, err
		}
	}
	return c.sum, nil
}

// sweep deletes the objects of a folder that are garbage and old enough.
func (c *collector) sweep(ctx context.Context, folder, why string, garbage func(key string) bool) error {
	keys, err := c.s.List(ctx, folder, "", 0)
	if err != nil {
		return err
	}
	for _, key := range keys {
		if !garbage(key) {
			continue
		}
		if err := c.drop(ctx, key, why, c.now.Add(-c.o.Grace)); err != nil {
			return err
		}
	}
	return nil
}

// drop deletes one object unless it was written after a time: it looks last, since
// a run may have made it again.
func (c *collector) drop(ctx context.Context, key, why string, before time.Time) error {
	size, _, err := c.s.Head(ctx, key)
	if err != nil {
		return absent(err)
	}
	// What is named by its content may be made again by any run.
	byContent := (strings.HasPrefix(key, "data/") || strings.HasPrefix(key, "watermarks/")) && !c.o.DryRun
	if byContent {
		body, err := c.s.Get(ctx, key)
		if err != nil {
			return absent(err)
		}
		if err := c.s.Put(ctx, trash+key, body); err != nil {
			return err
		}
	}
	at, err := c.s.Modified(ctx, key)
	if err != nil {
		return absent(err)
	}
	if !at.Before(before) {
		c.sum.Young++
		if byContent {
			return c.s.Delete(ctx, trash+key)
		}
		return nil
	}
	if !c.o.DryRun {
		if err := c.s.Delete(ctx, key); err != nil {
			return err
		}
	}
	if byContent {
		c.binned = append(c.binned, key)
	}
	n := c.sum.Deleted[why]
	c.sum.Deleted[why] = Count{n.Objects + 1, n.Bytes + size}
	c.deleted(Item{key, size, at, why})
	return nil
}

// restore marks everything again and puts back what has been named since.
func (c *collector) restore(ctx context.Context) error {
	if len(c.binned) == 0 {
		return nil
	}
	m, err := mark(ctx, c.s, nil)
	if err != nil {
		return err
	}
	for _, key := range c.binned {
		if !m.live[key] {
			continue
		}
		data, err := c.s.Get(ctx, trash+key)
		if err != nil {
			return err
		}
		if err := c.s.Put(ctx, key, data); err != nil {
			return err
		}
		c.sum.Restored++
	}
	return nil
}

// missing compares what is named with what is there.
func (c *collector) missing(ctx context.Context, m *marks) error {
	there := map[string]bool{}
	for _, folder := range []string{"data/", "watermarks/"} {
		keys, err := c.s.List(ctx, folder, "", 0)
		if err != nil {
			return err
		}
		for _, key := range keys {
			there[key] = true
		}
	}
	for key := range m.live {
		if (strings.HasPrefix(key, "data/") || strings.HasPrefix(key, "watermarks/")) && !there[key] && !m.superseded[key] {
			c.sum.Missing++
			c.sum.MissingFirst = append(c.sum.MissingFirst, key)
		}
	}
	slices.Sort(c.sum.MissingFirst)
	c.sum.MissingFirst = c.sum.MissingFirst[:min(len(c.sum.MissingFirst), 10)]
	return nil
}
