package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"

	"rpo/activities/profile"
	"rpo/activities/store"
	"rpo/schemas"
)

// defaultEvalFraction keeps a fifth of the profiles for evaluation where a file
// does not say which.
const defaultEvalFraction = 0.2

// sniffed is how much of a file is looked at to tell its format.
const sniffed = 1 << 20

func importCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("import", flag.ContinueOnError)
	format := flags.String("format", "", "system_ifeval, ifeval or profiles (default: told from the first line)")
	fraction := flags.Float64("eval-fraction", defaultEvalFraction, "share of the profiles kept for evaluation, where the file does not say")
	perShard := flags.Int("profiles-per-shard", 0, "profiles in a shard (default: at least 8 shards of at most 200)")
	dryRun := flags.Bool("dry-run", false, "read and count, write nothing")
	bucket := flags.String("bucket", "", "bucket (default $RPO_BUCKET, else rpo)")
	rest, err := parseFlags(flags, args, "FILE")
	if err != nil {
		return err
	}
	in, err := readProfiles(rest[0], *format, *fraction)
	if err != nil {
		return err
	}
	printImport(in)
	if *dryRun {
		return nil
	}
	c, err := loadConfig("")
	if err != nil {
		return err
	}
	if *bucket != "" {
		c.Bucket = *bucket
	}
	s, err := openStore(ctx, c.Bucket)
	if err != nil {
		return err
	}
	uri, err := writeProfiles(ctx, s, in, *perShard)
	if err != nil {
		return err
	}
	fmt.Println(uri)
	return nil
}

func readProfiles(path, format string, fraction float64) (profile.Imported, error) {
	f, err := os.Open(path)
	if err != nil {
		return profile.Imported{}, schemas.Errorf(schemas.NotFound, "import: %w", err)
	}
	defer f.Close()
	r := bufio.NewReaderSize(f, sniffed)
	if format == "" {
		head, err := r.Peek(sniffed)
		if err != nil && err != io.EOF {
			return profile.Imported{}, schemas.Errorf(schemas.NotFound, "import: %w", err)
		}
		if format, err = sniff(head); err != nil {
			return profile.Imported{}, schemas.Errorf(schemas.TypeOf(err), "%s: %w", path, err)
		}
	}
	o := profile.Options{EvalFraction: fraction}
	var in profile.Imported
	switch format {
	case profile.FormatSystemIFEval:
		in, err = profile.ReadSystemIFEval(r, o)
	case profile.FormatIFEval:
		in, err = profile.ReadIFEval(r, o)
	case profile.FormatProfiles:
		in, err = profile.ReadPlain(r, strings.TrimSuffix(filepath.Base(path), filepath.Ext(path)), o)
	default:
		err = schemas.Errorf(usageError, "flag --format: %q is not one of system_ifeval, ifeval, profiles", format)
	}
	if err != nil {
		return in, schemas.Errorf(schemas.TypeOf(err), "%s: %w", path, err)
	}
	return in, nil
}

// sniff tells the format from the first line that is not blank. A file without
// one, or with one that is whole but no JSON, goes to a reader all the same,
// which names the line.
func sniff(head []byte) (string, error) {
	first, _, whole := bytes.Cut(bytes.TrimLeft(bytes.TrimPrefix(head, []byte("\ufeff")), " \t\r\n"), []byte("\n"))
	if (whole || len(head) < sniffed) && !json.Valid(first) {
		return profile.FormatProfiles, nil
	}
	return profile.Sniff(head)
}

func writeProfiles(ctx context.Context, s store.Store, in profile.Imported, perShard int) (string, error) {
	if perShard == 0 {
		perShard = min(max(1, (len(in.Profiles)+15)/16), 200)
	}
	uri, _, err := profile.Write(ctx, s, in, perShard)
	return uri, err
}

func printImport(in profile.Imported) {
	reasons := map[string]int{}
	for _, q := range in.Quarantined {
		reasons[q.Reason]++
	}
	fmt.Fprintf(os.Stderr, "read %d rows: %d profiles, %d quarantined\n", in.Books.In, in.Books.OK, in.Books.Quarantined)
	for _, line := range mostFrequent(reasons, 8) {
		fmt.Fprintln(os.Stderr, "  "+line)
	}
	constraints, ruled, eval := 0, 0, 0
	for _, p := range in.Profiles {
		if p.Split == schemas.SplitEval {
			eval++
		}
		for _, c := range p.Constraints {
			constraints++
			if !c.Rule.IsZero() {
				ruled++
			}
		}
	}
	fmt.Fprintf(os.Stderr, "%d of %d constraints have a rule; %d profiles are held out for evaluation\n", ruled, constraints, eval)
	if ruled < constraints {
		fmt.Fprintln(os.Stderr, "the rest need judge_endpoint and reverse_endpoint")
	}
	if eval == 0 || eval == len(in.Profiles) {
		fmt.Fprintln(os.Stderr, "RunPipeline needs profiles of both splits: raise or lower --eval-fraction, or set split in the file")
	}
}
