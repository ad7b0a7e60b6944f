package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"time"

	"rpo/activities/collect"
	"rpo/schemas"
)

// collectCommand deletes what nothing in the bucket names any more.
func collectCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("collect", flag.ContinueOnError)
	var o collect.Options
	flags.DurationVar(&o.Grace, "grace", collect.DefaultGrace, "age under which nothing is deleted, at least 1h")
	flags.DurationVar(&o.Runs, "runs", 0, "age from which runs go that no version and no promoted model names (default: they stay)")
	flags.DurationVar(&o.Cache, "cache", 0, "age from which cached replies go (default: they stay)")
	really := flags.Bool("delete", false, "delete; without it the objects are only listed")
	vouched := flags.Bool("no-open-runs", false, vouchHelp)
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	if o.Runs < 0 || o.Cache < 0 {
		return schemas.Errorf(usageError, "flags --runs and --cache are ages: they must not be negative")
	}
	o.DryRun = !*really
	s, err := openBucket(ctx)
	if err != nil {
		return err
	}
	ask, done, err := watchRuns(ctx, *vouched)
	if err != nil {
		return err
	}
	defer done()
	lines := json.NewEncoder(os.Stdout)
	sum, err := collect.Collect(ctx, s, o, time.Now(), func(ctx context.Context) (collect.Open, error) {
		open, _, err := ask(ctx)
		return open, err
	}, func(i collect.Item) { lines.Encode(i) })
	if err != nil {
		return err
	}
	if err := lines.Encode(sum); err != nil {
		return schemas.Errorf(schemas.Internal, "print the summary: %w", err)
	}
	verb := "deleted"
	if o.DryRun {
		verb = "would be deleted (add --delete)"
	}
	objects, bytes := int64(0), int64(0)
	for _, n := range sum.Deleted {
		objects, bytes = objects+n.Objects, bytes+n.Bytes
	}
	fmt.Fprintf(os.Stderr, "%d objects of %d bytes %s; %d are too young; %d versions and %d open runs keep theirs\n", objects, bytes, verb, sum.Young, sum.Versions, sum.OpenRuns)
	if sum.Note != "" {
		fmt.Fprintln(os.Stderr, sum.Note)
	}
	if sum.Missing > 0 {
		return schemas.Errorf(schemas.CorruptData, "%d objects that records name are not in the bucket, such as %s", sum.Missing, sum.MissingFirst[0])
	}
	return nil
}
