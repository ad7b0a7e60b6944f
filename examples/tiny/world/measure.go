package main

import (
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

// runMeasure samples answers to the bundled profiles of one split from an
// OpenAI-compatible endpoint and prints the satisfaction per kind of constraint.
func runMeasure(args []string) error {
	f := flag.NewFlagSet("world measure", flag.ExitOnError)
	url := f.String("url", "http://127.0.0.1:8080/v1", "base URL of the endpoint")
	model := f.String("model", "tiny", "model name")
	profiles := f.String("profiles", "profiles.jsonl", "bundled profiles")
	split := f.String("split", schemas.SplitEval, "split to measure")
	n := f.Int("n", 5, "answers per question")
	limit := f.Int("max-tokens", 64, "most tokens of an answer")
	show := f.Int("show", 3, "answers to print")
	out := f.String("out", "", "JSON lines file for all answers, optional")
	f.Parse(args)
	bundle, err := readBundle(*profiles)
	if err != nil {
		return err
	}
	bundle = slices.DeleteFunc(bundle, func(p bundled) bool { return p.Split != *split })
	replies, err := sampleAll(*url, *model, bundle, *n, *limit)
	if err != nil {
		return err
	}
	if *out != "" {
		if err := writeAnswers(*out, bundle, replies); err != nil {
			return err
		}
	}
	for i := range min(*show, len(bundle)) {
		fmt.Printf("system: %s\nuser: %s\nassistant: %s\n\n", bundle[i].System, bundle[i].Queries[0], replies[i][0].Message.Content)
	}
	return printTally(bundle, replies)
}

type choice struct {
	Message      schemas.Message `json:"message"`
	FinishReason string          `json:"finish_reason"`
}

// sampleAll asks for n answers to the first question of every profile, at
// temperature 1 without truncation of the distribution.
func sampleAll(url, model string, bundle []bundled, n, limit int) ([][]choice, error) {
	out := make([][]choice, len(bundle))
	errs := make([]error, len(bundle))
	var wg sync.WaitGroup
	slots := make(chan struct{}, 8)
	for i, p := range bundle {
		wg.Add(1)
		slots <- struct{}{}
		go func() {
			defer wg.Done()
			defer func() { <-slots }()
			out[i], errs[i] = ask(url, map[string]any{
				"model": model, "n": n, "seed": i + 1, "max_tokens": limit,
				"temperature": 1, "top_p": 1, "top_k": 0, "min_p": 0,
				"messages": []schemas.Message{{Role: "system", Content: p.System}, {Role: "user", Content: p.Queries[0]}},
			})
		}()
	}
	wg.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return out, nil
}

func ask(url string, request map[string]any) ([]choice, error) {
	body, err := json.Marshal(request)
	if err != nil {
		return nil, err
	}
	req, err := http.NewRequestWithContext(context.Background(), http.MethodPost, url+"/chat/completions", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, schemas.Errorf(schemas.Overloaded, "ask the model: %w", err)
	}
	defer resp.Body.Close()
	data, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, err
	}
	var reply struct {
		Choices []choice `json:"choices"`
	}
	if err := json.Unmarshal(data, &reply); err != nil || resp.StatusCode != http.StatusOK {
		return nil, schemas.Errorf(schemas.CorruptData, "ask the model: status %d: %.300s", resp.StatusCode, data)
	}
	return reply.Choices, nil
}

// tally counts verdicts.
type tally struct{ followed, all int }

func (t tally) String() string {
	p := float64(t.followed) / float64(t.all)
	return fmt.Sprintf("%.3f ± %.3f (n %d)", p, 1.96*math.Sqrt(p*(1-p)/float64(t.all)), t.all)
}

func printTally(bundle []bundled, replies [][]choice) error {
	byKind := map[string]tally{}
	add := func(name string, ok bool) {
		t := byKind[name]
		t.all++
		if ok {
			t.followed++
		}
		byKind[name] = t
	}
	words, answers, stopped := 0, 0, 0
	for i, p := range bundle {
		for _, c := range replies[i] {
			answers++
			words += len(strings.Fields(c.Message.Content))
			if c.FinishReason == "stop" {
				stopped++
			}
			perfect := true
			for _, k := range p.Constraints {
				check, err := rules.Parse(k.rule())
				if err != nil {
					return err
				}
				ok := check.Strict(c.Message.Content)
				perfect = perfect && ok
				polarity := "+"
				if k.Rule.Negated || strings.Contains(string(k.Rule.Args), "fewer than") {
					polarity = "-"
				}
				add("kind "+k.Rule.Kind, ok)
				add("kind "+k.Rule.Kind+" "+polarity, ok)
				add("all constraints", ok)
			}
			add("all answers perfect", perfect)
		}
	}
	for _, name := range slices.Sorted(maps.Keys(byKind)) {
		fmt.Printf("%-24s %s\n", name, byKind[name])
	}
	fmt.Printf("%-24s %d, %.1f words each, %d ended by themselves\n", "answers", answers, float64(words)/float64(answers), stopped)
	return nil
}

// writeAnswers writes {"id", "answers"} for every profile.
func writeAnswers(path string, bundle []bundled, replies [][]choice) error {
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	for i, p := range bundle {
		var texts []string
		for _, c := range replies[i] {
			texts = append(texts, c.Message.Content)
		}
		if err := e.Encode(map[string]any{"id": p.ID, "answers": texts}); err != nil {
			return err
		}
	}
	return os.WriteFile(path, b.Bytes(), 0o644)
}
