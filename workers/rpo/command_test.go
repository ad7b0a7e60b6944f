package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"go.temporal.io/sdk/temporal"

	"rpo/activities/profile"
	"rpo/schemas"
	"rpo/workflows"
)

func TestFlagsAndArgumentsStandInAnyOrder(t *testing.T) {
	for _, tt := range []struct {
		args   []string
		rest   []string
		count  int
		quiet  bool
		failed bool
	}{
		{nil, nil, 1, false, false},
		{[]string{"a", "b"}, []string{"a", "b"}, 1, false, false},
		{[]string{"--count", "3", "a", "--quiet", "b"}, []string{"a", "b"}, 3, true, false},
		{[]string{"a", "--count=3"}, []string{"a"}, 3, false, false},
		{[]string{"-", "--quiet"}, []string{"-"}, 1, true, false},
		{[]string{"a", "--cuont", "3"}, nil, 1, false, true},
		{[]string{"--count", "three"}, nil, 1, false, true},
	} {
		flags := flag.NewFlagSet("test", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		count, quiet := flags.Int("count", 1, ""), flags.Bool("quiet", false, "")
		rest, err := parseArguments(flags, tt.args)
		if tt.failed {
			if schemas.TypeOf(err) != usageError || !errors.Is(err, errPrinted) {
				t.Errorf("%v gives %v", tt.args, err)
			}
			continue
		}
		if err != nil || !slices.Equal(rest, tt.rest) || *count != tt.count || *quiet != tt.quiet {
			t.Errorf("%v gives %v, count %d, quiet %v, %v", tt.args, rest, *count, *quiet, err)
		}
	}
}

func TestTheNumberOfArgumentsIsChecked(t *testing.T) {
	for _, args := range [][]string{{}, {"a", "b"}} {
		_, err := parseFlags(flag.NewFlagSet("test", flag.ContinueOnError), args, "FILE")
		if schemas.TypeOf(err) != usageError || !strings.Contains(err.Error(), "FILE") {
			t.Errorf("%v gives %v", args, err)
		}
	}
}

func TestTheExitStatusTellsAWrongCommandLineFromAFailure(t *testing.T) {
	for _, tt := range []struct {
		args []string
		want int
	}{
		{nil, 0}, {[]string{"help"}, 0}, {[]string{"worker", "--help"}, 0},
		{[]string{"wroker"}, 2}, {[]string{"import"}, 2}, {[]string{"start", "NoSuch"}, 2}, {[]string{"worker", "--queues", "x"}, 2},
		{[]string{"import", "/no/such/file"}, 1}, {[]string{"start", workflows.RunPipelineName}, 1}, {[]string{"worker", "--config", "/no/such/file"}, 1},
	} {
		if got := run(t.Context(), tt.args); got != tt.want {
			t.Errorf("rpo %v ends with %d, want %d", tt.args, got, tt.want)
		}
	}
}

func TestQueuesAreCheckedAndServedOnce(t *testing.T) {
	got, err := parseQueues("rpo-io, rpo,rpo-io")
	if err != nil || !slices.Equal(got, []string{"rpo-io", "rpo"}) {
		t.Errorf("%v, %v", got, err)
	}
	for _, list := range []string{"", "rpo,", "rpo,rpo-gpus", "rpo rpo-io"} {
		if _, err := parseQueues(list); schemas.TypeOf(err) != usageError || !strings.Contains(err.Error(), "rpo-llm") {
			t.Errorf("%q gives %v", list, err)
		}
	}
}

func TestThePlainFailureIsTheInnermostOneOfTheMethod(t *testing.T) {
	inner := temporal.NewApplicationError("field \"seed\": is odd", string(schemas.InvalidInput))
	outer := temporal.NewApplicationErrorWithCause("stage failed", "Wrapper", fmt.Errorf("child: %w", inner))
	got := plainFailure(fmt.Errorf("workflow: %w", outer))
	if got.Error() != "field \"seed\": is odd" || schemas.TypeOf(got) != schemas.InvalidInput || !errors.Is(got, inner) {
		t.Errorf("%v of type %s", got, schemas.TypeOf(got))
	}
	if other := errors.New("no connection"); plainFailure(other) != other {
		t.Error("an error that is no application error was changed")
	}
	if err := plainFailure(temporal.NewCanceledError()); !temporal.IsCanceledError(err) {
		t.Errorf("a cancel became %v", err)
	}
}

func TestTheMostFrequentReasonsComeFirst(t *testing.T) {
	counts := map[string]int{"rare": 1, "often": 9, "b": 3, "a": 3}
	for limit, want := range map[int][]string{
		9: {"9: often", "3: a", "3: b", "1: rare"},
		4: {"9: often", "3: a", "3: b", "1: rare"},
		2: {"9: often", "3: a", "and 2 other reasons"},
		0: {"and 4 other reasons"},
	} {
		if got := mostFrequent(counts, limit); !slices.Equal(got, want) {
			t.Errorf("at most %d: %q, want %q", limit, got, want)
		}
	}
	if got := mostFrequent(nil, 3); len(got) != 0 {
		t.Errorf("nothing gives %q", got)
	}
}

func TestABarShowsHowFarAStageIs(t *testing.T) {
	for _, tt := range []struct {
		status      string
		done, total int
		filled      int
		says        string
	}{
		{schemas.StatusPending, 0, 0, 0, "····"},
		{schemas.StatusRunning, 0, 0, 0, "starting, 3 s"},
		{schemas.StatusRunning, 0, 7, 0, "0/7 shards, 3 s"},
		{schemas.StatusRunning, 3, 6, 14, "3/6 shards, 3 s"},
		{schemas.StatusRunning, 6, 6, 28, "6/6 shards, 3 s"},
		{schemas.StatusRunning, 7, 6, 28, "7/6 shards, 3 s"},
		{schemas.StatusDone, 0, 0, 28, "done, 3 s"},
		{schemas.StatusFailed, 0, 0, 0, "failed, 3 s"},
	} {
		line := bar(schemas.PipelineStage{Stage: "sample", Status: tt.status}, tt.done, tt.total, "shards", 3*time.Second+400*time.Millisecond)
		if strings.Count(line, "█") != tt.filled || !strings.Contains(line, tt.says) || !strings.Contains(line, "sample") {
			t.Errorf("%s %d of %d gives %q", tt.status, tt.done, tt.total, line)
		}
		if n := strings.Count(line, "█") + strings.Count(line, "░") + strings.Count(line, "·"); n != 28 {
			t.Errorf("%s: the bar is %d wide", tt.status, n)
		}
	}
}

func TestASummaryShowsEveryFigure(t *testing.T) {
	accuracy := 0.9125
	s := schemas.Summary{
		Dialogues: 11, Responses: 55, Verdicts: 165, Quarantined: 4, Pairs: 30, PairsByG: map[string]int64{"10": 1, "2": 9, "1": 20},
		TrainSteps: 12, LossFirst: 0.77096, LossLast: 0.5, RewardAccuracy: &accuracy,
		BaseSatisfaction: 0.61, TrainedSatisfaction: 0.84, EvalVerdicts: 1234, EvalProfiles: 77, Difference: 0.23, DifferenceCI95: [2]float64{0.2, 0.26},
		Dataset: "tiny", DatasetVersion: 3, DatasetHash: "abc", Report: "report.html",
	}
	var out strings.Builder
	printSummary(&out, s)
	for _, part := range []string{"11", "55", "165", "quarantined rows       4", "30 (g=1: 20, g=2: 9, g=10: 1)", "12, loss 0.7710 -> 0.5000", "0.912",
		"base 0.610, trained 0.840 (1234 verdicts each on 77 held-out profiles)", "+0.230, 95 % interval [+0.200, +0.260]", "tiny version 3, hash abc", "report.html"} {
		if !strings.Contains(out.String(), part) {
			t.Errorf("the summary does not say %q:\n%s", part, out.String())
		}
	}
	if strings.Contains(out.String(), "reused") {
		t.Error("a run that made everything itself says that it reused something")
	}
	s.RewardAccuracy, s.Stages = nil, []schemas.StageResult{{Shards: 8, Reused: 3}, {Shards: 1}}
	out.Reset()
	printSummary(&out, s)
	if strings.Contains(out.String(), "accuracy") || !strings.Contains(out.String(), "3 of 9 committed shards") {
		t.Errorf("without held-out pairs and with reused shards:\n%s", out.String())
	}
}

func TestTheFirstLineIsSentOnceHoweverItIsWritten(t *testing.T) {
	line := make(chan []byte, 1)
	f := &firstLine{line: line}
	for _, part := range []string{"{\"url\"", ": 1}\nnoise\n", "more\n"} {
		if n, err := f.Write([]byte(part)); n != len(part) || err != nil {
			t.Fatalf("%d, %v", n, err)
		}
	}
	if got := string(<-line); got != `{"url": 1}` {
		t.Errorf("got %q", got)
	}
	if len(line) != 0 {
		t.Error("a second line was sent")
	}
}

func TestTheFormatIsToldByTheFirstWholeLine(t *testing.T) {
	for text, want := range map[string]string{
		"\n \n{\"system\": \"s\", \"constraints\": []}\n":        profile.FormatProfiles,
		"{\"id\": \"a\", \"system\": \"s\"}\n":                   profile.FormatSeeds,
		"{\"id\": \"a\", \"description\": \"s\"}":                profile.FormatSeeds,
		"{\"instruction_id_list\": [], \"messages\": []}\n{oops": profile.FormatSystemIFEval,
		"{\"instruction_id_list\": [], \"prompt\": \"\"}":        profile.FormatIFEval,
		"": profile.FormatProfiles, "{oops": profile.FormatProfiles, "<html>": profile.FormatProfiles, // refused by its reader, with the line
	} {
		if got, err := sniff([]byte(text)); err != nil || got != want {
			t.Errorf("%q is %q, %v, want %q", text, got, err, want)
		}
	}
	for _, text := range []string{`{"question": 1}`, `[1]`} {
		if got, err := sniff([]byte(text)); err == nil {
			t.Errorf("%q is %q", text, got)
		}
	}
}
