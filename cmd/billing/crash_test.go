package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"

	"github.com/winaity/billing/internal/infra/postgres"
)

// Each test here kills an instance, a process of its own, at one exact step, and
// then starts a healthy one.

// quickly makes what a dead instance had in hand come again soon.
var quickly = map[string]string{"BILLING_CONSUMER_ACK_WAIT": "500ms"}

// Invariant 1: a command that dies before its commit has written nothing, and
// (invariant 4) its number is taken by the next one.
func TestCrashBeforeTheCommit(t *testing.T) {
	s := newStack(t)
	c := s.serveIn(diesBeforeCommit, nil)
	if a, err := c.try(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key"); err == nil {
		t.Errorf("got the answer %s", a.Status)
	}
	c.awaitDeath()
	s.eventually("Postgres has noticed", func() bool {
		return s.count("pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'") == 0
	})
	for _, table := range []string{"invoices", "outbox", "number_series", "idempotency_keys"} {
		if n := s.count(table); n != 0 {
			t.Errorf("%d rows in %s", n, table)
		}
	}
	i := s.serve(nil)
	a := i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key")
	if number := a.invoice().InvoiceNumber; !strings.HasSuffix(number, "-0001") {
		t.Errorf("the first invoice has the number %s", number)
	}
	s.prove()
}

// Invariant 5: a command that dies between its commit and its answer is answered
// when it is sent again, and has one effect.
func TestCrashAfterTheCommitBeforeTheAnswer(t *testing.T) {
	s := newStack(t)
	c := s.serveIn(diesAfterCommit, nil)
	if a, err := c.try(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key"); err == nil {
		t.Errorf("got the answer %s", a.Status)
	}
	c.awaitDeath()
	i := s.serve(nil)
	a := i.call(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key")
	if a.StatusCode != http.StatusCreated || a.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("sent again: %s %v\n%s", a.Status, a.Header, a.body)
	}
	if n := s.count("invoices"); n != 1 {
		t.Errorf("%d invoices for one key", n)
	}
	s.prove()
}

// Invariants 4 and 5, of several commands that share a commit: whoever was not
// answered when the process died learns the truth by its key.
func TestCrashBetweenTheCommitOfAGroupAndItsFirstAnswer(t *testing.T) {
	s := newStack(t)
	c := s.serveIn(diesAfterCommit, nil)
	const members = 16
	var all sync.WaitGroup
	for n := range members {
		all.Go(func() {
			if a, err := c.try(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", fmt.Sprint("key-", n)); err == nil {
				t.Errorf("got the answer %s", a.Status)
			}
		})
	}
	all.Wait()
	c.awaitDeath()
	s.eventually("Postgres has noticed", func() bool {
		return s.count("pg_stat_activity WHERE datname = current_database() AND state LIKE 'idle in%'") == 0
	})
	committed := s.count("idempotency_keys")
	if committed == 0 {
		t.Error("it died too early")
	}
	i := s.serve(nil)
	replayed := 0
	for n := range members {
		a := i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", fmt.Sprint("key-", n))
		if a.Header.Get("Idempotent-Replayed") == "true" {
			replayed++
		}
	}
	if replayed != committed || s.count("invoices") != members {
		t.Errorf("%d were committed, %d replayed; %d invoices for %d keys", committed, replayed, s.count("invoices"), members)
	}
	s.prove()
}

// Invariant 2: what was committed and not published when the process died is
// published, once.
func TestCrashBeforeThePublication(t *testing.T) {
	s := newStack(t)
	s.pileUp(3)
	s.start(diesBeforePublish, quickly).awaitDeath()
	if n := len(s.events()); n != 0 {
		t.Fatalf("it died too late: %d events are in the stream", n)
	}
	s.serve(quickly)
	if n := s.prove(); n != 0 {
		t.Errorf("%d events are in the stream more than once", n)
	}
}

// Invariant 2: what was published and not marked when the process died is
// published again under the same id, which the stream recognises: in waves, in
// one atomic batch, and in a batch of which the stream has the beginning.
func TestCrashBetweenPublicationAndMark(t *testing.T) {
	for name, invoices := range map[string]int{"in waves": 3, "in an atomic batch": 40} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.pileUp(invoices)
			s.start(diesAfterPublish, quickly).awaitDeath()
			published := len(s.events())
			if waiting := s.count("outbox WHERE published_at IS NULL"); published == 0 || waiting != 2*invoices {
				t.Fatalf("it died at the wrong moment: %d events are in the stream, %d are not marked", published, waiting)
			}
			s.pileUp(invoices)
			s.serve(quickly)
			if n := s.prove(); n != 0 {
				t.Errorf("%d events are in the stream more than once", n)
			}
		})
	}
}

// Invariant 3: an effect that was committed but not acknowledged when the
// process died does not happen again; Redis knows nothing of it.
func TestCrashBetweenEffectAndAcknowledgement(t *testing.T) {
	s := newStack(t)
	ids := s.pileUp(1)
	s.start(diesAfterEffect, quickly).awaitDeath()
	if n := s.count("documents"); n != 1 {
		t.Fatalf("it died at the wrong moment: %d receipts", n)
	}
	i := s.serve(quickly)
	s.eventually("the event came again", func() bool { return strings.Contains(i.log.String(), `"outcome":"duplicate"`) })
	i.awaitReceipt(ids[0])
	s.prove()
}

// A migration whose process is killed leaves nothing half-done, and the next one
// is not locked out.
func TestCrashInAMigration(t *testing.T) {
	s := newStack(t)
	reader, err := s.pool.Begin(t.Context())
	s.must(err)
	defer reader.Rollback(t.Context()) //nolint:errcheck // it is rolled back below; this is for a test that fails before
	_, err = reader.Exec(t.Context(), "LOCK TABLE outbox IN ACCESS SHARE MODE")
	s.must(err)
	c := s.start(migratesWithoutHaste, nil)
	s.eventually("the migration is in the middle of its work", func() bool {
		return s.count("pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock' AND query LIKE 'ALTER TABLE outbox%'") == 1
	})
	s.must(c.process.Kill())
	s.must(reader.Rollback(t.Context()))
	applied, err := postgres.Migrate(t.Context(), must(postgres.ParseURL(s.database)), withBlockedMigration())
	if err != nil || len(applied) != 1 {
		t.Errorf("the next migration applied %v: %v", applied, err)
	}
}
