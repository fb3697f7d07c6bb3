package main

import (
	"strings"
	"testing"

	"github.com/winaity/billing/internal/devstack"
)

// inPlace saves and restores all tables of a database without another database.
const (
	saveInPlace = `CREATE SCHEMA saved;
		CREATE TABLE saved.invoices AS TABLE invoices;
		CREATE TABLE saved.number_series AS TABLE number_series;
		CREATE TABLE saved.outbox AS TABLE outbox`
	restoreInPlace = `TRUNCATE invoices, documents, number_series, outbox, inbox, idempotency_keys;
		INSERT INTO invoices SELECT * FROM saved.invoices;
		INSERT INTO number_series SELECT * FROM saved.number_series;
		INSERT INTO outbox OVERRIDING SYSTEM VALUE SELECT * FROM saved.outbox`
)

// restorable is a database that can be put back to what it was.
type restorable struct {
	*stack
	server *devstack.Postgres
}

func newRestorable(t *testing.T) restorable {
	t.Helper()
	server := devstack.PostgresForTest(t)
	r := restorable{server: server}
	for _, err := range []error{server.CreateDatabase(t.Context(), "billing", ""), migrateForTest(t.Context(), server.URL("billing"))} {
		if err != nil {
			t.Fatal(err)
		}
	}
	r.stack = newStackOn(t, server.URL("billing"), devstack.RedisForTest(t))
	return r
}

// copyTo copies the database, which nothing may use meanwhile.
func (r restorable) copyTo(name string) {
	r.Helper()
	r.pool.Reset()
	r.must(r.server.CreateDatabase(r.Context(), name, "billing"))
}

// restore puts the copy in the place of the database and cuts its connections.
func (r restorable) restore(name string) {
	r.Helper()
	r.must(r.server.DropDatabase(r.Context(), "billing"))
	r.must(r.server.CreateDatabase(r.Context(), "billing", name))
	r.pool.Reset()
}

// Invariant 3: what Redis remembers of a database that was restored since is not
// true of it any more: an effect that is gone is not taken for done.
func TestRedisDoesNotOverruleARestoredDatabase(t *testing.T) {
	for name, test := range map[string]struct {
		save    func(restorable)
		restore func(restorable, *instance)
	}{
		"while the service was stopped": {
			func(r restorable) { r.copyTo("saved") },
			func(r restorable, i *instance) {
				i.stop()
				r.restore("saved")
				r.serve(nil)
			},
		},
		"under a running service": {
			func(r restorable) { r.copyTo("saved") },
			func(r restorable, _ *instance) { r.restore("saved") },
		},
		"in place": {
			func(r restorable) { r.exec(saveInPlace) },
			func(r restorable, _ *instance) { r.exec(restoreInPlace) },
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRestorable(t)
			paidID := r.pileUp(1)[0]
			test.save(r)

			i := r.serve(nil)
			i.awaitReceipt(paidID)
			r.settled()
			paid := r.paidEvent(paidID)

			test.restore(r, i)
			r.publish(paid.Type, "again", paid.raw.Data)
			r.eventually("the receipt that was lost", func() bool { return r.count("documents") == 1 })
		})
	}
}

// Invariant 3, for two deployments on one Redis, of which one is a copy of the other
// with all its ids: neither answers for the other.
func TestRedisDoesNotAnswerForAnotherDatabase(t *testing.T) {
	original := newRestorable(t)
	paidID := original.pileUp(1)[0] // in both, with its events
	original.copyTo("clone")
	clone := newStackOn(t, original.server.URL("clone"), original.redis)
	here, there := original.serve(nil), clone.serve(nil)

	here.awaitReceipt(paidID)
	there.awaitReceipt(paidID)

	if n := len(original.redisClient().Keys(t.Context(), "billing:*").Val()); n == 0 || strings.Contains(here.log.String(), "without its fast path") {
		t.Errorf("proves nothing: the fast path was not used (%d keys)", n)
	}
}
