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
	format := flags.String("format", "", "system_ifeval, ifeval, profiles or seeds (default: told from the first line)")
	fraction := flags.Float64("eval-fraction", defaultEvalFraction, "share of the profiles kept for evaluation, where the file does not say")
	perShard := flags.Int("profiles-per-shard", 0, "profiles in a shard (default: at least 8 shards of at most 200)")
	dryRun := flags.Bool("dry-run", false, "read and count, write nothing")
	bucket := flags.String("bucket", "", "bucket (default $RPO_BUCKET, else rpo)")
	rest, err := parseFlags(flags, args, "FILE")
	if err != nil {
		return err
	}
	file, err := openImport(rest[0], *format, *fraction)
	if err != nil {
		return err
	}
	defer file.Close()
	var write func(store.Store) (string, error)
	if file.format == profile.FormatSeeds {
		seeds, err := file.seeds()
		if err != nil {
			return err
		}
		printSeeds(seeds)
		write = func(s store.Store) (string, error) { return writeSeeds(ctx, s, seeds, *perShard) }
	} else {
		in, err := file.profiles()
		if err != nil {
			return err
		}
		printImport(in)
		write = func(s store.Store) (string, error) { return writeProfiles(ctx, s, in, *perShard) }
	}
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
	uri, err := write(s)
	if err != nil {
		return err
	}
	fmt.Println(uri)
	return nil
}

// importFile is an open file of a known format.
type importFile struct {
	*os.File
	r      io.Reader
	format string
	o      profile.Options
}

// openImport tells the format where the caller does not say.
func openImport(path, format string, fraction float64) (*importFile, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, schemas.Errorf(schemas.NotFound, "import: %w", err)
	}
	r := bufio.NewReaderSize(f, sniffed)
	if format == "" {
		head, err := r.Peek(sniffed)
		if err != nil && err != io.EOF {
			f.Close()
			return nil, schemas.Errorf(schemas.NotFound, "import: %w", err)
		}
		if format, err = sniff(head); err != nil {
			f.Close()
			return nil, schemas.Errorf(schemas.TypeOf(err), "%s: %w", path, err)
		}
	}
	return &importFile{f, r, format, profile.Options{EvalFraction: fraction}}, nil
}

// source is the name of the collection where the format has none of its own.
func (f *importFile) source() string {
	return strings.TrimSuffix(filepath.Base(f.Name()), filepath.Ext(f.Name()))
}

func (f *importFile) profiles() (in profile.Imported, err error) {
	switch f.format {
	case profile.FormatSystemIFEval:
		in, err = profile.ReadSystemIFEval(f.r, f.o)
	case profile.FormatIFEval:
		in, err = profile.ReadIFEval(f.r, f.o)
	case profile.FormatProfiles:
		in, err = profile.ReadPlain(f.r, f.source(), f.o)
	case profile.FormatSeeds:
		err = schemas.Errorf(schemas.InvalidInput, "its lines have no constraints: make profiles of them with `rpo import` and the workflow GenerateProfiles")
	default:
		err = schemas.Errorf(usageError, "flag --format: %q is not one of system_ifeval, ifeval, profiles, seeds", f.format)
	}
	if err != nil {
		return in, schemas.Errorf(schemas.TypeOf(err), "%s: %w", f.Name(), err)
	}
	return in, nil
}

func (f *importFile) seeds() ([]schemas.Seed, error) {
	seeds, err := profile.ReadSeeds(f.r, f.source(), f.o)
	if err != nil {
		return nil, schemas.Errorf(schemas.TypeOf(err), "%s: %w", f.Name(), err)
	}
	return seeds, nil
}

func readProfiles(path, format string, fraction float64) (profile.Imported, error) {
	f, err := openImport(path, format, fraction)
	if err != nil {
		return profile.Imported{}, err
	}
	defer f.Close()
	return f.profiles()
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
	uri, _, err := profile.Write(ctx, s, in, shardSize(perShard, len(in.Profiles)))
	return uri, err
}

// seedsPerShard is the most seeds of a shard: each is several calls.
const seedsPerShard = 50

func writeSeeds(ctx context.Context, s store.Store, seeds []schemas.Seed, perShard int) (string, error) {
	if perShard == 0 {
		perShard = min(shardSize(0, len(seeds)), seedsPerShard)
	}
	uri, _, err := profile.WriteSeeds(ctx, s, seeds, perShard)
	return uri, err
}

func shardSize(asked, rows int) int {
	if asked != 0 {
		return asked
	}
	return profile.ShardSize(rows)
}

func printSeeds(seeds []schemas.Seed) {
	kinds, languages, eval := map[string]int{}, map[string]int{}, 0
	for _, s := range seeds {
		kinds[s.Kind]++
		languages[s.Language]++
		if s.Split == schemas.SplitEval {
			eval++
		}
	}
	fmt.Fprintf(os.Stderr, "read %d seeds: %d profiles, %d system prompts, %d personas; %d English, %d Chinese; %d are held out for evaluation\n",
		len(seeds), kinds[schemas.SeedProfile], kinds[schemas.SeedSystem], kinds[schemas.SeedPersona],
		languages[schemas.English], languages[schemas.Chinese], eval)
	fmt.Fprintln(os.Stderr, "the workflow GenerateProfiles makes profiles and personas of them; it needs generate_endpoint")
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
