package main

import (
	"cmp"
	"context"
	"log/slog"
	"os"
	"sync"
	"time"

	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	temporaltrace "go.temporal.io/sdk/contrib/opentelemetry"
	"go.temporal.io/sdk/interceptor"

	"rpo/schemas"
)

// OpenTelemetry's own variables; the exporter reads the rest of them itself.
const (
	traceEndpointEnv    = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	otlpEndpointEnv     = "OTEL_EXPORTER_OTLP_ENDPOINT"
	traceProtocolEnv    = "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"
	otlpProtocolEnv     = "OTEL_EXPORTER_OTLP_PROTOCOL"
	traceFlushTimeout   = 5 * time.Second
	defaultTraceService = "rpo"
)

// tracing is the process's one provider of spans, nil while there is none.
var tracing struct {
	sync.Mutex
	provider *sdktrace.TracerProvider
}

// tracers returns Temporal's tracing interceptor if the environment names an
// OTLP endpoint. One trace then runs from the command that starts a workflow over
// its children and activities, whichever workers they ran on.
func tracers(ctx context.Context, logger *slog.Logger) ([]interceptor.ClientInterceptor, error) {
	if os.Getenv(traceEndpointEnv) == "" && os.Getenv(otlpEndpointEnv) == "" {
		return nil, nil
	}
	provider, err := traceProvider(ctx, logger)
	if err != nil {
		return nil, err
	}
	i, err := temporaltrace.NewTracingInterceptor(temporaltrace.TracerOptions{Tracer: provider.Tracer("rpo")})
	if err != nil {
		return nil, schemas.Errorf(schemas.Internal, "make the tracing interceptor: %w", err)
	}
	return []interceptor.ClientInterceptor{i}, nil
}

func traceProvider(ctx context.Context, logger *slog.Logger) (*sdktrace.TracerProvider, error) {
	tracing.Lock()
	defer tracing.Unlock()
	if tracing.provider != nil {
		return tracing.provider, nil
	}
	if p := cmp.Or(os.Getenv(traceProtocolEnv), os.Getenv(otlpProtocolEnv), "http/protobuf"); p != "http/protobuf" {
		return nil, schemas.Errorf(schemas.InvalidInput, "%s is %q: traces are sent as http/protobuf, to port 4318 of a collector", otlpProtocolEnv, p)
	}
	exporter, err := otlptracehttp.New(ctx)
	if err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "set up traces by %s: %w", otlpEndpointEnv, err)
	}
	what, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithHost(),
		resource.WithAttributes(attribute.String("service.name", defaultTraceService), attribute.String("service.version", schemas.CodeVersion)),
		resource.WithFromEnv()) // the last one wins
	if err != nil {
		return nil, schemas.Errorf(schemas.InvalidInput, "read OTEL_RESOURCE_ATTRIBUTES: %w", err)
	}
	// A collector that is away must neither end the worker nor write into its log
	// what is not JSON.
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(err error) { logger.Warn("send traces", "error", err) }))
	tracing.provider = sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(what))
	return tracing.provider, nil
}

// flushTraces sends the spans that wait and ends tracing.
func flushTraces() {
	tracing.Lock()
	defer tracing.Unlock()
	if tracing.provider == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), traceFlushTimeout)
	defer cancel()
	tracing.provider.Shutdown(ctx) // what fails goes to the error handler
	tracing.provider = nil
}
