package postgres_test

import (
	"context"
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
	r := postgres.NewRetention(b.db)
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

// A purge reads little more than what it may delete, through an index, however
// large the table is and also if there is nothing to delete; and it waits for no
// writer.
func TestPurgeReadsNoMoreThanAChunk(t *testing.T) {
	const chunk = 1000
	b := setup(t)
	for _, statement := range []string{
		`INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, created_at, published_at)
		 SELECT n::text, 'Thing', 'thing_1', 'things.thing.done', '{}', now(), now() - interval '10 days' + n * interval '8 s' FROM generate_series(1, 100000) AS n`,
		`INSERT INTO inbox SELECT 'handler', n::text, now() - interval '10 days' + n * interval '8 s' FROM generate_series(1, 100000) AS n`,
		`INSERT INTO idempotency_keys SELECT n::text, '', 200, '{}', '', now() - interval '10 days' + n * interval '8 s' FROM generate_series(1, 100000) AS n`,
		`ANALYZE outbox, inbox, idempotency_keys`,
	} {
		_, err := b.pool.Exec(t.Context(), statement)
		must(t, err)
	}
	writer, err := b.pool.Begin(t.Context())
	must(t, err)
	defer writer.Rollback(t.Context()) //nolint:errcheck // nothing was changed
	_, err = writer.Exec(t.Context(), `
		LOCK TABLE outbox, inbox, idempotency_keys IN ROW EXCLUSIVE MODE;
		SELECT FROM outbox WHERE seq > 90000 FOR UPDATE;
		SELECT FROM inbox WHERE received_at > now() - interval '1 day' FOR UPDATE;
		SELECT FROM idempotency_keys WHERE created_at > now() - interval '1 day' FOR UPDATE`)
	must(t, err)

	db, read := b.reading(t)
	r := postgres.NewRetention(db)
	for table, purge := range map[string]func(context.Context, time.Duration, int) (int64, error){
		"outbox": r.PurgeOutbox, "inbox": r.PurgeInbox, "idempotency_keys": r.PurgeAnswers,
	} {
		for age, want := range map[time.Duration]int64{7 * 24 * time.Hour: chunk, 30 * 24 * time.Hour: 0} {
			before := read(table)
			if n, err := purge(t.Context(), age, chunk); err != nil || n != want {
				t.Errorf("%s: purged %d rows older than %s, %v; want %d", table, n, age, err, want)
			}
			if n := read(table) - before; n > 5*chunk {
				t.Errorf("%s: read %d rows to purge %d", table, n, want)
			}
		}
	}
}

// reading returns the database with one connection, and what tells how many rows
// of a table that has read.
func (b *bench) reading(t *testing.T) (db *postgres.DB, read func(table string) int64) {
	t.Helper()
	_, db = open(t, b.url+"&pool_max_conns=1")
	pool := postgres.Pool(db)
	return db, func(table string) (rows int64) {
		_, err := pool.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
		must(t, err)
		must(t, pool.QueryRow(t.Context(), "SELECT seq_tup_read + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = $1", table).Scan(&rows))
		return rows
	}
}
