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

	"github.com/winaity/billing/internal/app/messaging"
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
type Outbox struct {
	db    *DB
	mu    sync.Mutex // for what one transaction at a time uses
	floor floor
}

// NewOutbox returns the outbox in the database.
func NewOutbox(db *DB) *Outbox { return &Outbox{db: db} }

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
	err := o.db.runTx(ctx, func(tx pgx.Tx) error {
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
		o.mu.Lock()
		defer o.mu.Unlock()
		if n, err = o.drain(ctx, queries, limit, publish); err != nil {
			return err
		}
		return o.floor.settle(ctx, queries)
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
func (o *Outbox) drain(ctx context.Context, queries *dbgen.Queries, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	start, size, n := time.Now(), limit, 0
	rows, err := o.floor.look(ctx, queries, limit)
	for err == nil && len(rows) > 0 {
		batch := rows
		n += len(batch)
		var outcomes []error
		var publishing sync.WaitGroup
		publishing.Go(func() { outcomes = publish(ctx, messages(batch)) })
		rows = nil
		if err = mark(ctx, queries, batch); err == nil && len(batch) == size && time.Since(start) < maxHold {
			size = max(limit, min(2*limit, messaging.MaxBatch)) // each batch has a price of its own
			rows, err = o.floor.lookAgain(ctx, queries, size)
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
			Payload:       []byte(row.Payload),
			Traceparent:   value(row.Traceparent),
			RecordedAt:    row.CreatedAt,
		}
	}
	return batch
}

func value[T any](p *T) T {
	if p == nil {
		var zero T
		return zero
	}
	return *p
}
