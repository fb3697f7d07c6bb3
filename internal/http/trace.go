package httpapi

import (
	"context"
	"net/http"
	"strings"

	"github.com/winaity/billing/internal/app/messaging"
)

// Tracer opens a span around a request. The given context has the
// messaging.Trace that the client sent, if it sent one; the one that it returns
// has that of the span. end closes the span: route is the pattern of the route,
// empty if there is none, and err is what a problem was made from.
type Tracer func(ctx context.Context, r *http.Request) (_ context.Context, end func(route string, status int, err error))

// untraced is the Tracer of a service that exports no spans.
func untraced(ctx context.Context, _ *http.Request) (context.Context, func(string, int, error)) {
	return ctx, func(string, int, error) {}
}

// trace puts where the request comes from into its context, and tells the client
// by which ids to ask for it. Only the API proper has spans and tells its trace:
// probes and pages would bury it.
func trace(w http.ResponseWriter, r *http.Request, open Tracer) (_ *http.Request, end func(string, int, error)) {
	t := messaging.Trace{CorrelationID: correlationID(r.Header), Traceparent: traceparent(r.Header)}
	w.Header().Set("X-Correlation-ID", t.CorrelationID)
	isAPI := strings.HasPrefix(r.URL.Path, apiPrefix)
	if !isAPI || open == nil {
		open = untraced
	}
	ctx, end := open(messaging.WithTrace(r.Context(), t), r)
	if t = messaging.TraceFrom(ctx); t.Traceparent == "" {
		t.Traceparent = messaging.NewTraceparent()
		ctx = messaging.WithTrace(ctx, t)
	}
	if isAPI {
		w.Header().Set("Traceresponse", t.Traceparent) // https://w3c.github.io/trace-context/#traceresponse-header
	}
	return r.WithContext(ctx), end
}

const apiPrefix = "/v1/"

func correlationID(h http.Header) string {
	values := h.Values("X-Correlation-ID")
	if len(values) == 1 && messaging.WellFormedCorrelationID(values[0]) {
		return values[0]
	}
	return messaging.NewCorrelationID()
}

func traceparent(h http.Header) string {
	values := h.Values("Traceparent")
	if len(values) == 1 && messaging.WellFormedTraceparent(values[0]) {
		return values[0]
	}
	return ""
}
