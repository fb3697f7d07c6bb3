package messaging

import (
	"context"
	"regexp"
)

// Trace says where a piece of work comes from. It travels in the context, into
// every event that the work records and every line that it logs.
type Trace struct {
	CorrelationID string // what the whole chain has in common
	CausationID   string // the event that caused this work; empty for a command
	Traceparent   string // W3C Trace Context; empty if none
}

type traceKey struct{}

// WithTrace returns a context that carries t.
func WithTrace(ctx context.Context, t Trace) context.Context {
	return context.WithValue(ctx, traceKey{}, t)
}

// TraceFrom returns the Trace that ctx carries; the zero Trace if it has none.
func TraceFrom(ctx context.Context) Trace {
	t, _ := ctx.Value(traceKey{}).(Trace)
	return t
}

// NewCorrelationID returns a fresh correlation id.
func NewCorrelationID() string { return NewID("corr_") }

var correlationID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// WellFormedCorrelationID reports whether a correlation id from outside may be
// taken over: 1 to 128 of A–Z a–z 0–9 . _ : -.
func WellFormedCorrelationID(s string) bool { return correlationID.MatchString(s) }
