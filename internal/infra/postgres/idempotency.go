package postgres

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Recall implements idempotency.Tx. The key is held by an advisory lock until
// the transaction ends, so a second request is told at once that the first is
// still running, instead of waiting for it.
func (t *tx) Recall(ctx context.Context, r idempotency.Request) (*idempotency.Answer, error) {
	locked, err := t.queries.LockIdempotencyKey(ctx, r.Key)
	if err != nil {
		return nil, fmt.Errorf("lock idempotency key: %w", err)
	}
	if !locked {
		return nil, idempotency.ErrInFlight
	}
	row, err := t.queries.RecallAnswer(ctx, r.Key)
	switch {
	case errors.Is(err, pgx.ErrNoRows):
		return nil, nil
	case err != nil:
		return nil, fmt.Errorf("recall answer: %w", err)
	case row.Fingerprint != r.Fingerprint:
		return nil, idempotency.ErrReused
	}
	answer := idempotency.Answer{Status: int(row.Status), Body: row.Body}
	if err := json.Unmarshal([]byte(row.Header), &answer.Header); err != nil {
		return nil, fmt.Errorf("decode header of kept answer: %w", err)
	}
	return &answer, nil
}

// Keep implements idempotency.Tx.
func (t *tx) Keep(ctx context.Context, r idempotency.Request, a idempotency.Answer) error {
	header, err := json.Marshal(a.Header)
	if err != nil {
		return fmt.Errorf("encode header of answer: %w", err)
	}
	err = t.queries.KeepAnswer(ctx, dbgen.KeepAnswerParams{
		Key:         r.Key,
		Fingerprint: r.Fingerprint,
		Status:      int32(a.Status), //nolint:gosec // an HTTP status
		Header:      string(header),
		Body:        a.Body,
	})
	if err != nil {
		return fmt.Errorf("keep answer: %w", err)
	}
	return nil
}
