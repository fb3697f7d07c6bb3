package postgres

import (
	"context"
	"time"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Retention deletes what is no longer needed, a bounded number of rows at a
// time.
type Retention struct{ db *DB }

// NewRetention returns the retention of the database.
func NewRetention(db *DB) *Retention { return &Retention{db} }

// PurgeOutbox deletes events that were published longer ago than age.
func (r *Retention) PurgeOutbox(ctx context.Context, age time.Duration, limit int) (int64, error) {
	return ask(ctx, r.db, "purge outbox", func(q *dbgen.Queries) (int64, error) {
		return q.PurgeOutbox(ctx, dbgen.PurgeOutboxParams{Retention: age, MaxRows: int64(limit)})
	})
}

// PurgeInbox deletes the memory of messages that were received longer ago than
// age.
func (r *Retention) PurgeInbox(ctx context.Context, age time.Duration, limit int) (int64, error) {
	return ask(ctx, r.db, "purge inbox", func(q *dbgen.Queries) (int64, error) {
		return q.PurgeInbox(ctx, dbgen.PurgeInboxParams{Retention: age, MaxRows: int64(limit)})
	})
}

// PurgeAnswers deletes answers to keyed commands that were given longer ago
// than age.
func (r *Retention) PurgeAnswers(ctx context.Context, age time.Duration, limit int) (int64, error) {
	return ask(ctx, r.db, "purge idempotency keys", func(q *dbgen.Queries) (int64, error) {
		return q.PurgeAnswers(ctx, dbgen.PurgeAnswersParams{Retention: age, MaxRows: int64(limit)})
	})
}
