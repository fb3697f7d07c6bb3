package messaging

import (
	"context"
	"log/slog"
	"time"
)

// Purge is one kind of row that is deleted once it is old enough.
type Purge struct {
	Name string
	Age  time.Duration
	// Delete deletes up to limit rows older than age and returns how many.
	Delete func(ctx context.Context, age time.Duration, limit int) (int64, error)
}

const (
	purgeInterval = time.Minute
	purgeChunk    = 1000 // rows a statement, so that no writer waits for long
	purgeTimeout  = 10 * time.Second
)

// Retention keeps tables from growing for ever. Several instances may run it:
// they delete the same rows, which is harmless.
type Retention struct {
	purges []Purge
	log    *slog.Logger
}

// NewRetention returns a Retention of the given purges.
func NewRetention(log *slog.Logger, purges ...Purge) *Retention {
	return &Retention{purges, log}
}

// Run purges now and then until ctx ends.
func (r *Retention) Run(ctx context.Context) {
	for {
		for _, p := range r.purges {
			r.purge(ctx, p)
		}
		if !sleep(ctx, jitter(purgeInterval)) {
			return
		}
	}
}

// purge deletes chunk after chunk until there is no full one left.
func (r *Retention) purge(ctx context.Context, p Purge) {
	total := int64(0)
	for ctx.Err() == nil {
		chunk, cancel := context.WithTimeout(ctx, purgeTimeout)
		n, err := p.Delete(chunk, p.Age, purgeChunk)
		cancel()
		if err != nil {
			r.log.WarnContext(ctx, "purge failed", "rows", p.Name, "error", err)
			return
		}
		if total += n; n < purgeChunk {
			break
		}
	}
	if total > 0 {
		r.log.InfoContext(ctx, "purged", "rows", p.Name, "count", total, "olderThan", p.Age)
	}
}
