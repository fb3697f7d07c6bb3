package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Retention deletes what is no longer needed, a bounded number of rows at a
// time.
type Retention struct{ queries *dbgen.Queries }

// NewRetention returns the retention of the pool's database.
func NewRetention(pool *pgxpool.Pool) *Retention { return &Retention{dbgen.New(pool)} }

// PurgeOutbox deletes events that were published longer ago than age.
func (r *Retention) PurgeOutbox(ctx context.Context, age time.Duration, limit int) (int64, error) {
	n, err := r.queries.PurgeOutbox(ctx, dbgen.PurgeOutboxParams{Retention: age, MaxRows: int32(limit)}) //nolint:gosec // a chunk
	if err != nil {
		return 0, fmt.Errorf("purge outbox: %w", classify(err))
	}
	return n, nil
}

// PurgeInbox deletes the memory of messages that were received longer ago than
// age.
func (r *Retention) PurgeInbox(ctx context.Context, age time.Duration, limit int) (int64, error) {
	n, err := r.queries.PurgeInbox(ctx, dbgen.PurgeInboxParams{Retention: age, MaxRows: int32(limit)}) //nolint:gosec // a chunk
	if err != nil {
		return 0, fmt.Errorf("purge inbox: %w", classify(err))
	}
	return n, nil
}

// PurgeAnswers deletes answers to keyed commands that were given longer ago
// than age.
func (r *Retention) PurgeAnswers(ctx context.Context, age time.Duration, limit int) (int64, error) {
	n, err := r.queries.PurgeAnswers(ctx, dbgen.PurgeAnswersParams{Retention: age, MaxRows: int32(limit)}) //nolint:gosec // a chunk
	if err != nil {
		return 0, fmt.Errorf("purge idempotency keys: %w", classify(err))
	}
	return n, nil
}
