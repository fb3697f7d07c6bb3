package main

import (
	"context"
	"io"
	"log/slog"

	"github.com/winaity/billing/internal/app/messaging"
)

func newLogger(w io.Writer, c config) *slog.Logger {
	if c.LogFormat == "text" {
		return slog.New(traced{slog.NewTextHandler(w, &slog.HandlerOptions{Level: c.LogLevel})})
	}
	return slog.New(traced{slog.NewJSONHandler(w, &slog.HandlerOptions{Level: c.LogLevel, ReplaceAttr: inSeconds})})
}

// inSeconds makes durations seconds, as metrics have them: JSON would show
// nanoseconds.
func inSeconds(_ []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.Float64Value(a.Value.Duration().Seconds())
	}
	return a
}

// alsoTo returns a logger that hands what log takes, from level on, to other too.
func alsoTo(other slog.Handler, level slog.Level, log *slog.Logger) *slog.Logger {
	return slog.New(slog.NewMultiHandler(log.Handler(), traced{from{other, level}}))
}

// from leaves out the lines below a level.
type from struct {
	slog.Handler
	level slog.Level
}

func (h from) Enabled(_ context.Context, level slog.Level) bool { return level >= h.level }

func (h from) WithAttrs(attrs []slog.Attr) slog.Handler {
	return from{h.Handler.WithAttrs(attrs), h.level}
}

func (h from) WithGroup(name string) slog.Handler { return from{h.Handler.WithGroup(name), h.level} }

// traced adds to each line what its context says of where the work comes from.
type traced struct{ slog.Handler }

func (h traced) Handle(ctx context.Context, r slog.Record) error {
	trace := messaging.TraceFrom(ctx)
	for _, id := range []struct{ key, value string }{
		{"correlationId", trace.CorrelationID},
		{"causationId", trace.CausationID},
		{"traceId", trace.TraceID()},
	} {
		if id.value != "" {
			r.AddAttrs(slog.String(id.key, id.value))
		}
	}
	return h.Handler.Handle(ctx, r)
}

func (h traced) WithAttrs(attrs []slog.Attr) slog.Handler { return traced{h.Handler.WithAttrs(attrs)} }

func (h traced) WithGroup(name string) slog.Handler { return traced{h.Handler.WithGroup(name)} }
