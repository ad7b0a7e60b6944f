package main

import (
	"bufio"
	"context"
	"flag"
	"io"
	"os"

	"rpo/activities/judge/rules"
	"rpo/schemas"
)

func verifyCommand(_ context.Context, args []string) error {
	flags := flag.NewFlagSet("verify", flag.ContinueOnError)
	profile := flags.String("profile", "ifeval", "rule profile: ifeval, multi_if or rpo")
	summarize := flags.Bool("summary", false, "print counts by kind, and agreement where lines bring verdicts")
	rest, err := parseArguments(flags, args)
	if err != nil {
		return err
	}
	if len(rest) > 1 {
		return schemas.Errorf(usageError, "want at most one FILE, got %d", len(rest))
	}
	in := io.Reader(os.Stdin)
	if len(rest) == 1 && rest[0] != "-" {
		f, err := os.Open(rest[0])
		if err != nil {
			return schemas.Errorf(schemas.NotFound, "verify: %w", err)
		}
		defer f.Close()
		in = f
	}
	out := bufio.NewWriter(os.Stdout)
	var summary io.Writer
	if *summarize {
		summary = os.Stderr
	}
	bad, err := rules.VerifyLines(in, out, *profile, summary)
	if flushErr := out.Flush(); err == nil && flushErr != nil {
		err = schemas.Errorf(schemas.Internal, "write verdicts: %w", flushErr)
	}
	if err == nil && bad > 0 {
		return schemas.Errorf(schemas.InvalidInput, "%d lines could not be judged: see their field error", bad)
	}
	return err
}
