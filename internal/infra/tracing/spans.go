package tracing

import (
	"context"
	"errors"
	"net"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// Attributes that OpenTelemetry has no name for.
const (
	keyCorrelationID = attribute.Key("correlation.id")
	keyAggregateID   = attribute.Key("aggregate.id")
	keyAttempt       = attribute.Key("delivery.attempt") // 1 for the first delivery
	keyOutcome       = attribute.Key("delivery.outcome")
	keyFailed        = attribute.Key("batch.failed_count")
)

var messagingSystem = semconv.MessagingSystemKey.String("nats")

// maxLinks is more than the messages of a batch.
const maxLinks = 1024

// Spans opens the spans of the service. It is safe for concurrent use.
type Spans struct{ tracer trace.Tracer }

// start opens a span. The context that it returns has the span, also as its
// messaging.Trace: so what is recorded or published in it is its child.
func (s *Spans) start(ctx context.Context, name string, options ...trace.SpanStartOption) (context.Context, trace.Span) {
	ctx, span := s.tracer.Start(ctx, name, options...)
	t := messaging.TraceFrom(ctx)
	t.Traceparent = traceparent(ctx)
	return messaging.WithTrace(ctx, t), span
}

// w3c writes and reads what OpenTelemetry has in contexts.
var w3c propagation.TraceContext

const keyTraceparent, keyTracestate = "traceparent", "tracestate"

func traceparent(ctx context.Context) string {
	carrier := propagation.MapCarrier{}
	w3c.Inject(ctx, carrier)
	return carrier[keyTraceparent]
}

// within returns a context whose spans are children of the traceparent's, which
// may be empty.
func within(ctx context.Context, traceparent, tracestate string) context.Context {
	return w3c.Extract(ctx, propagation.MapCarrier{keyTraceparent: traceparent, keyTracestate: tracestate})
}

// fail closes a span in error.
func fail(span trace.Span, err error) {
	span.RecordError(err)
	span.SetStatus(codes.Error, err.Error())
	kind := semconv.ErrorTypeOther
	if e, ok := errors.AsType[*fault.Error](err); ok {
		kind = semconv.ErrorTypeKey.String(e.Code)
	}
	span.SetAttributes(kind)
}

// Request opens the span of a request to an HTTP server; see httpapi.Tracer.
func (s *Spans) Request(ctx context.Context, r *http.Request) (context.Context, func(route string, status int, err error)) {
	t := messaging.TraceFrom(ctx)
	method, name := methodOf(r)
	ctx, span := s.start(within(ctx, t.Traceparent, strings.Join(r.Header.Values(keyTracestate), ",")), name,
		trace.WithSpanKind(trace.SpanKindServer),
		trace.WithAttributes(
			method,
			semconv.URLScheme(schemeOf(r)),
			semconv.URLPath(r.URL.Path),
			semconv.ServerAddress(r.Host),
			semconv.ClientAddress(hostOf(r.RemoteAddr)),
			semconv.UserAgentOriginal(r.UserAgent()),
			semconv.NetworkProtocolVersion(strings.TrimPrefix(r.Proto, "HTTP/")),
			keyCorrelationID.String(t.CorrelationID),
		))
	return ctx, func(route string, status int, err error) {
		if route != "" {
			span.SetName(name + " " + route)
			span.SetAttributes(semconv.HTTPRoute(route))
		}
		span.SetAttributes(semconv.HTTPResponseStatusCode(status))
		// What the client has to change is no error of the server.
		if status >= http.StatusInternalServerError {
			if err != nil {
				span.RecordError(err)
			}
			span.SetStatus(codes.Error, "")
			span.SetAttributes(semconv.ErrorTypeKey.String(strconv.Itoa(status)))
		}
		span.End()
	}
}

var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
	http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect,
}

// methodOf returns the attribute for the method, and its part of a span's name:
// few of each, whatever clients send.
func methodOf(r *http.Request) (method attribute.KeyValue, name string) {
	if slices.Contains(methods, r.Method) {
		return semconv.HTTPRequestMethodKey.String(r.Method), r.Method
	}
	return semconv.HTTPRequestMethodOther, "HTTP"
}

func schemeOf(r *http.Request) string {
	if r.TLS != nil {
		return "https"
	}
	return "http"
}

func hostOf(address string) string {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return address
	}
	return host
}

// Delivery opens the span of a delivery; see messaging.ConsumerOptions. Its
// parent is the publication of the message, so the deliveries of a message are
// side by side.
func (s *Spans) Delivery(ctx context.Context, d messaging.Delivery) (context.Context, func(messaging.DeliveryReport)) {
	t := messaging.TraceFrom(ctx)
	ctx, span := s.start(within(ctx, t.Traceparent, ""), "process "+d.Subject(),
		trace.WithSpanKind(trace.SpanKindConsumer),
		trace.WithAttributes(
			messagingSystem,
			semconv.MessagingOperationName("process"),
			semconv.MessagingOperationTypeProcess,
			semconv.MessagingDestinationName(d.Subject()),
			keyCorrelationID.String(t.CorrelationID),
			keyAttempt.Int(d.Attempt()),
		))
	return ctx, func(r messaging.DeliveryReport) {
		span.SetAttributes(
			semconv.MessagingMessageID(r.EventID),
			keyAggregateID.String(r.AggregateID),
			keyOutcome.String(string(r.Outcome)),
		)
		if r.Err != nil {
			fail(span, r.Err)
		}
		span.End()
	}
}

// Store returns a store that opens a span for each transaction of inner, a
// database of the given system, such as "postgresql". What is recorded in the
// transaction is a child of the span.
func Store[T any](s *Spans, system string, inner messaging.Store[T]) messaging.Store[T] {
	return store[T]{inner, s, system}
}

type store[T any] struct {
	messaging.Store[T]
	spans  *Spans
	system string
}

// Atomically implements messaging.Store.
func (s store[T]) Atomically(ctx context.Context, f func(T) error) error {
	ctx, span := s.spans.start(ctx, "transaction",
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(semconv.DBSystemNameKey.String(s.system)))
	defer span.End()
	err := s.Store.Atomically(ctx, f)
	// What is refused is rolled back as it should be.
	switch fault.KindOf(err) {
	case fault.Internal, fault.Unavailable:
		if err != nil {
			fail(span, err)
		}
	case fault.Invalid, fault.NotFound, fault.Conflict:
	}
	return err
}

// Outbox returns an outbox that opens spans for the batches of inner: one for
// each published event, in the trace that recorded it, and one for the batch, in
// a trace of its own, with links to them.
func (s *Spans) Outbox(inner messaging.Outbox) messaging.Outbox { return outbox{inner, s} }

type outbox struct {
	messaging.Outbox
	spans *Spans
}

// PublishBatch implements messaging.Outbox.
func (o outbox) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	return o.Outbox.PublishBatch(ctx, limit, func(ctx context.Context, batch []messaging.Message) []error {
		return o.spans.publish(ctx, batch, publish)
	})
}

func (s *Spans) publish(ctx context.Context, batch []messaging.Message, publish func(context.Context, []messaging.Message) []error) []error {
	ctx, span := s.start(ctx, "publish batch",
		trace.WithNewRoot(),
		trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(
			messagingSystem,
			semconv.MessagingOperationName("publish"),
			semconv.MessagingOperationTypeSend,
			semconv.MessagingBatchMessageCount(len(batch)),
		))
	defer span.End()
	producers := make([]trace.Span, len(batch))
	batch = slices.Clone(batch)
	for i, m := range batch {
		producers[i], batch[i].Traceparent = s.producer(ctx, m)
	}
	outcomes := publish(ctx, batch)
	failed := 0
	var first error
	for i, err := range outcomes {
		switch {
		case err == nil:
		case fault.KindOf(err) == fault.Invalid:
			fail(producers[i], err)
		default:
			// It will be tried again every second while the stream is away, with all
			// that waits: the span of the batch tells that once for all of them.
			if failed++; first == nil {
				first = err
			}
			continue
		}
		span.AddLink(trace.Link{SpanContext: producers[i].SpanContext()})
		producers[i].End()
	}
	if first != nil {
		fail(span, first)
		span.SetAttributes(keyFailed.Int(failed))
	}
	return outcomes
}

// producer opens the span of the publication of m, and returns the traceparent
// that m is to be published with. What has no trace is in the one of ctx.
func (s *Spans) producer(ctx context.Context, m messaging.Message) (trace.Span, string) {
	ctx, span := s.tracer.Start(within(ctx, m.Traceparent, ""), "publish "+m.Subject,
		trace.WithSpanKind(trace.SpanKindProducer),
		trace.WithAttributes(
			messagingSystem,
			semconv.MessagingOperationName("publish"),
			semconv.MessagingOperationTypeSend,
			semconv.MessagingDestinationName(m.Subject),
			semconv.MessagingMessageID(m.ID),
			keyAggregateID.String(m.AggregateID),
		))
	return span, traceparent(ctx)
}
