package profile

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"io"
	"strings"
	"testing"

	"rpo/schemas"
)

// TestEverySentenceOfRealSystemPromptsCanBeAConstraint names all sentences of
// SysBench's prompts as constraints and replaces each in place.
func TestEverySentenceOfRealSystemPromptsCanBeAConstraint(t *testing.T) {
	z, err := gzip.NewReader(bytes.NewReader(realData(t, "sysbench", "sessions.jsonl.gz")))
	if err != nil {
		t.Fatal(err)
	}
	file, err := io.ReadAll(z)
	if err != nil {
		t.Fatal(err)
	}
	// Python wrote the file: missing numbers are NaN, which JSON has not.
	d := json.NewDecoder(bytes.NewReader(bytes.ReplaceAll(file, []byte(": NaN"), []byte(": null"))))
	prompts, named, found, refused, criteria := 0, 0, 0, 0, 0
	for d.More() {
		var session struct {
			System string `json:"system_prompt"`
			Turns  []struct {
				Criteria []struct{ Content string }
			}
		}
		if err := d.Decode(&session); err != nil {
			t.Fatal(err)
		}
		prompts++
		if languageOf(session.System) != schemas.Chinese {
			t.Errorf("not Chinese: %.60q", session.System)
		}
		all := units(session.System)
		letters := func(s string) string {
			return strings.Join(strings.FieldsFunc(s, func(r rune) bool { return !wordRune(r) || r < 0x100 }), "")
		}
		var texts, reply = "", extractReply{}
		for i, u := range all {
			texts += session.System[u.start:u.end]
			if len(reply.Constraints) < mostExtracted {
				reply.Constraints = append(reply.Constraints, extracted{i + 1, "", schemas.FamilyContent, ""})
			}
		}
		// List numbers such as 一、 are no part of a sentence.
		if got, want := len(letters(texts)), len(letters(session.System)); got > want || got < want-200 {
			t.Errorf("%d of %d bytes of words are in sentences of %.60q", got, want, session.System)
		}
		data, _ := json.Marshal(reply)
		demands, err := parseExtract(string(data), session.System, all)
		if err != nil {
			t.Fatal(err)
		}
		var in Imported
		in.add("sysbench", draft{sourceID: "a", split: schemas.SplitTrain, system: session.System, demands: demands}, Options{})
		checkProfile(t, in.Profiles[0])
		named += len(reply.Constraints)
		found += len(demands)
		for _, turn := range session.Turns {
			for _, c := range turn.Criteria {
				criteria++
				if flawed(c.Content, schemas.Chinese) != "" {
					refused++
				}
			}
		}
	}
	t.Logf("%d prompts, %d sentences named, %d found once; %d of %d criteria have words that a constraint must not have", prompts, named, found, refused, criteria)
	if found < named*9/10 {
		t.Errorf("%d of %d", found, named)
	}
}
