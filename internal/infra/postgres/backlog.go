package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// BlockedEvent is an event that the stream refuses for good. It holds back the
// later events of its aggregate.
type BlockedEvent struct {
	Seq           int64
	ID            string
	Type          string
	AggregateType string
	AggregateID   string
	RecordedAt    time.Time
	Error         string
}

// Backlog returns what waits to be published.
func (o *Outbox) Backlog(ctx context.Context) (messaging.Backlog, error) {
	row, err := ask(ctx, o.db, "read outbox backlog", func(queries *dbgen.Queries) (dbgen.OutboxBacklogRow, error) { return queries.OutboxBacklog(ctx) })
	return messaging.Backlog{Events: row.Unpublished, OldestAge: seconds(row.OldestAgeSeconds), Blocked: row.Blocked}, err
}

// Blocked returns up to limit blocked events, oldest first.
func (o *Outbox) Blocked(ctx context.Context, limit int) ([]BlockedEvent, error) {
	rows, err := ask(ctx, o.db, "read blocked events", func(queries *dbgen.Queries) ([]dbgen.BlockedEventsRow, error) {
		return queries.BlockedEvents(ctx, int64(limit))
	})
	blocked := make([]BlockedEvent, len(rows))
	for i, b := range rows {
		blocked[i] = BlockedEvent{
			Seq: b.Seq, ID: b.ID, Type: b.Type, AggregateType: b.AggregateType, AggregateID: b.AggregateID,
			RecordedAt: b.CreatedAt.UTC(), Error: value(b.BlockedError),
		}
	}
	return blocked, err
}

// republishChunk is how many events are unmarked in one statement.
const republishChunk = 1000

// CountPublished returns how many events were published from since until until.
func (o *Outbox) CountPublished(ctx context.Context, since, until time.Time) (int64, error) {
	return ask(ctx, o.db, "count published events", func(queries *dbgen.Queries) (int64, error) {
		return queries.CountPublishedBetween(ctx, dbgen.CountPublishedBetweenParams{Since: since, Until: until})
	})
}

// Republish makes the relay publish again what was published from since until
// until, under the same ids, and returns how many events that are. It heals a
// stream that lost data. Events that the stream still has, and has forgotten the
// ids of, will be in it twice.
func (o *Outbox) Republish(ctx context.Context, since, until time.Time) (int, error) {
	total, after := 0, int64(0)
	for {
		seqs, err := ask(ctx, o.db, "unmark published events", func(queries *dbgen.Queries) ([]int64, error) {
			seqs, err := queries.UnmarkPublished(ctx, dbgen.UnmarkPublishedParams{Since: since, Until: until, After: after, MaxRows: republishChunk})
			if err == nil && len(seqs) > 0 {
				err = queries.NoteRepublication(ctx, int64(len(seqs)))
			}
			return seqs, err
		})
		if err != nil {
			return total, err
		}
		total += len(seqs)
		if len(seqs) < republishChunk {
			return total, nil
		}
		after = slices.Max(seqs)
	}
}

// OldestTransaction returns how long the oldest transaction has been open that
// keeps the server from removing dead rows.
func (d *DB) OldestTransaction(ctx context.Context) (time.Duration, error) {
	age, err := ask(ctx, d, "look for old transactions", func(queries *dbgen.Queries) (float64, error) { return queries.OldestTransaction(ctx) })
	return seconds(age), err
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
