package main

import (
	"context"
	"flag"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

	"rpo/activities/store"
	"rpo/schemas"
)

// modelCommand shows and exports the versions of promoted models.
func modelCommand(ctx context.Context, args []string) error {
	return verb(ctx, "model", map[string]func(context.Context, []string) error{
		"list": listModels, "show": showModel, "export": exportModel,
	}, args)
}

// listedModel is a model with all its versions.
type listedModel struct {
	Model string `json:"model"`
	// Current is the version in use.
	Current  int                  `json:"current"`
	Versions []listedModelVersion `json:"versions"`
}

type listedModelVersion struct {
	Number     int              `json:"number"`
	Restores   int              `json:"restores,omitempty"`
	Base       string           `json:"base"`
	Init       string           `json:"init,omitempty"`
	Loss       string           `json:"loss"`
	Trained    float64          `json:"trained"`
	Difference float64          `json:"difference"`
	CI95       [2]float64       `json:"ci95"`
	Job        string           `json:"job"`
	Dataset    string           `json:"dataset,omitempty"`
	DataNumber int              `json:"dataset_version,omitempty"`
	Promoted   schemas.Promoted `json:"promoted"`
}

func listModels(ctx context.Context, args []string) error {
	if _, err := parseFlags(flag.NewFlagSet("model list", flag.ContinueOnError), args); err != nil {
		return err
	}
	s, err := openBucket(ctx)
	if err != nil {
		return err
	}
	all, err := listedModels(ctx, s)
	if err != nil {
		return err
	}
	return printAny(all)
}

func listedModels(ctx context.Context, s store.Store) ([]listedModel, error) {
	names, err := store.Models(ctx, s)
	if err != nil {
		return nil, err
	}
	all := []listedModel{}
	for _, name := range names {
		numbers, err := store.ModelVersions(ctx, s, name)
		if err != nil {
			return nil, err
		}
		m := listedModel{Model: name}
		for _, n := range numbers {
			v, err := store.ModelVersion(ctx, s, name, n)
			if err != nil {
				return nil, err
			}
			m.Current = n
			m.Versions = append(m.Versions, listedModelVersion{Number: n, Restores: v.Restores, Base: v.Training.Base.Name, Init: v.Training.Init, Loss: v.Training.Recipe.Loss,
				Trained: v.Evaluation.Trained, Difference: v.Evaluation.Difference, CI95: v.Evaluation.CI95, Job: v.Training.Job,
				Dataset: v.Dataset, DataNumber: v.DatasetVersion, Promoted: v.Promoted})
		}
		all = append(all, m)
	}
	return all, nil
}

// namedModel reads what a command names: "tiny", "tiny@v3", "tiny@latest".
func namedModel(ctx context.Context, name string) (store.Store, schemas.ModelVersion, error) {
	s, err := openBucket(ctx)
	if err != nil {
		return nil, schemas.ModelVersion{}, err
	}
	v, err := store.ReadModel(ctx, s, name)
	if err != nil && schemas.TypeOf(err) == schemas.NotFound {
		err = schemas.Errorf(schemas.NotFound, "there is no model %.100q: `rpo model list` shows those there are", name)
	}
	return s, v, err
}

func showModel(ctx context.Context, args []string) error {
	rest, err := parseFlags(flag.NewFlagSet("model show", flag.ContinueOnError), args, "NAME[@VERSION]")
	if err != nil {
		return err
	}
	_, v, err := namedModel(ctx, rest[0])
	if err != nil {
		return err
	}
	return printAny(v)
}

// exportModel writes a version's files as a folder: adapter/ loads with PEFT,
// merged/ with transformers, model.gguf with llama.cpp.
func exportModel(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("model export", flag.ContinueOnError)
	dir := flags.String("to", "", "folder to write, which must be empty or not exist; required")
	part := flags.String("part", "", "adapter, merged or gguf alone (default: all)")
	rest, err := parseFlags(flags, args, "NAME[@VERSION]")
	switch {
	case err != nil:
		return err
	case *dir == "":
		return schemas.Errorf(usageError, "flag --to is required: the folder to write")
	case !slices.Contains([]string{"", "adapter", "merged", "gguf"}, *part):
		return schemas.Errorf(usageError, "flag --part: %q is not adapter, merged or gguf", *part)
	}
	if err := emptyFolder(*dir); err != nil {
		return err
	}
	s, v, err := namedModel(ctx, rest[0])
	if err != nil {
		return err
	}
	files, size, err := writeModel(ctx, s, v, *part, *dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(os.Stderr, "wrote version %d of model %s, %d bytes in %d files, to %s\n", v.Number, v.Name, size, files, *dir)
	return nil
}

func writeModel(ctx context.Context, s store.Store, v schemas.ModelVersion, part, dir string) (files int, size int64, err error) {
	chosen := v.Files
	switch part {
	case "adapter", "merged":
		chosen = v.Part(part)
	case "gguf":
		chosen = map[string]schemas.Object{"model.gguf": v.Files["model.gguf"]}
	}
	if len(chosen) == 0 {
		return 0, 0, schemas.Errorf(schemas.InvalidInput, "export: version %d of model %s has no %s", v.Number, v.Name, part)
	}
	for _, path := range slices.Sorted(maps.Keys(chosen)) {
		// What lies in the bucket must not choose where on this machine it goes.
		if !filepath.IsLocal(filepath.FromSlash(path)) {
			return files, size, schemas.Errorf(schemas.CorruptData, "export: version %d of model %s names the file %.100q", v.Number, v.Name, path)
		}
		if err := s.GetFile(ctx, chosen[path], filepath.Join(dir, filepath.FromSlash(path))); err != nil {
			return files, size, err
		}
		files, size = files+1, size+chosen[path].Bytes
	}
	return files, size, nil
}
