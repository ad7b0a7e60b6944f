package main

import (
	"cmp"
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"

	"rpo/activities/store"
	"rpo/schemas"
)

// datasetCommand shows, pins and exports the versions of data sets.
func datasetCommand(ctx context.Context, args []string) error {
	return verb(ctx, "dataset", map[string]func(context.Context, []string) error{
		"list": listDatasets, "show": showDataset, "pin": pinDataset, "unpin": unpinDataset, "export": exportDataset,
		"forget": forgetRows,
	}, args)
}

// shownVersion is what is printed about a version.
type shownVersion struct {
	Number int    `json:"number"`
	Parent int    `json:"parent"`
	Hash   string `json:"hash"`
	Rows   int64  `json:"rows"`
	Bytes  int64  `json:"bytes"`
	// Objects is how many files the version has.
	Objects int  `json:"objects"`
	Pinned  bool `json:"pinned"`
	// PinReason is what the person who pinned it said.
	PinReason string `json:"pin_reason,omitempty"`
	// SupersededBy is the version that holds what is left after rows of this one were
	// forgotten: its own objects are gone.
	SupersededBy int `json:"superseded_by,omitempty"`
}

func shown(v schemas.DatasetVersion, pins map[int]string, superseded map[int]int) shownVersion {
	out := shownVersion{Number: v.Number, Parent: v.Parent, Hash: v.Hash, Objects: len(v.Objects)}
	for _, o := range v.Objects {
		out.Rows += o.Rows
		out.Bytes += o.Bytes
	}
	out.PinReason, out.Pinned = pins[v.Number]
	out.SupersededBy = superseded[v.Number]
	return out
}

// listedDataset is a data set with all its versions.
type listedDataset struct {
	Dataset  string         `json:"dataset"`
	Table    string         `json:"table"`
	Versions []shownVersion `json:"versions"`
}

func listDatasets(ctx context.Context, args []string) error {
	if _, err := parseFlags(flag.NewFlagSet("dataset list", flag.ContinueOnError), args); err != nil {
		return err
	}
	s, err := openBucket(ctx)
	if err != nil {
		return err
	}
	names, err := store.Datasets(ctx, s)
	if err != nil {
		return err
	}
	all := []listedDataset{}
	for _, name := range names {
		numbers, err := store.Versions(ctx, s, name)
		if err != nil {
			return err
		}
		pins, err := store.Pins(ctx, s, name)
		if err != nil {
			return err
		}
		superseded, err := store.Superseded(ctx, s, name)
		if err != nil {
			return err
		}
		d := listedDataset{Dataset: name}
		for _, number := range numbers {
			v, err := store.Version(ctx, s, name, number)
			if err != nil {
				return err
			}
			d.Table = cmp.Or(store.TableOf(v), d.Table)
			d.Versions = append(d.Versions, shown(v, pins, superseded))
		}
		all = append(all, d)
	}
	return printAny(all)
}

// versionOf reads the version that a command names, 0 for the newest.
func versionOf(ctx context.Context, s store.Store, dataset string, number int) (schemas.DatasetVersion, error) {
	if number != 0 {
		v, err := store.Version(ctx, s, dataset, number)
		if schemas.TypeOf(err) == schemas.NotFound && err != nil {
			return v, schemas.Errorf(schemas.NotFound, "data set %s has no version %d: `rpo dataset list` shows those there are", dataset, number)
		}
		return v, err
	}
	v, ok, err := store.LatestVersion(ctx, s, dataset)
	if err == nil && !ok {
		err = schemas.Errorf(schemas.NotFound, "there is no data set %q: `rpo dataset list` shows those there are", dataset)
	}
	return v, err
}

func showDataset(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dataset show", flag.ContinueOnError)
	number := flags.Int("version", 0, "number of the version (default: the newest)")
	rest, err := parseFlags(flags, args, "NAME")
	if err != nil {
		return err
	}
	s, err := openBucket(ctx)
	if err != nil {
		return err
	}
	v, err := versionOf(ctx, s, rest[0], *number)
	if err != nil {
		return err
	}
	pins, err := store.Pins(ctx, s, v.Dataset)
	if err != nil {
		return err
	}
	superseded, err := store.Superseded(ctx, s, v.Dataset)
	if err != nil {
		return err
	}
	card := store.CardKey(v.Dataset, v.Number)
	there, err := s.Exists(ctx, card)
	if err != nil {
		return err
	}
	if card = s.URI(card); !there {
		card = ""
	}
	return printAny(struct {
		Dataset string `json:"dataset"`
		Table   string `json:"table"`
		shownVersion
		Job      string           `json:"job"`
		Manifest string           `json:"manifest"`
		Card     string           `json:"card,omitempty"`
		Counts   map[string]int64 `json:"counts"`
		Files    []schemas.Object `json:"files"`
	}{v.Dataset, store.TableOf(v), shown(v, pins, superseded), v.Job, v.Manifest, card, v.Counts, v.Objects})
}

func pinDataset(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dataset pin", flag.ContinueOnError)
	reason := flags.String("reason", "", "why, for those who come later")
	return changePin(ctx, flags, args, func(s store.Store, dataset string, number int) error {
		return store.Pin(ctx, s, dataset, number, *reason)
	}, "pinned")
}

func unpinDataset(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("dataset unpin", flag.ContinueOnError)
	return changePin(ctx, flags, args, func(s store.Store, dataset string, number int) error {
		return store.Unpin(ctx, s, dataset, number)
	}, "no longer pinned")
}

// changePin demands the number, so that nobody pins a version unseen.
func changePin(ctx context.Context, flags *flag.FlagSet, args []string, change func(s store.Store, dataset string, number int) error, done string) error {
	rest, err := parseFlags(flags, args, "NAME", "VERSION")
	if err != nil {
		return err
	}
	number, err := versionNumber(rest[1])
	if err != nil {
		return err
	}
	s, err := openBucket(ctx)
	if err != nil {
		return err
	}
	if _, err := versionOf(ctx, s, rest[0], number); err != nil {
		return err
	}
	if err := change(s, rest[0], number); err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "version %d of data set %s is %s\n", number, rest[0], done)
	return nil
}

func printAny(v any) error {
	data, err := json.Marshal(v)
	if err != nil {
		return schemas.Errorf(schemas.Internal, "encode the result: %w", err)
	}
	return printJSON(data)
}
