package main

import (
	"strings"

	"github.com/winaity/billing/internal/infra/tracing"
)

// telemetry returns what is to be exported: nothing, unless the standard
// variables of OpenTelemetry say so. The SDK reads the others by itself, once they
// were checked.
func (e *environment) telemetry() tracing.Options {
	e.boolean("OTEL_SDK_DISABLED")
	if strings.EqualFold(e.getenv("OTEL_SDK_DISABLED"), "true") {
		return tracing.Options{Traces: tracing.None, Logs: tracing.None}
	}
	protocol := e.protocol(otlp+"PROTOCOL", tracing.HTTP)
	o := tracing.Options{
		Service:        "billing",
		Traces:         e.oneOf("OTEL_TRACES_EXPORTER", tracing.None, tracing.OTLP, tracing.Console),
		Logs:           e.oneOf("OTEL_LOGS_EXPORTER", tracing.None, tracing.OTLP),
		TracesProtocol: e.protocol(otlp+"TRACES_PROTOCOL", protocol),
		LogsProtocol:   e.protocol(otlp+"LOGS_PROTOCOL", protocol),
		Secrets:        []string{e.getenv(otlp + "HEADERS"), e.getenv(otlp + "TRACES_HEADERS"), e.getenv(otlp + "LOGS_HEADERS")},
	}
	// Who names a collector wants it to get the traces.
	if e.getenv("OTEL_TRACES_EXPORTER") == "" && (e.getenv(otlp+"ENDPOINT") != "" || e.getenv(otlp+"TRACES_ENDPOINT") != "") {
		o.Traces = tracing.OTLP
	}
	e.checkSDK(o)
	return o
}

func (e *environment) protocol(name, fallback string) string {
	if e.getenv(name) == "" {
		return fallback
	}
	return e.oneOf(name, tracing.HTTP, tracing.GRPC)
}

// trace puts spans around what the ports do.
func (p *ports) trace(spans *tracing.Spans) {
	p.commands = tracing.Store(spans, "postgresql", p.commands)
	p.effects = tracing.Store(spans, "postgresql", p.effects)
	p.outbox = spans.Outbox(p.outbox)
	p.traceRequest = spans.Request
	p.traceDelivery = spans.Delivery
}
