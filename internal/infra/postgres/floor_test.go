package postgres

import (
	"context"
	"fmt"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
	"github.com/winaity/billing/sql"
)

func newFloorBench(t *testing.T) *DB {
	t.Helper()
	return openMigrated(t, devstack.DatabaseForTest(t, nil))
}

func openMigrated(t *testing.T, url string) *DB {
	t.Helper()
	config, err := ParseURL(url)
	check(t, err)
	_, err = Migrate(t.Context(), config, sql.Migrations())
	check(t, err)
	db, err := Open(t.Context(), config)
	check(t, err)
	t.Cleanup(db.Close)
	return db
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

const insertEvent = `INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload) VALUES ($1, 'Thing', $1, 'things.thing.done', '{}')`

// Whatever the order in which events get their seq and are committed, or taken
// back, no look misses one: here no look at the whole outbox makes up for it.
func TestFloorPassesNothingThatMayStillBeCommitted(t *testing.T) {
	db := newFloorBench(t)
	for seed := range uint64(20) {
		random := rand.New(rand.NewPCG(seed, 0))
		f := floor{nextFull: time.Now().Add(time.Hour)}
		var open []pgx.Tx
		committed, published := 0, 0
		for n := range 100 {
			switch action := random.IntN(10); {
			case action < 4 && len(open) < 8:
				tx, err := db.pool.Begin(t.Context())
				check(t, err)
				_, err = tx.Exec(t.Context(), insertEvent, fmt.Sprintf("evt_%d_%d", seed, n))
				check(t, err)
				open = append(open, tx)
			case action < 7 && len(open) > 0:
				i := random.IntN(len(open))
				if random.IntN(5) == 0 {
					check(t, open[i].Rollback(t.Context()))
				} else {
					check(t, open[i].Commit(t.Context()))
					committed++
				}
				open = append(open[:i], open[i+1:]...)
			default:
				published += lookAndMark(t, db, &f)
			}
		}
		for _, tx := range open {
			check(t, tx.Commit(t.Context()))
			committed++
		}
		if published += lookAndMark(t, db, &f); published != committed {
			t.Fatalf("seed %d: %d of %d events were seen", seed, published, committed)
		}
	}
}

// lookAndMark is what a batch does, without the time in between.
func lookAndMark(t *testing.T, db *DB, f *floor) (n int) {
	t.Helper()
	check(t, db.inTx(t.Context(), func(queries *dbgen.Queries) error {
		rows, err := f.look(t.Context(), queries, 1000)
		if err != nil {
			return err
		}
		if n = len(rows); n > 0 {
			err = mark(t.Context(), queries, rows)
		}
		f.asked = time.Time{}
		if err == nil {
			err = f.settle(t.Context(), queries)
		}
		return err
	}))
	return n
}

// What is republished is seen by the next look, all of it, and from its beginning.
func TestFloorGoesBackForARepublication(t *testing.T) {
	db := newFloorBench(t)
	f := floor{nextFull: time.Now().Add(time.Hour)}
	const events = 10
	for n := range events {
		_, err := db.pool.Exec(t.Context(), insertEvent, fmt.Sprint("evt_", n))
		check(t, err)
		if got := lookAndMark(t, db, &f); got != 1 {
			t.Fatalf("saw %d events, not 1", got)
		}
	}
	for range 2 {
		n, err := NewOutbox(db).Republish(t.Context(), time.Now().Add(-time.Hour), time.Now().Add(time.Hour))
		check(t, err)
		if got := lookAndMark(t, db, &f); n != events || got != events {
			t.Errorf("saw %d of %d events that were republished", got, n)
		}
	}
	if got := lookAndMark(t, db, &f); got != 0 {
		t.Errorf("saw %d events again", got)
	}
}

// A blocked event keeps its place, however much is published above it.
func TestFloorDoesNotPassABlockedEvent(t *testing.T) {
	db := newFloorBench(t)
	f := floor{nextFull: time.Now().Add(time.Hour)}
	exec := func(statement string, args ...any) {
		_, err := db.pool.Exec(t.Context(), statement, args...)
		check(t, err)
	}
	exec(insertEvent, "evt_blocked")
	exec("UPDATE outbox SET blocked_until = now() + interval '1 hour', blocked_error = 'too large'")
	for n := range 5 {
		exec(insertEvent, fmt.Sprint("evt_", n))
		if got := lookAndMark(t, db, &f); got != 1 {
			t.Fatalf("saw %d events, not 1", got)
		}
	}
	exec("UPDATE outbox SET blocked_until = now() WHERE id = 'evt_blocked'")
	if got := lookAndMark(t, db, &f); got != 1 {
		t.Errorf("saw %d events once nothing is blocked, not 1", got)
	}
}

// While an old snapshot keeps everything that is dead, a look reads no more than
// what was published lately.
func TestLookReadsLittleWhileASnapshotIsOld(t *testing.T) {
	url := devstack.DatabaseForTest(t, nil)
	db := openMigrated(t, url+"&pool_max_conns=1") // whose session knows what was read
	other, err := pgx.Connect(t.Context(), url)
	check(t, err)
	defer other.Close(context.Background())
	reader, err := other.BeginTx(t.Context(), pgx.TxOptions{IsoLevel: pgx.RepeatableRead})
	check(t, err)
	_, err = reader.Exec(t.Context(), "SELECT FROM outbox")
	check(t, err)
	outbox := NewOutbox(db)
	published := 0
	publish := func() {
		n, err := outbox.PublishBatch(t.Context(), 500, func(_ context.Context, batch []messaging.Message) []error { return make([]error, len(batch)) })
		check(t, err)
		published += n
	}
	_, err = db.pool.Exec(t.Context(), "VACUUM ANALYZE outbox")
	check(t, err)
	publish() // its statements are planned now, for an outbox that is known to be empty
	const backlog = 30_000
	_, err = db.pool.Exec(t.Context(), `INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload)
		SELECT n::text, 'Thing', n::text, 'things.thing.done', '{}' FROM generate_series(1, $1) AS n`, backlog)
	check(t, err)
	for published < backlog {
		publish()
	}
	// One look after another, of which most are above the floor.
	few, last, lastByKey := 0, int64(0), int64(0)
	for deadline := time.Now().Add(30 * time.Second); few < 20; {
		_, err := db.pool.Exec(t.Context(), insertEvent, fmt.Sprint("evt_", published))
		check(t, err)
		publish()
		_, err = db.pool.Exec(t.Context(), "SELECT pg_stat_force_next_flush()")
		check(t, err)
		var read, readByKey int64
		check(t, db.pool.QueryRow(t.Context(), `SELECT sum(idx_tup_read) FILTER (WHERE indexrelname = 'outbox_unpublished'),
			sum(idx_tup_read) FILTER (WHERE indexrelname = 'outbox_pkey') FROM pg_stat_user_indexes`).Scan(&read, &readByKey))
		if lastByKey > 0 && readByKey-lastByKey > 2000 {
			t.Fatalf("%d entries of the primary key were read at once", readByKey-lastByKey)
		}
		lastByKey = readByKey
		if last > 0 && read > last && read-last < 2000 {
			few++
		}
		last = read
		if time.Now().After(deadline) {
			t.Fatal("looks go on reading what is dead")
		}
	}
	var waiting int
	check(t, db.pool.QueryRow(t.Context(), "SELECT count(*) FROM outbox WHERE published_at IS NULL").Scan(&waiting))
	if waiting > 0 {
		t.Errorf("%d events were missed", waiting)
	}
}
