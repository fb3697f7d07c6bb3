package postgres_test

import (
	"testing"
	"time"

	"github.com/winaity/billing/internal/infra/postgres"
)

func TestRetentionDeletesOldRowsInChunksAndNothingUnpublished(t *testing.T) {
	b := setup(t)
	for _, statement := range []string{
		`INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, created_at, published_at)
		 SELECT 'evt_' || n, 'Thing', 'thing_1', 'things.thing.done', '{}', now() - interval '9 days',
		        CASE WHEN n <= 5 THEN now() - interval '8 days' WHEN n <= 7 THEN now() END
		 FROM generate_series(1, 10) AS n`,
		`INSERT INTO inbox SELECT 'handler', n::text, now() - n * interval '1 day' FROM generate_series(1, 10) AS n`,
		`INSERT INTO idempotency_keys SELECT n::text, '', 200, '{}', '', now() - n * interval '1 hour' FROM generate_series(1, 30) AS n`,
	} {
		_, err := b.pool.Exec(t.Context(), statement)
		must(t, err)
	}
	r := postgres.NewRetention(b.pool)
	week := 7 * 24 * time.Hour
	for _, want := range []int64{3, 2, 0} {
		if n, err := r.PurgeOutbox(t.Context(), week, 3); err != nil || n != want {
			t.Errorf("deleted %d events, %v; want %d", n, err, want)
		}
	}
	if waiting, kept := b.count(t, "outbox WHERE published_at IS NULL"), b.count(t, "outbox"); waiting != 3 || kept != 5 {
		t.Errorf("%d events wait and %d are kept, want 3 and 5", waiting, kept)
	}
	if n, err := r.PurgeInbox(t.Context(), week, 100); err != nil || n != 4 {
		t.Errorf("deleted %d inbox rows, %v; want 4", n, err)
	}
	if n, err := r.PurgeAnswers(t.Context(), 24*time.Hour, 100); err != nil || n != 7 {
		t.Errorf("deleted %d answers, %v; want 7", n, err)
	}
}
