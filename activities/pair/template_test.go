package pair_test

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rpo/activities/pair"
	"rpo/schemas"
)

// written is a Chinese profile as GenerateProfiles renders one.
func written(name, description, skill string, constraints ...string) string {
	return "你是" + name + "。\n\n" + description + "\n\n技能：\n1. " + skill +
		"\n\n每次回答都遵守以下要求：\n- " + strings.Join(constraints, "\n- ")
}

func TestWhatAllWrittenProfilesHaveContaminatesNone(t *testing.T) {
	held := written("林远", "你是一个乐于助人的人工智能助手，熟悉本地的树木与花草。", "辨认树木",
		"回答不超过一百字。", "当用户提到花朵时，先说出它的学名和科属，再说明它开花的季节和颜色。")
	english := "You are Ada.\n\nSkills:\n1. Chess\n\nEvery response follows these constraints:\n- Use no digits in anything that you write."
	e := pair.NewEvaluation()
	e.Add(schemas.Turn{System: held})
	e.Add(schemas.Turn{System: english})
	for name, c := range map[string]struct {
		text  string
		holds bool
	}{
		"the first constraint begins alike": {written("陈静", "你擅长家常菜。", "做面包", "回答必须使用中文。"), false},
		"a common first sentence":           {written("陈静", "你是一个乐于助人的人工智能助手，擅长家常菜。", "做面包", "回答必须使用中文。"), false},
		"the headings alone":                {"技能：\n每次回答都遵守以下要求：\nSkills:\nEvery response follows these constraints:", false},
		"English headings, and eight words": {strings.Replace(strings.Replace(english, "Ada", "Bo", 1), "that you write", "but years", 1), false},
		"the very profile":                  {held, true},
		"its words without the headings":    {strings.NewReplacer("技能：\n", "", "每次回答都遵守以下要求：\n", "").Replace(held), true},
		"one of its constraints": {written("陈静", "你擅长家常菜。", "做面包",
			"当用户提到花朵时，先说出它的学名和科属，再说明它开花的季节和颜色。"), true},
		"its skills and constraints, headings between them": {written("陈静", "你擅长家常菜。", "辨认树木",
			"回答不超过一百字。", "当用户提到花朵时，先说出它的学名，别的不说。"), true},
	} {
		if got := e.Holds(c.text); got != c.holds {
			t.Errorf("%s: %v", name, got)
		}
	}
}

func TestAWordOfAnotherScriptCountsAsTwoCharacters(t *testing.T) {
	const shared = "现请用JSON输出name和age两个字段并写Markdown说明文字如下" // 18 characters and 4 words
	e := pair.NewEvaluation()
	e.Add(schemas.Turn{System: "甲" + shared + "乙"})
	for text, holds := range map[string]bool{
		shared:                          true,
		strings.TrimPrefix(shared, "现"): false,
	} {
		if e.Holds("注意："+text) != holds {
			t.Errorf("%s: %v", text, !holds)
		}
	}
}

// Written by many authors, these differ but for clauses that one copied from
// another: with 13 characters in a row 125 pairs of them would share one.
func TestUnrelatedSystemMessagesOfSysBenchDoNotContaminateOneAnother(t *testing.T) {
	prompts := systemMessages(t)
	flagged := 0
	for i, p := range prompts {
		e := pair.NewEvaluation()
		e.Add(schemas.Turn{System: p})
		if !e.Holds(p) {
			t.Errorf("message %d is not found in itself", i)
		}
		runes := []rune(p)
		if third := string(runes[len(runes)/3 : 2*len(runes)/3]); !e.Holds("另外，请注意：" + third) {
			t.Errorf("a third of message %d is not found: %q", i, third)
		}
		for _, other := range prompts[:i] {
			if e.Holds(other) {
				flagged++
			}
		}
	}
	if len(prompts) != 153 || flagged != 13 {
		t.Errorf("%d of the pairs of %d messages share a run, want the 13 that share a copied clause", flagged, len(prompts))
	}
}

func systemMessages(t *testing.T) []string {
	t.Helper()
	f, err := os.Open(filepath.Join(sysBench(t), "sessions.jsonl.gz"))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	z, err := gzip.NewReader(f)
	if err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(z)
	lines.Buffer(nil, 1<<20)
	var out []string
	for lines.Scan() {
		var row struct {
			System string `json:"system_prompt"`
		}
		if err := json.Unmarshal(bytes.ReplaceAll(lines.Bytes(), []byte(": NaN"), []byte(": null")), &row); err != nil {
			t.Fatal(err)
		}
		out = append(out, row.System)
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return out
}
