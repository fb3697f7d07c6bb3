package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/winaity/billing/internal/app/messaging"
)

func newLogger(w io.Writer, c config) *slog.Logger {
	if c.LogFormat == "text" {
		return slog.New(tracing{slog.NewTextHandler(w, &slog.HandlerOptions{Level: c.LogLevel})})
	}
	return slog.New(tracing{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: inSeconds})})
}

// inSeconds makes durations seconds, as metrics have them: JSON would show
// nanoseconds.
func inSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

// tracing adds to each line what its context says of where the work comes from.
type tracing struct{ slog.Handler }

func (h tracing) Handle(ctx context.Context, r slog.Record) error {
	trace := messaging.TraceFrom(ctx)
	if trace.CorrelationID != "" {
		r.AddAttrs(slog.String("correlationId", trace.CorrelationID))
	}
	if trace.CausationID != "" {
		r.AddAttrs(slog.String("causationId", trace.CausationID))
	}
	return h.Handler.Handle(ctx, r)
}

func (h tracing) WithAttrs(attrs []slog.Attr) slog.Handler {
	return tracing{h.Handler.WithAttrs(attrs)}
}

func (h tracing) WithGroup(name string) slog.Handler {
	return tracing{h.Handler.WithGroup(name)}
}
