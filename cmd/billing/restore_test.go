package main

import (
	"net/http"
	"strings"
	"sync"
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

// Invariants 3 and 5: what Redis remembers of a database that was restored since is
// not true of it any more. An answer is not replayed whose invoice is gone, nor is an
// effect taken for done.
func TestRedisDoesNotOverruleARestoredDatabase(t *testing.T) {
	for name, test := range map[string]struct {
		save    func(restorable)
		restore func(restorable, *instance) *instance
	}{
		"while the service was stopped": {
			func(r restorable) { r.copyTo("saved") },
			func(r restorable, i *instance) *instance {
				i.stop()
				r.restore("saved")
				return r.serve(nil)
			},
		},
		"under a running service": {
			func(r restorable) { r.copyTo("saved") },
			func(r restorable, i *instance) *instance {
				r.restore("saved")
				return i
			},
		},
		"in place": {
			func(r restorable) { r.exec(saveInPlace) },
			func(r restorable, i *instance) *instance {
				r.exec(restoreInPlace)
				return i
			},
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRestorable(t)
			paidID := r.pileUp(1)[0]
			test.save(r)

			i := r.serve(nil)
			i.awaitReceipt(paidID)
			keyed := func() (a answer) { // not at once: the restore cuts connections
				r.eventually("the command is answered", func() bool {
					a = i.call(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key")
					return a.StatusCode == http.StatusCreated
				})
				return a
			}
			lost := keyed()
			if replayed := keyed(); string(replayed.body) != string(lost.body) {
				t.Fatalf("no replay to begin with: %s", replayed.body)
			}
			r.settled()
			paid := r.paidEvent(paidID)

			i = test.restore(r, i)
			first := keyed()
			if id := first.invoice().ID; first.Header.Get("Idempotent-Replayed") != "" || r.count("invoices WHERE id = $1", id) != 1 {
				t.Errorf("the answer is of invoice %s, which does not exist: %v", id, first.Header)
			}
			if again := keyed(); string(again.body) != string(first.body) {
				t.Errorf("the retry got another answer:\n%s\n%s", first.body, again.body)
			}
			r.publish(paid.Type, "again", paid.raw.Data)
			r.eventually("the receipt that was lost", func() bool { return r.count("documents") == 1 })
		})
	}
}

// Invariants 3 and 5, for two deployments on one Redis, of which one is a copy of
// the other with all its ids: neither answers for the other.
func TestRedisDoesNotAnswerForAnotherDatabase(t *testing.T) {
	original := newRestorable(t)
	paidID := original.pileUp(1)[0] // in both, with its events
	original.copyTo("clone")
	clone := newStackOn(t, original.server.URL("clone"), original.redis)
	here, there := original.serve(nil), clone.serve(nil)

	here.awaitReceipt(paidID)
	there.awaitReceipt(paidID)

	keyed := func(i *instance, key string) answer {
		return i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", key)
	}
	firstHere, firstThere := keyed(here, "a-key"), keyed(there, "a-key")
	for _, first := range []struct {
		*instance
		answer
	}{{here, firstHere}, {there, firstThere}} {
		if first.Header.Get("Idempotent-Replayed") != "" {
			t.Errorf("the other's answer: %s", first.body)
		}
		first.get(first.invoice().ID)
		for range 2 {
			again := keyed(first.instance, "a-key")
			if string(again.body) != string(first.body) || again.Header.Get("Idempotent-Replayed") != "true" {
				t.Errorf("the retry got another answer:\n%s\n%s\n%v", first.body, again.body, again.Header)
			}
		}
	}

	entered, leave := make(chan struct{}), make(chan struct{})
	release := sync.OnceFunc(func() { close(leave) })
	defer release()
	slow := original.serveWrapped(nil, func(p *ports) {
		p.commands = hookedStore{Store: p.commands, written: func() {
			close(entered)
			<-leave
		}}
	})
	answered := make(chan answer, 1)
	go func() {
		a, err := slow.try(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "in-flight")
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	select {
	case <-entered:
	case a := <-answered:
		t.Fatalf("it is not in flight: %s", a.body)
	}
	if a := here.call(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "in-flight"); a.StatusCode != http.StatusConflict {
		t.Errorf("it is not in flight: %s", a.Status)
	}
	inTheClone := keyed(there, "in-flight")
	release()
	if a := <-answered; a.Response != nil && (a.StatusCode != http.StatusCreated || string(a.body) == string(inTheClone.body)) {
		t.Errorf("in flight meanwhile: %s %s", a.Status, a.body)
	}

	if n := len(original.redisClient().Keys(t.Context(), "billing:*").Val()); n == 0 || strings.Contains(here.log.String(), "without its fast path") {
		t.Errorf("proves nothing: the fast path was not used (%d keys)", n)
	}
}
