package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
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
	// maxHold is how long a transaction goes on with further batches. If it fails,
	// all that it published is published again.
	maxHold = 250 * time.Millisecond
	// blockPause is how long an event that the stream refuses is left alone.
	blockPause = time.Minute
)

// Outbox is the relay's side of the outbox.
type Outbox struct{ pool *pgxpool.Pool }

// NewOutbox returns the outbox in the pool's database.
func NewOutbox(pool *pgxpool.Pool) *Outbox { return &Outbox{pool} }

// PublishBatch implements messaging.Outbox. The lock, the reading, the marking
// and the publishing are one transaction: if it fails after publishing, the same
// messages are published again under the same ids. Postgres ends the session of a
// holder that hangs when the time for its batch is over.
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
		n, err = drain(ctx, queries, limit, publish)
		return err
	})
	if err != nil && !errors.Is(err, messaging.ErrBusy) {
		err = fmt.Errorf("publish outbox: %w", classify(err))
	}
	return n, err
}

// drain publishes batches until one is not full or not wholly acknowledged, or
// maxHold is over, and returns how many messages it handed over.
//
// A batch is marked as published while it is being published, and the next one is
// read: the stream and the database work side by side. That is safe because the
// marks become true with the commit, which comes after the last acknowledgement;
// what was not acknowledged is unmarked before it.
func drain(ctx context.Context, queries *dbgen.Queries, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start, size, n := time.Now(), limit, 0
	rows, err := unpublished(ctx, queries, limit)
	for err == nil && len(rows) > 0 {
		batch := rows
		n += len(batch)
		var outcomes []error
		var publishing sync.WaitGroup
		publishing.Go(func() { outcomes = publish(ctx, messages(batch)) })
		rows = nil
		if err = mark(ctx, queries, batch); err == nil && len(batch) == size && time.Since(start) < maxHold {
			size = max(limit, min(2*limit, messaging.MaxBatch)) // each batch has a price of its own
			rows, err = unpublished(ctx, queries, size)
		}
		if err != nil {
			cancel() // no acknowledgement can be recorded any more
		}
		publishing.Wait()
		if err == nil && slices.ContainsFunc(outcomes, failed) {
			return n, unmark(ctx, queries, batch, outcomes)
		}
	}
	return n, err
}

func failed(err error) bool { return err != nil }

func unpublished(ctx context.Context, queries *dbgen.Queries, limit int) ([]dbgen.UnpublishedEventsRow, error) {
	rows, err := queries.UnpublishedEvents(ctx, int32(limit)) //nolint:gosec // a batch size
	if err != nil {
		return nil, fmt.Errorf("read outbox: %w", err)
	}
	return rows, nil
}

func mark(ctx context.Context, queries *dbgen.Queries, batch []dbgen.UnpublishedEventsRow) error {
	seqs := make([]int64, len(batch))
	for i, row := range batch {
		seqs[i] = row.Seq
	}
	if err := queries.MarkPublished(ctx, seqs); err != nil {
		return fmt.Errorf("mark %d events as published: %w", len(seqs), err)
	}
	return nil
}

// unmark takes the marks back from what was not published, and sets aside what
// can never be.
func unmark(ctx context.Context, queries *dbgen.Queries, batch []dbgen.UnpublishedEventsRow, outcomes []error) error {
	var seqs []int64
	for i, err := range outcomes {
		if err == nil {
			continue
		}
		seqs = append(seqs, batch[i].Seq)
		if fault.KindOf(err) == fault.Invalid {
			if err := queries.BlockEvent(ctx, dbgen.BlockEventParams{Seq: batch[i].Seq, Pause: blockPause, Error: err.Error()}); err != nil {
				return fmt.Errorf("block event %s: %w", batch[i].ID, err)
			}
		}
	}
	if err := queries.MarkUnpublished(ctx, seqs); err != nil {
		return fmt.Errorf("mark %d events as unpublished: %w", len(seqs), err)
	}
	return nil
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
