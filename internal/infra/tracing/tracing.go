// Package tracing exports what the service does to OpenTelemetry: spans, and the
// log lines that belong to them. The trace of a piece of work travels as its
// messaging.Trace, in contexts, outbox rows and messages; so nothing else needs
// to know this package, and without an exporter nothing of it is in the way.
package tracing

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"strings"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/contrib/bridges/otelslog"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploggrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Exporters, as the standard variables name them.
const (
	None    = "none"
	OTLP    = "otlp"
	Console = "console" // standard output
)

// Protocols of OTLP.
const (
	HTTP = "http/protobuf"
	GRPC = "grpc"
)

// scope names this package to whoever reads its spans.
const scope = "github.com/winaity/billing/internal/infra/tracing"

// Options say what is exported. How (to where, with which headers, sampled by
// what, under which name) is for the OpenTelemetry SDK, which reads its standard
// variables, OTEL_…, by itself.
type Options struct {
	Service                      string // its name, unless OTEL_SERVICE_NAME has one
	Traces, Logs                 string // None, OTLP; traces also Console
	TracesProtocol, LogsProtocol string
	Secrets                      []string // values of variables that no line of the log may show
}

// Telemetry is what is exported. What is not is nil.
type Telemetry struct {
	Spans *Spans
	Logs  slog.Handler // takes lines of all levels

	closers []func(context.Context) error
	mask    *strings.Replacer
}

// Open returns the exporters that o asks for. They connect when they have
// something to send; what they cannot send they drop. They complain to log, for
// the whole process: the SDK knows only one place to complain to.
func Open(ctx context.Context, o Options, log *slog.Logger) (*Telemetry, error) {
	t := &Telemetry{mask: masking(o.Secrets)}
	if o.Traces == None && o.Logs == None {
		return t, nil
	}
	otel.SetErrorHandler(&complaints{log: log, mask: t.mask})
	otel.SetLogger(logr.FromSlogHandler(discreet{log.Handler(), t.mask}))
	described, err := describe(ctx, o.Service)
	if err != nil {
		log.WarnContext(ctx, "telemetry does not know all of its resource", "error", err)
	}
	if o.Traces != None {
		if err := t.openSpans(ctx, o, described); err != nil {
			return nil, fmt.Errorf("export spans: %w", err)
		}
	}
	if o.Logs != None {
		if err := t.openLogs(ctx, o, described); err != nil {
			return nil, errors.Join(fmt.Errorf("export logs: %w", err), t.Close(ctx))
		}
	}
	return t, nil
}

// closeTimeout is what a collector that does not answer may cost at the end.
const closeTimeout = 3 * time.Second

// Close sends what was not sent yet, until ctx ends or closeTimeout is over.
func (t *Telemetry) Close(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, closeTimeout)
	defer cancel()
	var problems []error
	for _, c := range t.closers {
		problems = append(problems, c(ctx))
	}
	if err := errors.Join(problems...); err != nil {
		return errors.New(t.mask.Replace(err.Error()))
	}
	return nil
}

func (t *Telemetry) openSpans(ctx context.Context, o Options, described *resource.Resource) (err error) {
	var exporter sdktrace.SpanExporter
	switch {
	case o.Traces == Console:
		exporter, err = stdouttrace.New()
	case o.TracesProtocol == GRPC:
		exporter, err = otlptracegrpc.New(ctx)
	default:
		exporter, err = otlptracehttp.New(ctx)
	}
	if err != nil {
		return err
	}
	limits := sdktrace.NewSpanLimits() // as the variables have them
	limits.LinkCountLimit = max(limits.LinkCountLimit, maxLinks)
	provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(exporter), sdktrace.WithResource(described), sdktrace.WithRawSpanLimits(limits))
	t.closers = append(t.closers, provider.Shutdown)
	t.Spans = &Spans{provider.Tracer(scope)}
	return nil
}

func (t *Telemetry) openLogs(ctx context.Context, o Options, described *resource.Resource) (err error) {
	var exporter sdklog.Exporter
	if o.LogsProtocol == GRPC {
		exporter, err = otlploggrpc.New(ctx)
	} else {
		exporter, err = otlploghttp.New(ctx)
	}
	if err != nil {
		return err
	}
	provider := sdklog.NewLoggerProvider(sdklog.WithProcessor(sdklog.NewBatchProcessor(exporter)), sdklog.WithResource(described))
	t.closers = append(t.closers, provider.Shutdown)
	t.Logs = otelslog.NewHandler(scope, otelslog.WithLoggerProvider(provider))
	return nil
}

// describe says who exports. What the environment says comes last, and wins.
func describe(ctx context.Context, service string) (*resource.Resource, error) {
	attributes := resource.WithAttributes(semconv.ServiceName(service))
	if build, ok := debug.ReadBuildInfo(); ok {
		attributes = resource.WithAttributes(semconv.ServiceName(service), semconv.ServiceVersion(build.Main.Version))
	}
	return resource.New(ctx, attributes, resource.WithTelemetrySDK(), resource.WithHost(), resource.WithFromEnv())
}
