package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/winaity/billing/internal/app/messaging"
)

func newLogger(w io.Writer, c config) *slog.Logger {
	options := &slog.HandlerOptions{Level: c.LogLevel}
	if c.LogFormat == "text" {
		return slog.New(tracing{slog.NewTextHandler(w, options)})
	}
	return slog.New(tracing{slog.NewJSONHandler(w, options)})
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
