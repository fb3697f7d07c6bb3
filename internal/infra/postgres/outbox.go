package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// relayLock is the advisory lock of whoever publishes a batch: "outbox" in
// ASCII. It belongs to the transaction, so it cannot outlive its holder.
const relayLock = 0x6f7574626f78

const (
	// maxBatchTimeout bounds a batch whose context has no deadline, or a later one.
	// It is below the stream's duplicate window, within which the stream recognises
	// what a holder that hangs has published already.
	maxBatchTimeout = 30 * time.Second
	// blockPause is how long an event that the stream refuses is left alone.
	blockPause = time.Minute
)

// Outbox is the relay's side of the outbox.
type Outbox struct{ pool *pgxpool.Pool }

// NewOutbox returns the outbox in the pool's database.
func NewOutbox(pool *pgxpool.Pool) *Outbox { return &Outbox{pool} }

// PublishBatch implements messaging.Outbox. The lock, the reading, the
// publishing and the marking are one transaction: if it fails after publishing,
// the same messages are published again under the same ids. Postgres ends the
// session of a holder that hangs when the time for its batch is over.
func (o *Outbox) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, maxBatchTimeout)
	defer cancel()
	deadline, _ := ctx.Deadline()
	n := 0
	// Not inTx: it would publish again within one call, and the relay has a
	// back-off of its own.
	err := runTx(ctx, o.pool, func(tx pgx.Tx) error {
		queries := dbgen.New(tx)
		lock, err := queries.LockOutbox(ctx, dbgen.LockOutboxParams{
			LockKey:     relayLock,
			IdleTimeout: strconv.FormatInt(max(time.Until(deadline).Milliseconds(), 1), 10), // 0 would be no limit
		})
		if err != nil {
			return fmt.Errorf("lock outbox: %w", err)
		}
		if !lock.Locked {
			return messaging.ErrBusy
		}
		rows, err := queries.UnpublishedEvents(ctx, int32(limit)) //nolint:gosec // a batch size
		if err != nil {
			return fmt.Errorf("read outbox: %w", err)
		}
		if n = len(rows); n == 0 {
			return nil
		}
		return mark(ctx, queries, rows, publish(ctx, messages(rows)))
	})
	if err != nil && !errors.Is(err, messaging.ErrBusy) {
		err = fmt.Errorf("publish outbox: %w", classify(err))
	}
	return n, err
}

func messages(rows []dbgen.UnpublishedEventsRow) []messaging.Message {
	batch := make([]messaging.Message, len(rows))
	for i, row := range rows {
		batch[i] = messaging.Message{
			ID:            row.ID,
			Subject:       row.Type,
			AggregateType: row.AggregateType,
			AggregateID:   row.AggregateID,
			Payload:       row.Payload,
			Traceparent:   value(row.Traceparent),
			RecordedAt:    row.CreatedAt,
		}
	}
	return batch
}

// mark records the outcomes of publishing rows.
func mark(ctx context.Context, queries *dbgen.Queries, rows []dbgen.UnpublishedEventsRow, outcomes []error) error {
	published := make([]int64, 0, len(rows))
	for i, err := range outcomes {
		switch {
		case err == nil:
			published = append(published, rows[i].Seq)
		case fault.KindOf(err) == fault.Invalid:
			if err := queries.BlockEvent(ctx, dbgen.BlockEventParams{Seq: rows[i].Seq, Pause: blockPause, Error: err.Error()}); err != nil {
				return fmt.Errorf("block event %s: %w", rows[i].ID, err)
			}
		}
	}
	if len(published) == 0 {
		return nil
	}
	if err := queries.MarkPublished(ctx, published); err != nil {
		return fmt.Errorf("mark %d events as published: %w", len(published), err)
	}
	return nil
}

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
	row, err := dbgen.New(o.pool).OutboxBacklog(ctx)
	if err != nil {
		return messaging.Backlog{}, fmt.Errorf("read outbox backlog: %w", classify(err))
	}
	return messaging.Backlog{
		Events:    row.Unpublished,
		OldestAge: time.Duration(row.OldestAgeSeconds * float64(time.Second)),
		Blocked:   row.Blocked,
	}, nil
}

// Blocked returns up to limit blocked events, oldest first.
func (o *Outbox) Blocked(ctx context.Context, limit int) ([]BlockedEvent, error) {
	rows, err := dbgen.New(o.pool).BlockedEvents(ctx, int32(limit)) //nolint:gosec // a page size
	if err != nil {
		return nil, fmt.Errorf("read blocked events: %w", classify(err))
	}
	blocked := make([]BlockedEvent, len(rows))
	for i, b := range rows {
		blocked[i] = BlockedEvent{
			Seq: b.Seq, ID: b.ID, Type: b.Type, AggregateType: b.AggregateType, AggregateID: b.AggregateID,
			RecordedAt: b.CreatedAt.UTC(), Error: value(b.BlockedError),
		}
	}
	return blocked, nil
}

// republishChunk is how many events are unmarked in one statement.
const republishChunk = 1000

// CountPublished returns how many events were published from since until until.
func (o *Outbox) CountPublished(ctx context.Context, since, until time.Time) (int64, error) {
	n, err := dbgen.New(o.pool).CountPublishedBetween(ctx, dbgen.CountPublishedBetweenParams{Since: since, Until: until})
	if err != nil {
		return 0, fmt.Errorf("count published events: %w", classify(err))
	}
	return n, nil
}

// Republish makes the relay publish again what was published from since until
// until, under the same ids, and returns how many events that are. It heals a
// stream that lost data. Events that the stream still has, and has forgotten the
// ids of, will be in it twice.
func (o *Outbox) Republish(ctx context.Context, since, until time.Time) (int, error) {
	queries := dbgen.New(o.pool)
	total, after := 0, int64(0)
	for {
		seqs, err := queries.UnmarkPublished(ctx, dbgen.UnmarkPublishedParams{Since: since, Until: until, After: after, MaxRows: republishChunk})
		if err != nil {
			return total, fmt.Errorf("unmark published events: %w", classify(err))
		}
		total += len(seqs)
		if len(seqs) < republishChunk {
			return total, nil
		}
		after = slices.Max(seqs)
	}
}

// appendEvents adds events to the outbox, in order, in the transaction of
// queries.
func appendEvents(ctx context.Context, queries *dbgen.Queries, events []event.Event) error {
	for _, e := range events {
		message, err := messaging.Seal(ctx, e)
		if err != nil {
			return err
		}
		err = queries.AppendToOutbox(ctx, dbgen.AppendToOutboxParams{
			ID:            message.ID,
			AggregateType: message.AggregateType,
			AggregateID:   message.AggregateID,
			Type:          message.Subject,
			Payload:       message.Payload,
			Traceparent:   optional(message.Traceparent),
		})
		if err != nil {
			return fmt.Errorf("append %s to outbox: %w", e.Type, err)
		}
	}
	return nil
}

// optional returns nil for the zero value: what has no value is NULL.
func optional[S ~string](s S) *string {
	if s == "" {
		return nil
	}
	text := string(s)
	return &text
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
