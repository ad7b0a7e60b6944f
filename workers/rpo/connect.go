package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"

	"go.temporal.io/api/serviceerror"
	"go.temporal.io/sdk/client"
	"go.temporal.io/sdk/contrib/envconfig"
	sdklog "go.temporal.io/sdk/log"

	"rpo/activities/store"
	"rpo/schemas"
)

// dial connects a command to Temporal as the temporal CLI does: by its environment
// variables and profile file. Payloads are encrypted if the configuration that
// RPO_CONFIG names says so.
func dial(ctx context.Context, logger *slog.Logger) (client.Client, error) {
	c, err := codecOf("")
	if err != nil {
		return nil, err
	}
	return dialWith(ctx, logger, c, nil)
}

// dialWith connects with a codec and metrics, either of which may be nil.
func dialWith(ctx context.Context, logger *slog.Logger, c *codec, metrics client.MetricsHandler) (client.Client, error) {
	o, err := connection()
	if err != nil {
		return nil, err
	}
	o.Logger, o.MetricsHandler = sdklog.NewStructuredLogger(logger), metrics
	if c != nil {
		o.DataConverter, o.FailureConverter = c.converters()
	}
	if o.Interceptors, err = tracers(ctx, logger); err != nil {
		return nil, err
	}
	temporal, err := client.DialContext(ctx, o)
	if err != nil {
		return nil, schemas.Errorf(schemas.Overloaded, "connect to Temporal at %s: start it or set TEMPORAL_ADDRESS: %w", o.HostPort, err)
	}
	return temporal, nil
}

// connection reads where Temporal is and which namespace to use there.
func connection() (client.Options, error) {
	o, err := envconfig.LoadDefaultClientOptions()
	if err != nil {
		return o, schemas.Errorf(schemas.InvalidInput, "read Temporal's connection settings: %w", err)
	}
	o.HostPort = cmp.Or(o.HostPort, client.DefaultHostPort)
	o.Namespace = cmp.Or(o.Namespace, client.DefaultNamespace)
	return o, nil
}

// openStore connects to the bucket and checks that it can be used.
func openStore(ctx context.Context, bucket string) (*store.S3, error) {
	s, err := store.NewS3(ctx, store.Config{Bucket: bucket})
	if err != nil {
		return nil, err
	}
	return s, s.Check(ctx)
}

func newLogger(level slog.Level) *slog.Logger {
	return slog.New(slog.NewJSONHandler(os.Stderr, &slog.HandlerOptions{Level: level}))
}

// notFound makes Temporal's "not found" one of ours.
func notFound(id string, err error) error {
	if _, ok := errors.AsType[*serviceerror.NotFound](err); ok {
		return schemas.Errorf(schemas.NotFound, "there is no workflow %q", id)
	}
	return fmt.Errorf("workflow %s: %w", id, err)
}
