package main

import (
	"cmp"
	"context"
	"flag"
	"fmt"
	"log/slog"
	"os"
	"strings"

	"rpo/activities/changes"
	"rpo/activities/chat"
	"rpo/activities/chat/cache"
	"rpo/activities/store"
	"rpo/activities/train"
	"rpo/schemas"
)

// changesCommand shows what the present code would make different.
func changesCommand(ctx context.Context, args []string) error {
	flags := flag.NewFlagSet("changes", flag.ContinueOnError)
	manifest := flags.String("manifest", "", "URI of a manifest, or a job")
	dataset := flags.String("dataset", "", "name of a data set, whose manifest is looked at")
	number := flags.Int("version", 0, "number of the data set's version (default: the newest)")
	input := flags.String("input", "", "input of RunPipeline that the rows were made with: needed for pairs and for cached replies")
	config := flags.String("config", "", "worker configuration, which names the models of cached replies (default $"+configEnv+")")
	turns := flags.Int("turns", changes.DefaultTurns, "turns to sample")
	if _, err := parseFlags(flags, args); err != nil {
		return err
	}
	switch {
	case (*manifest == "") == (*dataset == ""):
		return schemas.Errorf(usageError, "name either --manifest or --dataset")
	case *turns < 1:
		return schemas.Errorf(usageError, "flag --turns: %d is not positive", *turns)
	}
	o := changes.Options{Turns: *turns}
	if *input != "" {
		in, err := readPipelineInput(*input)
		if err != nil {
			return err
		}
		o.Input = in
	}
	c, err := loadConfig(*config)
	if err != nil {
		return err
	}
	s, err := openStore(ctx, c.Bucket)
	if err != nil {
		return err
	}
	uri := *manifest
	if *dataset != "" {
		v, err := versionOf(ctx, s, *dataset, *number)
		if err != nil {
			return err
		}
		uri = v.Manifest
	} else if !strings.Contains(uri, "://") {
		if uri, err = store.FindManifest(ctx, s, uri); err != nil {
			return err
		}
	}
	if len(c.Endpoints) > 0 {
		o.Models = &cachedModels{models: newModels(c, s, newMetrics()), replies: cache.New(changes.Overlay(s), newLogger(slog.LevelError))}
	}
	report, err := changes.Look(ctx, s, uri, o)
	if err != nil {
		return err
	}
	if err := printAny(report); err != nil {
		return err
	}
	for _, line := range report.Raise {
		fmt.Fprintln(os.Stderr, line)
	}
	return nil
}

// cachedModels answers from the call cache alone: no endpoint is connected to and
// no server started. Nothing is kept either, so the bucket stays as it is.
type cachedModels struct {
	*models
	replies *cache.Cache
}

// Model implements chat.Models.
func (m *cachedModels) Model(ctx context.Context, use chat.Use) (chat.Model, func(), error) {
	e, err := m.find(use.Endpoint)
	if err != nil {
		return chat.Model{}, nil, err
	}
	remote := e.remote(use.Endpoint)
	remote.Model = cmp.Or(use.Model, e.Model)
	name, identity := remote.Model, remote.Identity()
	if e.Serve != nil {
		if identity, err = m.servedIdentity(ctx, *e.Serve, use.Model); err != nil {
			return chat.Model{}, nil, err
		}
		name = servedModelName(*e.Serve, use.Model, identity)
	}
	if err := m.replies.Open(ctx, identity); err != nil {
		return chat.Model{}, nil, err
	}
	replies := m.replies.Completer(changes.NotCached{}, cache.Use{Identity: identity, Endpoint: use.Endpoint, Generation: use.Generation})
	return chat.Model{Completer: replies, Name: name}, func() {}, nil
}

// servedModelName is what a server that the worker starts calls its model.
func servedModelName(s serve, model, digest string) string {
	if model != "" {
		return train.ServedName(digest)
	}
	return s.Model + "-" + digest[:12]
}
