package main

import (
	"bytes"
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
)

// Traces that a client begins, and its span in them.
const (
	issueTrace   = "0af7651916cd43dd8448eb211c80319c"
	changeTrace  = "4bf92f3577b34da6a3ce929d0e0e4736"
	clientSpan   = "b7ad6b7169203331"
	sampledIssue = "00-" + issueTrace + "-" + clientSpan + "-01"
	sampled      = "00-" + changeTrace + "-" + clientSpan + "-01"
	notSampled   = "00-" + changeTrace + "-" + clientSpan + "-00"
)

func TestTraceShowsTheWholeLoop(t *testing.T) {
	for command, want := range map[string]string{
		"pay": `server: POST /v1/invoices/{id}/pay
  client: transaction
    producer: publish billing.invoice.paid
      consumer: process billing.invoice.paid
        client: transaction
          producer: publish billing.receipt.issued
`,
		"cancel": `server: POST /v1/invoices/{id}/cancel
  client: transaction
    producer: publish billing.invoice.cancelled
      consumer: process billing.invoice.cancelled
        client: transaction
          producer: publish billing.creditnote.issued
`,
	} {
		t.Run(command, func(t *testing.T) {
			s := newStack(t)
			c, environment := s.newCollector()
			i := s.serve(environment)
			id := i.issue("traceparent", sampledIssue)
			changed := i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/"+command, "", "traceparent", sampled, "X-Correlation-ID", "corr-of-the-test")
			s.eventually("three events in the stream", func() bool { return len(s.events()) == 3 })
			events := s.events()
			if code := i.stop(); code != exitOK {
				t.Fatalf("exit code %d", code)
			}

			if issue, rest := drawn(c.trace(issueTrace), clientSpan, 0); len(rest) > 0 ||
				issue != "server: POST /v1/invoices\n  client: transaction\n    producer: publish billing.invoice.issued\n" {
				t.Errorf("the issue is traced as\n%sand %v", issue, rest)
			}
			trace := c.trace(changeTrace)
			if got, rest := drawn(trace, clientSpan, 0); len(rest) > 0 || got != want {
				t.Fatalf("got\n%sand %v\nwant\n%s", got, rest, want)
			}
			server, transaction, producer, consumer := trace[0], trace[1], trace[2], trace[3]
			for _, has := range []struct {
				span       span
				key, value string
			}{
				{server, "http.request.method", "POST"},
				{server, "http.route", "/v1/invoices/{id}/" + command},
				{server, "http.response.status_code", "200"},
				{server, "correlation.id", "corr-of-the-test"},
				{transaction, "db.system.name", "postgresql"},
				{producer, "messaging.system", "nats"},
				{producer, "messaging.message.id", events[1].ID},
				{producer, "messaging.destination.name", events[1].Type},
				{producer, "aggregate.id", id},
				{consumer, "messaging.operation.type", "process"},
				{consumer, "messaging.message.id", events[1].ID},
				{consumer, "aggregate.id", id},
				{consumer, "delivery.attempt", "1"},
				{consumer, "delivery.outcome", "handled"},
				{consumer, "correlation.id", "corr-of-the-test"},
			} {
				if got := value(has.span.GetAttributes(), has.key); got != has.value {
					t.Errorf("%s: %s is %q, want %q", has.span.GetName(), has.key, got, has.value)
				}
			}
			for _, one := range trace {
				if one.service != "billing" || one.GetStatus().GetCode() != tracepb.Status_STATUS_CODE_UNSET {
					t.Errorf("%s: service %q, status %v", one.GetName(), one.service, one.GetStatus())
				}
			}

			// What carries the trace from span to span.
			var row string
			s.must(s.pool.QueryRow(t.Context(), "SELECT traceparent FROM outbox WHERE id = $1", events[1].ID).Scan(&row))
			for what, names := range map[string]struct {
				traceparent string
				span        span
			}{
				"the answer":     {changed.Header.Get("Traceresponse"), server},
				"the outbox row": {row, transaction},
				"the message":    {events[1].raw.Header.Get("traceparent"), producer},
			} {
				if want := "00-" + changeTrace + "-" + hex.EncodeToString(names.span.GetSpanId()) + "-01"; names.traceparent != want {
					t.Errorf("%s has %s, want %s", what, names.traceparent, want)
				}
			}
			checkBatches(t, c)
			checkExportedLogs(t, c, id)
		})
	}
}

// checkBatches looks for the batches in which the relay published three events.
func checkBatches(t *testing.T, c *collector) {
	t.Helper()
	linked := make(map[string]int)
	for _, batch := range named(c.spans, "publish batch") {
		if len(batch.GetParentSpanId()) > 0 || value(batch.GetAttributes(), "messaging.batch.message_count") == "" {
			t.Errorf("a batch is traced as %v", batch)
		}
		for _, link := range batch.GetLinks() {
			linked[hex.EncodeToString(link.GetSpanId())]++
		}
	}
	producers := 0
	for _, one := range c.spans {
		if one.GetKind() == tracepb.Span_SPAN_KIND_PRODUCER {
			if producers++; linked[hex.EncodeToString(one.GetSpanId())] != 1 {
				t.Errorf("%s is linked by %d batches", one.GetName(), linked[hex.EncodeToString(one.GetSpanId())])
			}
		}
	}
	if producers != 3 || len(linked) != 3 {
		t.Errorf("%d events were published, %d are linked", producers, len(linked))
	}
}

// checkExportedLogs looks for the lines of the change among the exported logs.
func checkExportedLogs(t *testing.T, c *collector, id string) {
	t.Helper()
	found := make(map[string]int)
	for _, record := range c.logs {
		if hex.EncodeToString(record.GetTraceId()) == changeTrace && value(record.GetAttributes(), "correlationId") == "corr-of-the-test" &&
			(value(record.GetAttributes(), "invoiceId") == id || value(record.GetAttributes(), "aggregateId") == id) {
			found[record.GetBody().GetStringValue()]++
		}
	}
	if found["request"] != 1 || found["delivery"] != 1 {
		t.Errorf("of the change, these lines were exported: %v", found)
	}
}

func TestTraceThatIsNotSampledIsCarriedAndNotExported(t *testing.T) {
	s := newStack(t)
	c, environment := s.newCollector()
	i := s.serve(environment)
	i.issue("traceparent", notSampled)
	s.eventually("the event", func() bool { return len(s.events()) == 1 })
	carried := s.events()[0].raw.Header.Get("traceparent")
	if !strings.HasPrefix(carried, "00-"+changeTrace) || !strings.HasSuffix(carried, "-00") {
		t.Errorf("the event has %s", carried)
	}
	i.stop()
	if spans := c.trace(changeTrace); len(spans) > 0 {
		t.Errorf("exported %v", spans)
	}
}

// flakyStore fails the first transactions that handle an event.
type flakyStore struct {
	invoicing.Store
	failures *atomic.Int64 // left
}

var errFlaky = errors.New("the disk coughed")

func (f flakyStore) Atomically(ctx context.Context, work func(invoicing.Tx) error) error {
	if messaging.TraceFrom(ctx).CausationID != "" && f.failures.Add(-1) >= 0 {
		return errFlaky
	}
	return f.Store.Atomically(ctx, work)
}

func TestTraceShowsEveryAttempt(t *testing.T) {
	s := newStack(t)
	c, environment := s.newCollector()
	var failures atomic.Int64
	failures.Store(2)
	i := s.serveWrapped(environment, func(p *ports) { p.effects = flakyStore{p.effects, &failures} })
	id := i.issue()
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", "", "traceparent", sampled)
	i.awaitReceipt(id)
	s.eventually("three events in the stream", func() bool { return len(s.events()) == 3 })
	i.stop()

	trace := c.trace(changeTrace)
	const want = `server: POST /v1/invoices/{id}/pay
  client: transaction
    producer: publish billing.invoice.paid
      consumer: process billing.invoice.paid
        client: transaction
      consumer: process billing.invoice.paid
        client: transaction
      consumer: process billing.invoice.paid
        client: transaction
          producer: publish billing.receipt.issued
`
	if got, rest := drawn(trace, clientSpan, 0); len(rest) > 0 || got != want {
		t.Fatalf("got\n%sand %v", got, rest)
	}
	for n, attempt := range named(trace, "process billing.invoice.paid") {
		want := []struct {
			attempt, outcome string
			code             tracepb.Status_StatusCode
		}{
			{"1", "retried", tracepb.Status_STATUS_CODE_ERROR},
			{"2", "retried", tracepb.Status_STATUS_CODE_ERROR},
			{"3", "handled", tracepb.Status_STATUS_CODE_UNSET},
		}[n]
		if value(attempt.GetAttributes(), "delivery.attempt") != want.attempt || value(attempt.GetAttributes(), "delivery.outcome") != want.outcome ||
			attempt.GetStatus().GetCode() != want.code {
			t.Errorf("attempt %d: %v", n+1, attempt)
		}
		recorded := len(attempt.GetEvents()) == 1 && value(attempt.GetEvents()[0].GetAttributes(), "exception.message") == errFlaky.Error()
		if failed := want.code == tracepb.Status_STATUS_CODE_ERROR; recorded != failed {
			t.Errorf("attempt %d recorded %v", n+1, attempt.GetEvents())
		}
	}
}

func TestCollectorThatIsAwayDoesNotMatter(t *testing.T) {
	s := newStack(t)
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	s.must(err)
	s.must(listener.Close())
	i := s.serve(s.exporting(map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + listener.Addr().String(),
		"OTEL_LOGS_EXPORTER":          "otlp",
		"OTEL_BSP_SCHEDULE_DELAY":     "20", // ms
		"OTEL_BLRP_SCHEDULE_DELAY":    "20",
	}))
	i.awaitReceipt(i.issuePaid())
	const complaint = `"telemetry was not exported"`
	s.eventually("the log says so", func() bool { return strings.Contains(i.log.String(), complaint) })
	i.awaitReceipt(i.issuePaid())
	if code := i.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if n := strings.Count(i.log.String(), complaint); n != 1 {
		t.Errorf("the log says so %d times", n)
	}
	for line := range strings.Lines(i.log.String()) {
		if !json.Valid([]byte(line)) {
			t.Errorf("not logged as the rest is: %s", line)
		}
	}
}

func TestTelemetryIsConfiguredByTheStandardVariables(t *testing.T) {
	for name, c := range map[string]struct {
		environment  map[string]string
		traces, logs string
		problem      string
	}{
		"nothing":          {nil, "none", "none", ""},
		"traces":           {map[string]string{"OTEL_TRACES_EXPORTER": "otlp"}, "otlp", "none", ""},
		"logs":             {map[string]string{"OTEL_LOGS_EXPORTER": "otlp"}, "none", "otlp", ""},
		"endpoint":         {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318"}, "otlp", "none", ""},
		"endpoint, unused": {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://localhost:4318", "OTEL_TRACES_EXPORTER": "none"}, "none", "none", ""},
		"disabled":         {map[string]string{"OTEL_TRACES_EXPORTER": "otlp", "OTEL_LOGS_EXPORTER": "otlp", "OTEL_SDK_DISABLED": "TRUE"}, "none", "none", ""},
		"other exporter":   {map[string]string{"OTEL_TRACES_EXPORTER": "zipkin"}, "", "", "OTEL_TRACES_EXPORTER must be none or otlp or console"},
		"other protocol":   {map[string]string{"OTEL_EXPORTER_OTLP_PROTOCOL": "http/json"}, "", "", "OTEL_EXPORTER_OTLP_PROTOCOL must be http/protobuf or grpc"},
		"no URL":           {map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "localhost:4317"}, "", "", "OTEL_EXPORTER_OTLP_ENDPOINT must be a URL"},
	} {
		t.Run(name, func(t *testing.T) {
			getenv := func(name string) string { return c.environment[name] }
			config, err := loadConfig(getenv, needs{})
			if config.Telemetry.Traces != c.traces || config.Telemetry.Logs != c.logs {
				t.Errorf("exports %+v, %v", config.Telemetry, err)
			}
			if c.problem == "" {
				return
			}
			var stderr bytes.Buffer
			if code := run(t.Context(), []string{"serve"}, getenv, io.Discard, &stderr); code != exitBadUsage || !strings.Contains(stderr.String(), c.problem) {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
}
