package postgres

import (
	"context"
	"fmt"
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
	var row dbgen.OutboxBacklogRow
	err := o.db.inTx(ctx, func(queries *dbgen.Queries) (err error) {
		row, err = queries.OutboxBacklog(ctx)
		return err
	})
	if err != nil {
		return messaging.Backlog{}, fmt.Errorf("read outbox backlog: %w", err)
	}
	return messaging.Backlog{Events: row.Unpublished, OldestAge: seconds(row.OldestAgeSeconds), Blocked: row.Blocked}, nil
}

// Blocked returns up to limit blocked events, oldest first.
func (o *Outbox) Blocked(ctx context.Context, limit int) ([]BlockedEvent, error) {
	var blocked []BlockedEvent
	err := o.db.inTx(ctx, func(queries *dbgen.Queries) error {
		rows, err := queries.BlockedEvents(ctx, int64(limit))
		blocked = make([]BlockedEvent, len(rows))
		for i, b := range rows {
			blocked[i] = BlockedEvent{
				Seq: b.Seq, ID: b.ID, Type: b.Type, AggregateType: b.AggregateType, AggregateID: b.AggregateID,
				RecordedAt: b.CreatedAt.UTC(), Error: value(b.BlockedError),
			}
		}
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read blocked events: %w", err)
	}
	return blocked, nil
}

// republishChunk is how many events are unmarked in one statement.
const republishChunk = 1000

// CountPublished returns how many events were published from since until until.
func (o *Outbox) CountPublished(ctx context.Context, since, until time.Time) (n int64, err error) {
	err = o.db.inTx(ctx, func(queries *dbgen.Queries) (err error) {
		n, err = queries.CountPublishedBetween(ctx, dbgen.CountPublishedBetweenParams{Since: since, Until: until})
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("count published events: %w", err)
	}
	return n, nil
}

// Republish makes the relay publish again what was published from since until
// until, under the same ids, and returns how many events that are. It heals a
// stream that lost data. Events that the stream still has, and has forgotten the
// ids of, will be in it twice.
func (o *Outbox) Republish(ctx context.Context, since, until time.Time) (int, error) {
	total, after := 0, int64(0)
	for {
		var seqs []int64
		err := o.db.inTx(ctx, func(queries *dbgen.Queries) (err error) {
			seqs, err = queries.UnmarkPublished(ctx, dbgen.UnmarkPublishedParams{Since: since, Until: until, After: after, MaxRows: republishChunk})
			if err != nil || len(seqs) == 0 {
				return err
			}
			return queries.NoteRepublication(ctx, int64(len(seqs)))
		})
		if err != nil {
			return total, fmt.Errorf("unmark published events: %w", err)
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
	var age float64
	err := d.inTx(ctx, func(queries *dbgen.Queries) (err error) {
		age, err = queries.OldestTransaction(ctx)
		return err
	})
	if err != nil {
		return 0, fmt.Errorf("look for old transactions: %w", err)
	}
	return seconds(age), nil
}

func seconds(n float64) time.Duration { return time.Duration(n * float64(time.Second)) }
