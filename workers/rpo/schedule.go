package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"slices"
	"strings"
	"time"

	commonpb "go.temporal.io/api/common/v1"
	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/converter"
	"go.temporal.io/sdk/temporal"

	"rpo/schemas"
)

var scheduleID = regexp.MustCompile(`^[A-Za-z0-9][A-Za-z0-9._-]{0,63}$`)

// scheduleActions are the subcommands of `rpo schedule`.
var scheduleActions = map[string]func(context.Context, *flag.FlagSet, []string) error{
	"apply": applySchedules, "list": listSchedules, "backfill": backfillSchedule,
	"trigger": onSchedule("started a run of", func(ctx context.Context, h client.ScheduleHandle, _ string) error {
		return h.Trigger(ctx, client.ScheduleTriggerOptions{})
	}),
	"pause": onSchedule("paused", func(ctx context.Context, h client.ScheduleHandle, note string) error {
		return h.Pause(ctx, client.SchedulePauseOptions{Note: note})
	}),
	"unpause": onSchedule("unpaused", func(ctx context.Context, h client.ScheduleHandle, note string) error {
		return h.Unpause(ctx, client.ScheduleUnpauseOptions{Note: note})
	}),
	"delete": onSchedule("deleted", func(ctx context.Context, h client.ScheduleHandle, _ string) error { return h.Delete(ctx) }),
}

func scheduleCommand(ctx context.Context, args []string) error {
	if len(args) == 0 || scheduleActions[args[0]] == nil {
		return schemas.Errorf(usageError, "want one of apply FILE, list, trigger ID, pause ID, unpause ID, backfill ID, delete ID")
	}
	return scheduleActions[args[0]](ctx, flag.NewFlagSet("schedule "+args[0], flag.ContinueOnError), args[1:])
}

// schedules are those of one namespace.
type schedules struct {
	client client.Client
	// data decodes the memos of their runs.
	data converter.DataConverter
}

func dialSchedules(ctx context.Context) (*schedules, error) {
	secret, err := codecOf("")
	if err != nil {
		return nil, err
	}
	c, err := dialWith(ctx, newLogger(slog.LevelError), secret, nil)
	if err != nil {
		return nil, err
	}
	s := &schedules{client: c, data: converter.GetDefaultDataConverter()}
	if secret != nil {
		s.data, _ = secret.converters()
	}
	return s, nil
}

// describe returns a schedule and its handle, errMissing if there is none.
func (s *schedules) describe(ctx context.Context, id string) (client.ScheduleHandle, *client.ScheduleDescription, error) {
	h := s.client.ScheduleClient().GetHandle(ctx, id)
	d, err := h.Describe(ctx)
	if _, missing := errors.AsType[*serviceerror.NotFound](err); missing {
		return h, nil, schemas.Errorf(schemas.NotFound, "schedule %q: %w", id, errMissing)
	}
	if err != nil {
		return h, nil, fmt.Errorf("look at schedule %s: %w", id, err)
	}
	return h, d, nil
}

// applySchedules makes the schedules of a file be as it says. All of it is read
// before anything is changed; others are left alone.
func applySchedules(ctx context.Context, flags *flag.FlagSet, args []string) error {
	force := flags.Bool("force", false, "update also those that are as applied before, over changes made in the web UI")
	dryRun := flags.Bool("dry-run", false, "check the file and change nothing")
	rest, err := parseFlags(flags, args, "FILE")
	if err != nil {
		return err
	}
	var data []byte
	if rest[0] == "-" {
		data, err = io.ReadAll(os.Stdin)
	} else {
		data, err = os.ReadFile(rest[0])
	}
	if err != nil {
		return schemas.Errorf(schemas.NotFound, "read schedules: %w", err)
	}
	wanted, err := readSchedules(data)
	if err != nil {
		return schemas.Errorf(schemas.InvalidInput, "%s: %w", rest[0], err)
	}
	if *dryRun {
		fmt.Printf("%d schedules are well formed\n", len(wanted))
		return nil
	}
	s, err := dialSchedules(ctx)
	if err != nil {
		return err
	}
	defer s.client.Close()
	for _, w := range wanted {
		outcome, err := s.apply(ctx, w, *force)
		if err != nil {
			return schemas.Errorf(schemas.TypeOf(err), "apply schedule %s: %w", w.ID, err)
		}
		fmt.Println(outcome, w.ID)
	}
	return nil
}

// apply creates or updates one schedule and says which. A paused one stays
// paused, with its note.
func (s *schedules) apply(ctx context.Context, w schedule, force bool) (outcome string, err error) {
	hash, err := w.hash()
	if err != nil {
		return "", err
	}
	policy := w.policy()
	h, d, err := s.describe(ctx, w.ID)
	if errors.Is(err, errMissing) {
		_, err = s.client.ScheduleClient().Create(ctx, client.ScheduleOptions{ID: w.ID, Spec: w.spec(), Action: w.action(hash),
			Overlap: policy.Overlap, CatchupWindow: policy.CatchupWindow, PauseOnFailure: policy.PauseOnFailure, Note: w.Note})
		if !errors.Is(err, temporal.ErrScheduleAlreadyRunning) {
			return "created", refusedByServer(err)
		}
		h, d, err = s.describe(ctx, w.ID) // another one was faster
	}
	if err != nil {
		return "", err
	}
	if !force && s.hashOf(d) == hash {
		return "unchanged", nil
	}
	err = h.Update(ctx, client.ScheduleUpdateOptions{DoUpdate: func(now client.ScheduleUpdateInput) (*client.ScheduleUpdate, error) {
		spec, state := w.spec(), client.ScheduleState{Note: w.Note}
		if old := now.Description.Schedule.State; old != nil {
			state.Paused, state.LimitedActions, state.RemainingActions = old.Paused, old.LimitedActions, old.RemainingActions
			if old.Paused {
				state.Note = old.Note
			}
		}
		return &client.ScheduleUpdate{Schedule: &client.Schedule{Action: w.action(hash), Spec: &spec, Policy: &policy, State: &state}}, nil
	}})
	return "updated", refusedByServer(err)
}

// hashOf is the hash of what was applied last, "" for a schedule made elsewhere.
func (s *schedules) hashOf(d *client.ScheduleDescription) (hash string) {
	a, ok := d.Schedule.Action.(*client.ScheduleWorkflowAction)
	if !ok {
		return ""
	}
	p, ok := a.Memo[memoHash].(*commonpb.Payload)
	if !ok || s.data.FromPayload(p, &hash) != nil {
		return ""
	}
	return hash
}

// refusedByServer makes a mistake that only the server finds, in a cron
// expression for example, one of the input.
func refusedByServer(err error) error {
	if e, ok := errors.AsType[*serviceerror.InvalidArgument](err); ok {
		return schemas.Errorf(schemas.InvalidInput, "the server refuses it: %w", e)
	}
	return err
}

// onSchedule is a subcommand that does one thing to one schedule.
func onSchedule(done string, do func(ctx context.Context, h client.ScheduleHandle, note string) error) func(context.Context, *flag.FlagSet, []string) error {
	return func(ctx context.Context, flags *flag.FlagSet, args []string) error {
		var note string
		if strings.HasSuffix(done, "paused") {
			flags.StringVar(&note, "note", done+" by rpo schedule", "why; shown beside the schedule")
		}
		rest, err := parseFlags(flags, args, "ID")
		if err != nil {
			return err
		}
		s, err := dialSchedules(ctx)
		if err != nil {
			return err
		}
		defer s.client.Close()
		h, _, err := s.describe(ctx, rest[0])
		if err != nil {
			return err
		}
		if err := do(ctx, h, note); err != nil {
			return fmt.Errorf("schedule %s: %w", rest[0], err)
		}
		fmt.Println(done, rest[0])
		return nil
	}
}

// backfillSchedule starts the runs of a past period, one after the other. Each is
// started with its own scheduled time.
func backfillSchedule(ctx context.Context, flags *flag.FlagSet, args []string) error {
	from := flags.String("from", "", "first moment, such as 2026-11-01 or 2026-11-01T02:00:00Z; a day begins at 00:00 UTC")
	to := flags.String("to", "", "last moment")
	rest, err := parseFlags(flags, args, "ID")
	if err != nil {
		return err
	}
	var period [2]time.Time
	for i, f := range []struct{ name, value string }{{"--from", *from}, {"--to", *to}} {
		if period[i], err = moment(f.value); err != nil {
			return schemas.Errorf(usageError, "flag %s: %w", f.name, err)
		}
	}
	if !period[0].Before(period[1]) {
		return schemas.Errorf(usageError, "flag --to: %s is not after --from", *to)
	}
	s, err := dialSchedules(ctx)
	if err != nil {
		return err
	}
	defer s.client.Close()
	h, _, err := s.describe(ctx, rest[0])
	if err != nil {
		return err
	}
	err = h.Backfill(ctx, client.ScheduleBackfillOptions{Backfill: []client.ScheduleBackfill{
		// With "skip" all but the first would be skipped, since all begin at once.
		{Start: period[0], End: period[1], Overlap: enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ALL}}})
	if err != nil {
		return fmt.Errorf("backfill schedule %s: %w", rest[0], err)
	}
	fmt.Println("backfills", rest[0])
	return nil
}

func moment(text string) (time.Time, error) {
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, text); err == nil {
			return t, nil
		}
	}
	return time.Time{}, fmt.Errorf("%q is neither a day (2026-11-01) nor a moment (2026-11-01T02:00:00Z)", text)
}

// ids are all schedules of the namespace, sorted.
func (s *schedules) ids(ctx context.Context) (ids []string, err error) {
	all, err := s.client.ScheduleClient().List(ctx, client.ScheduleListOptions{})
	if err != nil {
		return nil, fmt.Errorf("list schedules: %w", err)
	}
	for all.HasNext() {
		entry, err := all.Next()
		if err != nil {
			return nil, fmt.Errorf("list schedules: %w", err)
		}
		ids = append(ids, entry.ID)
	}
	slices.Sort(ids)
	return ids, nil
}
