package main

import (
	"strings"

	"github.com/winaity/billing/internal/infra/tracing"
)

// telemetry returns what is to be exported: nothing, unless the standard
// variables of OpenTelemetry say so. The SDK reads the others by itself.
func (e *environment) telemetry() tracing.Options {
	const endpoint, tracesEndpoint = "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"
	for _, name := range []string{endpoint, tracesEndpoint, "OTEL_EXPORTER_OTLP_LOGS_ENDPOINT"} {
		e.url(name, false, "http", "https")
	}
	protocol := e.protocol("OTEL_EXPORTER_OTLP_PROTOCOL", tracing.HTTP)
	o := tracing.Options{
		Service:        "billing",
		Traces:         e.oneOf("OTEL_TRACES_EXPORTER", tracing.None, tracing.OTLP, tracing.Console),
		Logs:           e.oneOf("OTEL_LOGS_EXPORTER", tracing.None, tracing.OTLP),
		TracesProtocol: e.protocol("OTEL_EXPORTER_OTLP_TRACES_PROTOCOL", protocol),
		LogsProtocol:   e.protocol("OTEL_EXPORTER_OTLP_LOGS_PROTOCOL", protocol),
	}
	// Who names a collector wants it to get the traces.
	if e.getenv("OTEL_TRACES_EXPORTER") == "" && (e.getenv(endpoint) != "" || e.getenv(tracesEndpoint) != "") {
		o.Traces = tracing.OTLP
	}
	if strings.EqualFold(e.getenv("OTEL_SDK_DISABLED"), "true") {
		o.Traces, o.Logs = tracing.None, tracing.None
	}
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
