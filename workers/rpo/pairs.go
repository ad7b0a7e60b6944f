package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"rpo/activities/pair"
	"rpo/schemas"
)

// pairsCommand counts the pairs that published verdicts give, by the pair stage's
// own code, and prints one JSON object.
func pairsCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("pairs", flag.ContinueOnError)
	sysbench := flags.Bool("sysbench", false, "the files are SysBench verdicts of several runs over the same sessions")
	files, err := parseArguments(flags, args)
	if err != nil {
		return err
	}
	if !*sysbench || len(files) == 0 {
		return schemas.Errorf(usageError, "want --sysbench and at least one file of verdicts")
	}
	var s pair.SysBench
	for _, path := range files {
		if err := ctx.Err(); err != nil {
			return schemas.Errorf(schemas.Internal, "pairs: %w", err)
		}
		if err := readRun(&s, path); err != nil {
			return err
		}
	}
	counts, err := s.Count()
	if err != nil {
		return err
	}
	line, err := json.Marshal(counts)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode counts: %w", err)
	}
	fmt.Println(string(line))
	return nil
}

func readRun(s *pair.SysBench, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return schemas.Errorf(schemas.NotFound, "read verdicts: %w", err)
	}
	defer f.Close()
	if err := s.Read(f, pair.Run(path)); err != nil {
		return schemas.Errorf(schemas.TypeOf(err), "read verdicts: %s: %w", path, err)
	}
	return nil
}
