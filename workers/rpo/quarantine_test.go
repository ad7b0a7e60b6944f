package main

import (
	"bytes"
	"flag"
	"io"
	"slices"
	"strings"
	"testing"
	"time"

	"rpo/activities/requeue"
	"rpo/schemas"
)

func TestQuarantinedRowsAreCountedByWhatTheyHaveInCommon(t *testing.T) {
	old, new := time.Unix(100, 0), time.Unix(200, 0)
	row := func(kind, reason string, since *time.Time) requeue.Row {
		return requeue.Row{Quarantined: schemas.Quarantined{Stage: "judge", Table: "response", ErrorType: kind, Reason: reason}, Since: since}
	}
	got := groups([]requeue.Row{
		row("InvalidInput", "too long", nil), row("CorruptData", "no JSON", &new), row("CorruptData", "no JSON", &old), row("CorruptData", "no reason", &new),
	})
	if len(got) != 2 || got[0].ErrorType != "CorruptData" || got[0].Rows != 3 || !got[0].Oldest.Equal(old) || !got[0].Newest.Equal(new) ||
		!slices.Equal(got[0].Reasons, []string{"2: no JSON", "1: no reason"}) || got[1].Rows != 1 || got[1].Oldest != nil {
		t.Errorf("groups %+v", got)
	}
}

func TestAnExportIsReadAgainAndItsMistakesAreNamedByLine(t *testing.T) {
	turn := schemas.Turn{TurnID: "t", System: "<b>"}
	body, err := schemas.RowJSON(turn)
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	rows := []requeue.Row{
		{Quarantined: schemas.Quarantined{Table: schemas.TableTurn, RowID: "t", Request: `[{"role": "user"}]`}},
		{Quarantined: schemas.Quarantined{Table: "constraint", RowID: "c", Request: "no JSON"}},
	}
	if err := writeQuarantine(&out, rows, map[string][]byte{"t": body}); err != nil {
		t.Fatal(err)
	}
	ids, mended, err := readQuarantine("f", bytes.NewReader(out.Bytes()))
	if err != nil || len(ids) != 2 || !ids["t"] || !ids["c"] || len(mended) != 1 || mended["t"].System != "<b>" {
		t.Errorf("%s gives %v, %v, %v", out.String(), ids, mended, err)
	}
	for text, says := range map[string]string{
		"":                  "names no row",
		"\n{\"row\": 1":     "f line 2",
		`{"table": "turn"}`: "row_id is missing",
		`{"tabel": "turn"}`: "tabel",
		strings.Replace(out.String(), `"turn_id":"t"`, `"turn_id":"u"`, 1): "turn_id differ",
		strings.Replace(out.String(), `"query":"",`, ``, 1):                `column "query" is missing`,
	} {
		if _, _, err := readQuarantine("f", strings.NewReader(text)); schemas.TypeOf(err) != schemas.InvalidInput || !strings.Contains(err.Error(), says) {
			t.Errorf("%q gives %v, want %q", text, err, says)
		}
	}
}

func TestAnUnknownVerbIsAWrongCommandLine(t *testing.T) {
	for _, args := range [][]string{nil, {"lst"}} {
		if err := quarantineCommand(t.Context(), args); schemas.TypeOf(err) != usageError || !strings.Contains(err.Error(), "export, list, merge, requeue") {
			t.Errorf("%v gives %v", args, err)
		}
	}
}

func TestAMistypedChoiceChoosesNothing(t *testing.T) {
	for args, says := range map[string]string{
		"--error-type Corupt": "CorruptData",
		"--since -1h":         "positive",
		"--until yesterday":   "invalid",
	} {
		flags := flag.NewFlagSet("quarantine list", flag.ContinueOnError)
		flags.SetOutput(io.Discard)
		choiceFlags(flags)
		if _, err := parseFlags(flags, append(strings.Fields(args), "JOB"), "JOB"); schemas.TypeOf(err) != usageError || !strings.Contains(err.Error(), says) {
			t.Errorf("%s gives %v", args, err)
		}
	}
	flags := flag.NewFlagSet("quarantine list", flag.ContinueOnError)
	choice := choiceFlags(flags)
	if _, err := parseFlags(flags, []string{"--since", "36h", "--until", "12h", "--error-type", "CorruptData"}); err != nil {
		t.Fatal(err)
	}
	if c := choice(); c.Until.Sub(c.Since) != 24*time.Hour || !slices.Equal(c.ErrorTypes, []string{"CorruptData"}) {
		t.Errorf("%+v", c)
	}
}
