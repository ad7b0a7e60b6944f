package main

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"strings"

	"rpo/schemas"
)

const usage = "world: use profiles, text or measure as the first argument; each explains its flags with -help"

func main() {
	if err := run(os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "world:", err)
		os.Exit(1)
	}
}

func run(args []string) error {
	if len(args) == 0 {
		return schemas.Errorf(schemas.InvalidInput, usage)
	}
	switch args[0] {
	case "profiles":
		return runProfiles(args[1:])
	case "text":
		return runText(args[1:])
	case "measure":
		return runMeasure(args[1:])
	}
	return schemas.Errorf(schemas.InvalidInput, usage)
}

func runProfiles(args []string) error {
	f := flag.NewFlagSet("world profiles", flag.ExitOnError)
	out := f.String("out", "profiles.jsonl", "file to write")
	seed := f.Uint64("seed", 1, "seed")
	train := f.Int("train", 400, "profiles for training")
	eval := f.Int("eval", 300, "held-out profiles")
	f.Parse(args)
	bundle, err := newBundle(*seed, *train, *eval)
	if err != nil {
		return err
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	for _, p := range bundle {
		if err := e.Encode(p); err != nil {
			return err
		}
	}
	return os.WriteFile(*out, b.Bytes(), 0o644)
}

func runText(args []string) error {
	f := flag.NewFlagSet("world text", flag.ExitOnError)
	out := f.String("out", "text.parquet", "Parquet file to write")
	corpus := f.String("corpus", "", "text file for the tokenizer, optional")
	profiles := f.String("profiles", "profiles.jsonl", "bundled profiles whose combinations are left out")
	var s settings
	f.Uint64Var(&s.seed, "seed", 1, "seed")
	f.IntVar(&s.count, "examples", 100_000, "number of examples")
	f.Float64Var(&s.follow, "follow", 0.7, "probability that an answer follows a constraint")
	f.IntVar(&s.least, "least", 2, "least constraints of an example")
	f.IntVar(&s.most, "most", 7, "most constraints of an example")
	f.Float64Var(&s.lean, "lean", 0, "share of the negative constraints that turn positive")
	f.BoolVar(&s.brief, "brief", false, "answers of one short sentence that names the topic")
	kinds := f.String("kinds", allKinds, "kinds of constraints to draw from; one that is named more often is drawn more often")
	f.Parse(args)
	bundle, err := readBundle(*profiles)
	if err != nil {
		return err
	}
	s.kinds = strings.Split(*kinds, ",")
	s.leaveOut = map[string]bool{}
	for _, p := range bundle {
		s.leaveOut[p.combination()] = true
	}
	examples, err := newText(s)
	if err != nil {
		return err
	}
	if *corpus != "" {
		var b strings.Builder
		for _, x := range examples {
			for _, m := range append(x.Prompt, x.Chosen...) {
				b.WriteString(m.Content + "\n")
			}
		}
		if err := os.WriteFile(*corpus, []byte(b.String()), 0o644); err != nil {
			return err
		}
	}
	data, err := schemas.Encode(examples)
	if err != nil {
		return err
	}
	return os.WriteFile(*out, data, 0o644)
}

// readBundle reads profiles.jsonl.
func readBundle(path string) ([]bundled, error) {
	data, err := os.ReadFile(path)
	if err != nil {
		return nil, schemas.Errorf(schemas.NotFound, "read bundled profiles: %w", err)
	}
	var out []bundled
	d := json.NewDecoder(bytes.NewReader(data))
	for d.More() {
		var p bundled
		if err := d.Decode(&p); err != nil {
			return nil, schemas.Errorf(schemas.InvalidInput, "read bundled profiles %s: profile %d: %w", path, len(out)+1, err)
		}
		out = append(out, p)
	}
	return out, nil
}
