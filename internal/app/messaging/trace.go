package messaging

import (
	"context"
	"crypto/rand"
	"fmt"
	"regexp"
	"strings"
)

// Trace says where a piece of work comes from. It travels in the context, into
// every event that the work records and every line that it logs.
type Trace struct {
	CorrelationID string // what the whole chain has in common
	CausationID   string // the event that caused this work; empty for a command
	Traceparent   string // W3C Trace Context, well-formed; empty if none
}

// TraceID returns the trace that the work belongs to, as 32 hexadecimal digits;
// empty if it belongs to none.
func (t Trace) TraceID() string {
	if t.Traceparent == "" {
		return ""
	}
	return t.Traceparent[3:35]
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

// Tracer opens a span around the handling of a delivery. The given context has
// the Trace of the message, the one that it returns that of the span; end closes
// the span.
type Tracer func(ctx context.Context, d Delivery) (_ context.Context, end func(DeliveryReport))

func untraced(ctx context.Context, _ Delivery) (context.Context, func(DeliveryReport)) {
	return ctx, func(DeliveryReport) {}
}

// NewCorrelationID returns a fresh correlation id.
func NewCorrelationID() string { return NewID("corr_") }

var correlationID = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,128}$`)

// WellFormedCorrelationID reports whether a correlation id from outside may be
// taken over: 1 to 128 of A–Z a–z 0–9 . _ : -.
func WellFormedCorrelationID(s string) bool { return correlationID.MatchString(s) }

// A traceparent of version 00: version, trace id, parent id, flags.
var (
	traceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)
	noTrace     = "00-" + strings.Repeat("0", 32)
	noParent    = strings.Repeat("0", 16) + "-"
)

// WellFormedTraceparent reports whether a traceparent from outside may be taken
// over: it is of version 00 of W3C Trace Context, and its ids are not all zeros,
// which means none. A later version than ours begins a new trace.
func WellFormedTraceparent(s string) bool {
	return traceparent.MatchString(s) && !strings.HasPrefix(s, noTrace) && !strings.HasPrefix(s[36:], noParent)
}

// NewTraceparent returns the traceparent of a new trace.
func NewTraceparent() string {
	var ids [24]byte
	_, _ = rand.Read(ids[:]) // never fails, by its documentation
	return fmt.Sprintf("00-%x-%x-01", ids[:16], ids[16:])
}
