package main

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"
	_ "time/tzdata" // zones are checked also where the machine has no list of them

	enumspb "go.temporal.io/api/enums/v1"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/temporal"
	"gopkg.in/yaml.v3"

	"rpo/schemas"
	"rpo/workflows"
)

// schedule is one entry of a schedules file. Every field but ID, Workflow and one
// of Cron and Every is optional.
type schedule struct {
	// ID is the schedule's name, and the beginning of the ids of its runs.
	ID string `json:"id"`
	// Workflow is a workflow type, Input its input.
	Workflow string          `json:"workflow"`
	Input    json.RawMessage `json:"input"`
	// Cron has five to seven fields or a name such as @daily. Every is a fixed
	// interval instead, counted from 1970-01-01 00:00 UTC plus Offset.
	Cron   string           `json:"cron,omitempty"`
	Every  schemas.Duration `json:"every,omitempty"`
	Offset schemas.Duration `json:"offset,omitempty"`
	// TimeZone is of Cron, an IANA name. Default UTC.
	TimeZone string `json:"time_zone,omitempty"`
	// Jitter delays each run by up to so much, to spread load. Default 0.
	Jitter schemas.Duration `json:"jitter,omitempty"`
	// Overlap says what happens when the run before has not ended: "skip", or
	// "buffer_one" to run once it has. Default "skip".
	Overlap string `json:"overlap,omitempty"`
	// CatchupWindow is how late a run may start after an outage. Default 12h.
	CatchupWindow schemas.Duration `json:"catchup_window,omitempty"`
	// PauseOnFailure pauses the schedule when a run fails. Default true. A refresh
	// that gave way counts as cancelled and pauses nothing.
	PauseOnFailure *bool `json:"pause_on_failure,omitempty"`
	// Priority is that of the runs, 1 (first) to 5. Default 5, behind what people
	// start.
	Priority int `json:"priority,omitempty"`
	// Note is shown beside the schedule. Default: what to do when it is paused.
	Note string `json:"note,omitempty"`
}

var overlaps = map[string]enumspb.ScheduleOverlapPolicy{
	"skip": enumspb.SCHEDULE_OVERLAP_POLICY_SKIP, "buffer_one": enumspb.SCHEDULE_OVERLAP_POLICY_BUFFER_ONE,
}

// readSchedules decodes a schedules file. Each error begins with the path of the
// entry or field that is wrong.
func readSchedules(data []byte) ([]schedule, error) {
	d := yaml.NewDecoder(bytes.NewReader(data))
	var raw map[string]any
	if err := d.Decode(&raw); err != nil && err != io.EOF {
		return nil, schemas.Errorf(schemas.InvalidInput, "%w", err)
	}
	if err := d.Decode(new(any)); err != io.EOF {
		return nil, schemas.Errorf(schemas.InvalidInput, "more than one YAML document: put all schedules into one list")
	}
	entries, ok := raw["schedules"].([]any)
	for _, key := range slices.Sorted(maps.Keys(raw)) {
		if key != "schedules" {
			return nil, schemas.Errorf(schemas.InvalidInput, "unknown field %q: known is schedules", key)
		}
	}
	if !ok || len(entries) == 0 {
		return nil, schemas.Errorf(schemas.InvalidInput, "schedules: want a list of at least one schedule")
	}
	var out []schedule
	for i, entry := range entries {
		s, err := readSchedule(entry)
		at := fmt.Sprintf("schedules[%d]", i)
		if err == nil && slices.ContainsFunc(out, func(o schedule) bool { return o.ID == s.ID }) {
			err = schemas.Errorf(schemas.InvalidInput, "field \"id\": %q is another schedule's already", s.ID)
		}
		if err != nil {
			return nil, schemas.Errorf(schemas.InvalidInput, "%s: %w", at, err)
		}
		out = append(out, s)
	}
	return out, nil
}

// readSchedule decodes one entry by way of JSON, which has the strict decoder.
func readSchedule(entry any) (s schedule, err error) {
	data, err := json.Marshal(entry)
	if err != nil {
		return s, fmt.Errorf("%w: keys must be strings", err)
	}
	if err := schemas.DecodeStrict(data, &s); err != nil {
		return s, err
	}
	s.setDefaults()
	return s, s.validate()
}

func (s *schedule) setDefaults() {
	if s.Overlap == "" {
		s.Overlap = "skip"
	}
	if s.CatchupWindow == 0 {
		s.CatchupWindow = schemas.Duration(12 * time.Hour)
	}
	if s.PauseOnFailure == nil {
		pause := true
		s.PauseOnFailure = &pause
	}
	if s.Priority == 0 {
		s.Priority = 5
	}
	if s.Note == "" {
		s.Note = "A run that fails pauses this schedule: mend the cause, then rpo schedule unpause " + s.ID
		if !*s.PauseOnFailure {
			s.Note = "Runs that fail do not pause this schedule."
		}
	}
}

func (s *schedule) validate() error {
	bad := func(field, format string, args ...any) error {
		return schemas.Errorf(schemas.InvalidInput, "field %q: "+format, append([]any{field}, args...)...)
	}
	inputs := workflows.Inputs()
	in, known := inputs[s.Workflow]
	fields := len(strings.Fields(s.Cron))
	_, overlap := overlaps[s.Overlap]
	_, zoneErr := time.LoadLocation(s.TimeZone)
	switch {
	case !scheduleID.MatchString(s.ID):
		return bad("id", "%.80q is not 1 to 64 letters, digits, dots, dashes or underscores that begin with a letter or digit", s.ID)
	case !known:
		return bad("workflow", "%.80q is not one of %s", s.Workflow, strings.Join(slices.Sorted(maps.Keys(inputs)), ", "))
	case (s.Cron == "") == (s.Every == 0):
		return bad("cron", "give either cron or every")
	case s.Cron != "" && !strings.HasPrefix(s.Cron, "@") && (fields < 5 || fields > 7):
		return bad("cron", "%.80q has %d fields, want 5 to 7, such as \"0 2 * * *\"", s.Cron, fields)
	case strings.Contains(s.Cron, "TZ="):
		return bad("cron", "names a time zone: put it into time_zone")
	case s.Every != 0 && s.Every < schemas.Duration(time.Minute):
		return bad("every", "%s is under 1m", time.Duration(s.Every))
	case s.Offset != 0 && (s.Offset < 0 || s.Offset >= s.Every):
		return bad("offset", "%s is not from 0 to under every", time.Duration(s.Offset))
	case s.TimeZone == "Local" || zoneErr != nil:
		return bad("time_zone", "%.80q is no IANA time zone, such as Europe/Berlin", s.TimeZone)
	case s.Jitter < 0:
		return bad("jitter", "%s is negative", time.Duration(s.Jitter))
	case !overlap:
		return bad("overlap", "%.80q is not skip or buffer_one", s.Overlap)
	case s.CatchupWindow < schemas.Duration(10*time.Second):
		return bad("catchup_window", "%s is under 10s", time.Duration(s.CatchupWindow))
	case s.Priority < 1 || s.Priority > 5:
		return bad("priority", "%d is not between 1 and 5", s.Priority)
	}
	if err := schemas.DecodeInput(s.Input, in); err != nil {
		return schemas.Errorf(schemas.InvalidInput, "input: %w", err)
	}
	return nil
}

// hash is of all that the schedule says, and of how this program turns it into
// Temporal's: two that are equal need no update.
func (s *schedule) hash() (string, error) {
	data, err := json.Marshal(s)
	if err != nil {
		return "", schemas.Errorf(schemas.Internal, "encode schedule %s: %w", s.ID, err)
	}
	sum := sha256.Sum256(append([]byte("1 "), data...))
	return hex.EncodeToString(sum[:]), nil
}

// memoHash is the field of the runs' memo that holds the hash of their schedule.
const memoHash = "rpo_schedule"

func (s *schedule) spec() client.ScheduleSpec {
	spec := client.ScheduleSpec{Jitter: time.Duration(s.Jitter), TimeZoneName: s.TimeZone}
	if s.Cron != "" {
		spec.CronExpressions = []string{s.Cron}
	} else {
		spec.Intervals = []client.ScheduleIntervalSpec{{Every: time.Duration(s.Every), Offset: time.Duration(s.Offset)}}
	}
	return spec
}

func (s *schedule) action(hash string) *client.ScheduleWorkflowAction {
	return &client.ScheduleWorkflowAction{
		ID: s.ID, Workflow: s.Workflow, TaskQueue: workflows.QueueWorkflows, Args: []any{s.Input},
		Memo: map[string]any{memoHash: hash}, StaticSummary: "scheduled by " + s.ID,
		Priority: temporal.Priority{PriorityKey: s.Priority},
	}
}

func (s *schedule) policy() client.SchedulePolicies {
	return client.SchedulePolicies{Overlap: overlaps[s.Overlap], CatchupWindow: time.Duration(s.CatchupWindow), PauseOnFailure: *s.PauseOnFailure}
}

var errMissing = errors.New("there is no such schedule")
