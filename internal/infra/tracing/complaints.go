package tracing

import (
	"context"
	"log/slog"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
)

// quiet is how long complaints are only counted after one was logged: while a
// collector is away there is one every few seconds.
const quiet = time.Minute

// complaints logs what goes wrong with exporting.
type complaints struct {
	log  *slog.Logger
	mask *strings.Replacer

	mu     sync.Mutex
	last   time.Time // that one was logged
	unsaid int       // since then
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) < quiet {
		c.unsaid++
		return
	}
	c.log.Warn("telemetry was not exported", "error", c.mask.Replace(err.Error()), "timesBefore", c.unsaid)
	c.last, c.unsaid = time.Now(), 0
}

// discreet logs what the SDK says about itself. Of the attributes it shows errors
// and numbers only: the others may be what the SDK was configured with.
type discreet struct {
	slog.Handler
	mask *strings.Replacer
}

// Handle implements slog.Handler.
func (h discreet) Handle(ctx context.Context, r slog.Record) error {
	shown := slog.NewRecord(r.Time, r.Level, r.Message, r.PC)
	r.Attrs(func(a slog.Attr) bool {
		if err, ok := a.Value.Any().(error); ok {
			shown.AddAttrs(slog.String(a.Key, h.mask.Replace(err.Error())))
		} else if a.Value.Kind() == slog.KindInt64 || a.Value.Kind() == slog.KindUint64 {
			shown.AddAttrs(a)
		}
		return true
	})
	return h.Handler.Handle(ctx, shown)
}

// WithAttrs implements slog.Handler.
func (h discreet) WithAttrs([]slog.Attr) slog.Handler { return h }

// WithGroup implements slog.Handler.
func (h discreet) WithGroup(string) slog.Handler { return h }

// masking replaces the words of secrets, encoded or not, wherever an error or a
// collector quotes them. Short ones are left: they would deface all texts.
func masking(secrets []string) *strings.Replacer {
	var words []string
	for _, secret := range secrets {
		decoded, _ := url.PathUnescape(secret) // empty if it is malformed
		words = append(words, strings.FieldsFunc(secret+" "+decoded, func(r rune) bool { return strings.ContainsRune(",=: \t\r\n", r) })...)
	}
	slices.SortFunc(words, func(a, b string) int { return len(b) - len(a) }) // one may begin with another
	var replaced []string
	for _, word := range words {
		if len(word) >= 6 {
			replaced = append(replaced, word, "xxxxx")
		}
	}
	return strings.NewReplacer(replaced...)
}
