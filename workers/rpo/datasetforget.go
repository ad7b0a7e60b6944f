package main

import (
	"bufio"
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"strings"
	"time"

	"rpo/activities/forget"
	"rpo/schemas"
)

// forgetRows removes the rows of profiles, personas or users from the bucket.
func forgetRows(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dataset forget", flag.ContinueOnError)
	var r forget.Request
	list := func(into *[]string) func(string) error {
		return func(id string) error {
			if id == "" {
				return errors.New("it is empty")
			}
			*into = append(*into, id)
			return nil
		}
	}
	flags.Func("profile", "id of a profile to forget; may be repeated", list(&r.Profiles))
	flags.Func("persona", "id of a persona to forget; may be repeated", list(&r.Personas))
	flags.Func("user", "id that an imported file gave to a profile, persona or seed, or SOURCE:ID: forgets all that the user brought; may be repeated", list(&r.Users))
	file := flags.String("users", "", "file with one --user a line")
	dryRun := flags.Bool("dry-run", false, "print what would go, change nothing")
	vouched := flags.Bool("no-open-runs", false, vouchHelp)
	rest, err := parseArguments(flags, args)
	if err != nil {
		return err
	}
	switch {
	case len(rest) > 1:
		return schemas.Errorf(usageError, "want at most 1 argument (NAME), got %d", len(rest))
	case len(rest) == 1:
		r.Dataset = rest[0]
	}
	if *file != "" {
		users, err := readUsers(*file)
		if err != nil {
			return err
		}
		r.Users = append(r.Users, users...)
	}
	if len(r.Profiles)+len(r.Personas)+len(r.Users) == 0 {
		return schemas.Errorf(usageError, "name whom to forget: --profile ID, --persona ID, --user ID or --users FILE")
	}
	s, err := openBucket(ctx)
	if err != nil {
		return err
	}
	if !*dryRun {
		open, done, err := watchRuns(ctx, *vouched)
		if err != nil {
			return err
		}
		defer done()
		_, ids, err := open(ctx)
		if err == nil {
			err = refuseOpen("forget", ids)
		}
		if err != nil {
			return err
		}
	}
	proof, uri, failed := forget.Forget(ctx, s, r, time.Now().UTC().Format(time.RFC3339), *dryRun)
	if failed != nil && uri == "" {
		return failed
	}
	if err := printAny(proof); err != nil {
		return err
	}
	reportForgotten(proof, uri)
	return failed
}

// readUsers reads one key a line; blank lines are skipped.
func readUsers(path string) (users []string, err error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, schemas.Errorf(schemas.NotFound, "forget: %w", err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		if key := strings.TrimSpace(lines.Text()); key != "" {
			users = append(users, key)
		}
	}
	if err := lines.Err(); err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "read %s: %w", path, err)
	}
	return users, nil
}

// reportForgotten says in sentences what the proof says in full.
func reportForgotten(p forget.Proof, uri string) {
	rows, replies := int64(0), int64(0)
	for _, n := range p.Rows {
		rows += n
	}
	for _, part := range p.Cache {
		replies += part.Removed
	}
	verb := "are gone"
	if p.DryRun {
		verb = "would go"
	}
	fmt.Fprintf(os.Stderr, "%d rows and %d cached replies %s (%d of the replies since nobody knows whom they are about)\n", rows, replies, verb, p.Untagged)
	for _, v := range p.Versions {
		switch {
		case p.DryRun:
			fmt.Fprintf(os.Stderr, "data set %s would get a version of %d rows in the place of %v\n", v.Dataset, v.Rows, v.Superseded)
		case v.Number > 0:
			fmt.Fprintf(os.Stderr, "data set %s version %d has %d rows and takes the place of %v\n", v.Dataset, v.Number, v.Rows, v.Superseded)
		}
	}
	for _, m := range p.Models {
		fmt.Fprintf(os.Stderr, "the model of %s was trained on the rows and still holds what it learned\n", m.Record)
	}
	for _, key := range p.Outside {
		fmt.Fprintf(os.Stderr, "%s still holds the rows and is no object of ours: mend it yourself\n", key)
	}
	if uri != "" {
		fmt.Fprintf(os.Stderr, "searched %d objects for %d ids and %d texts: %d hold any; the proof is %s\n", p.Search.Objects, p.Search.IDs, p.Search.Texts, len(p.Search.Found), uri)
	}
}
