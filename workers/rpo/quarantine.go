package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"rpo/activities/requeue"
	"rpo/activities/store"
	"rpo/schemas"
)

// commonReasons is how many reasons of a group are listed.
const commonReasons = 5

// quarantineCommand lists, exports and requeues the rows that a stage set aside.
func quarantineCommand(ctx context.Context, args []string) error {
	verbs := map[string]func(context.Context, []string) error{
		"list": listQuarantine, "export": exportQuarantine, "requeue": requeueCommand, "merge": mergeCommand,
	}
	return verb(ctx, "quarantine", verbs, args)
}

// verb runs the subcommand that args begin with.
func verb(ctx context.Context, command string, verbs map[string]func(context.Context, []string) error, args []string) error {
	if len(args) == 0 || verbs[args[0]] == nil {
		said := "nothing"
		if len(args) > 0 {
			said = fmt.Sprintf("%q", args[0])
		}
		return schemas.Errorf(usageError, "want one of %s after %s, got %s", strings.Join(slices.Sorted(maps.Keys(verbs)), ", "), command, said)
	}
	return verbs[args[0]](ctx, args[1:])
}

// choiceFlags are the flags that choose among quarantined rows. A mistyped type or
// age must not choose none, or all.
func choiceFlags(flags *flag.FlagSet) func() requeue.Choice {
	var c requeue.Choice
	var since, until time.Duration
	flags.Func("error-type", "only rows that were set aside with this type, such as InvalidInput; may be repeated", func(t string) error {
		c.ErrorTypes = append(c.ErrorTypes, t)
		return schemas.RetryFailed{ErrorTypes: []string{t}}.Validate()
	})
	age := func(into *time.Duration) func(string) error {
		return func(text string) (err error) {
			if *into, err = time.ParseDuration(text); err == nil && *into <= 0 {
				err = errors.New("an age is positive")
			}
			return err
		}
	}
	flags.Func("since", "only rows that were set aside within this time, such as 36h", age(&since))
	flags.Func("until", "only rows that were set aside longer ago than this, such as 12h", age(&until))
	return func() requeue.Choice {
		now := time.Now()
		if since > 0 {
			c.Since = now.Add(-since)
		}
		if until > 0 {
			c.Until = now.Add(-until)
		}
		return c
	}
}

// openQuarantine reads the manifest that a command names, by its URI or its job.
func openQuarantine(ctx context.Context, name string) (s *store.S3, uri string, m schemas.Manifest, err error) {
	if s, err = openBucket(ctx); err != nil {
		return nil, "", m, err
	}
	if uri = name; !strings.Contains(name, "://") {
		if uri, err = store.FindManifest(ctx, s, name); err != nil {
			return nil, "", m, err
		}
	}
	m, err = store.GetManifest(ctx, s, uri)
	return s, uri, m, err
}

// chosenRows reads the quarantined rows that a command's arguments choose.
func chosenRows(ctx context.Context, flags *flag.FlagSet, args []string) (*store.S3, schemas.Manifest, []requeue.Row, error) {
	choice := choiceFlags(flags)
	rest, err := parseFlags(flags, args, "MANIFEST|JOB")
	if err != nil {
		return nil, schemas.Manifest{}, nil, err
	}
	s, _, m, err := openQuarantine(ctx, rest[0])
	if err != nil {
		return nil, m, nil, err
	}
	rows, err := requeue.Rows(ctx, s, m, choice())
	return s, m, rows, err
}

// openBucket connects a command to the bucket that the configuration names.
func openBucket(ctx context.Context) (*store.S3, error) {
	c, err := loadConfig("")
	if err != nil {
		return nil, err
	}
	return openStore(ctx, c.Bucket)
}

// quarantineGroup counts rows that were set aside alike.
type quarantineGroup struct {
	Stage     string `json:"stage"`
	Table     string `json:"table"`
	ErrorType string `json:"error_type"`
	Rows      int64  `json:"rows"`
	// Oldest and Newest are when they were set aside, null where nobody knows.
	Oldest *time.Time `json:"oldest"`
	Newest *time.Time `json:"newest"`
	// Reasons lists the most frequent ones with their counts.
	Reasons []string `json:"reasons"`

	reasons map[string]int
}

func listQuarantine(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("quarantine list", flag.ContinueOnError)
	_, m, rows, err := chosenRows(ctx, flags, args)
	if err != nil {
		return err
	}
	data, err := json.Marshal(map[string]any{"stage": m.Stage, "job": m.Job, "rows": len(rows), "books": m.Books, "groups": groups(rows)})
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode the list: %w", err)
	}
	return printJSON(data)
}

// groups counts rows by stage, table and error type, the largest group first.
func groups(rows []requeue.Row) []*quarantineGroup {
	out := []*quarantineGroup{}
	at := map[[3]string]*quarantineGroup{}
	for _, r := range rows {
		key := [3]string{r.Stage, r.Table, r.ErrorType}
		g := at[key]
		if g == nil {
			g = &quarantineGroup{Stage: r.Stage, Table: r.Table, ErrorType: r.ErrorType, reasons: map[string]int{}}
			at[key], out = g, append(out, g)
		}
		g.Rows++
		g.reasons[r.Reason]++
		if r.Since != nil && (g.Oldest == nil || r.Since.Before(*g.Oldest)) {
			g.Oldest = r.Since
		}
		if r.Since != nil && (g.Newest == nil || r.Since.After(*g.Newest)) {
			g.Newest = r.Since
		}
	}
	for _, g := range out {
		g.Reasons = mostFrequent(g.reasons, commonReasons)
	}
	slices.SortStableFunc(out, func(a, b *quarantineGroup) int { return int(b.Rows - a.Rows) })
	return out
}

// exportedRow is one line of an export, and of a file to requeue.
type exportedRow struct {
	Stage     string     `json:"stage"`
	Table     string     `json:"table"`
	RowID     string     `json:"row_id"`
	ErrorType string     `json:"error_type"`
	Reason    string     `json:"reason"`
	Since     *time.Time `json:"since"`
	Shard     int        `json:"shard"`
	// Request is the row or the call that failed, as JSON where it is JSON.
	Request json.RawMessage `json:"request"`
	// Row is the row itself, null where it is not at hand. A turn's system message,
	// history and query may be mended here.
	Row json.RawMessage `json:"row"`
}

func exportQuarantine(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("quarantine export", flag.ContinueOnError)
	s, m, rows, err := chosenRows(ctx, flags, args)
	if err != nil {
		return err
	}
	bodies, err := requeue.Bodies(ctx, s, m, rows)
	if err != nil {
		return err
	}
	return writeQuarantine(os.Stdout, rows, bodies)
}

func writeQuarantine(w io.Writer, rows []requeue.Row, bodies map[string][]byte) error {
	out := json.NewEncoder(w)
	out.SetEscapeHTML(false)
	for _, r := range rows {
		line := exportedRow{Stage: r.Stage, Table: r.Table, RowID: r.RowID, ErrorType: r.ErrorType, Reason: r.Reason, Since: r.Since, Shard: r.Shard,
			Request: json.RawMessage(r.Request), Row: bodies[r.RowID]}
		if !json.Valid(line.Request) {
			line.Request, _ = json.Marshal(r.Request)
		}
		if line.Row == nil {
			line.Row = json.RawMessage("null")
		}
		if err := out.Encode(line); err != nil {
			return schemas.Errorf(schemas.Internal, "export a quarantined row: %w", err)
		}
	}
	return nil
}

// readQuarantine reads the lines of an export: which rows they name, and their
// turns.
func readQuarantine(path string, r io.Reader) (ids map[string]bool, mended requeue.Mended, err error) {
	data, err := io.ReadAll(r)
	if err != nil {
		return nil, nil, schemas.Errorf(schemas.NotFound, "read %s: %w", path, err)
	}
	ids, mended = map[string]bool{}, requeue.Mended{}
	number := 0
	for line := range bytes.Lines(data) {
		number++
		if len(bytes.TrimSpace(line)) == 0 {
			continue
		}
		var row exportedRow
		if err := schemas.DecodeStrict(line, &row); err != nil {
			return nil, nil, schemas.Errorf(schemas.InvalidInput, "%s line %d: %w", path, number, err)
		}
		if row.RowID == "" {
			return nil, nil, schemas.Errorf(schemas.InvalidInput, "%s line %d: row_id is missing", path, number)
		}
		ids[row.RowID] = true
		if row.Table != schemas.TableTurn || len(row.Row) == 0 || string(row.Row) == "null" {
			continue
		}
		turn, err := schemas.RowFromJSON[schemas.Turn](row.Row)
		if err != nil {
			return nil, nil, schemas.Errorf(schemas.InvalidInput, "%s line %d: %w", path, number, err)
		}
		if turn.TurnID != row.RowID {
			return nil, nil, schemas.Errorf(schemas.InvalidInput, "%s line %d: row_id and the row's turn_id differ", path, number)
		}
		mended[row.RowID] = turn
	}
	if len(ids) == 0 {
		return nil, nil, schemas.Errorf(schemas.InvalidInput, "%s names no row", path)
	}
	return ids, mended, nil
}
