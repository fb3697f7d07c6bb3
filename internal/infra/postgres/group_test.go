package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/infra/postgres"
)

// issueFor issues an invoice to a customer.
func issueFor(tx invoicing.Tx, customer string) (invoicing.View, error) {
	return invoicing.Issue{CustomerID: invoice.CustomerID(customer), Total: money.New(100, "EUR")}.Do(tx, time.Now())
}

// together runs works side by side, as members of one group: the group before them
// waits for a number, which somebody else has, until they have come. It returns
// what became of them, in order.
func (b *bench) together(t *testing.T, works ...func(invoicing.Tx) error) []error {
	t.Helper()
	if b.count(t, "number_series WHERE series = 'INV'") == 0 {
		_, err := b.issue(t.Context())
		must(t, err)
	}
	holder, err := b.pool.Begin(t.Context())
	must(t, err)
	defer func() { _ = holder.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = holder.Exec(t.Context(), "SELECT * FROM number_series FOR UPDATE")
	must(t, err)

	errs := make([]error, len(works))
	var all sync.WaitGroup
	all.Go(func() {
		if _, err := b.issue(t.Context()); err != nil {
			t.Errorf("the one before them: %v", err)
		}
	})
	b.eventually(t, "the group before them waits", func() bool {
		return b.count(t, "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
	})
	for i, work := range works {
		all.Go(func() { errs[i] = b.store.Atomically(t.Context(), work) })
	}
	b.eventually(t, "they have come", func() bool { return b.store.Waiting() == len(works) })
	must(t, holder.Rollback(t.Context()))
	all.Wait()
	return errs
}

func (b *bench) eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	again := time.NewTicker(time.Millisecond)
	defer again.Stop()
	for deadline := time.Now().Add(20 * time.Second); !holds(); <-again.C {
		if time.Now().After(deadline) {
			t.Fatalf("waited too long until %s", what)
		}
	}
}

// checkNumbers checks that the numbers of all invoices follow each other, and that
// the dates of issue do so as well.
func (b *bench) checkNumbers(t *testing.T, invoices int) {
	t.Helper()
	if n := b.count(t, "invoices"); n != invoices {
		t.Errorf("%d invoices, want %d", n, invoices)
	}
	if n := b.count(t, `(SELECT right(number, 4)::int AS ordinal, row_number() OVER (ORDER BY issued_at) AS rank FROM invoices) AS i
		WHERE ordinal <> rank`); n != 0 {
		t.Errorf("%d numbers are not in order", n)
	}
	if n := b.count(t, "outbox WHERE type = 'billing.invoice.issued'"); n != invoices {
		t.Errorf("%d events, want %d", n, invoices)
	}
}

// Invariant 4, in one transaction: members that are refused have no number, and
// leave nothing behind.
func TestGroupSharesATransaction(t *testing.T) {
	b := setup(t)
	const members = 20
	var works []func(invoicing.Tx) error
	for n := range members {
		works = append(works, func(tx invoicing.Tx) error {
			if _, err := issueFor(tx, fmt.Sprint("customer_", n)); err != nil {
				return err
			}
			if n%4 == 0 {
				return errChangedMind
			}
			return nil
		})
	}
	for n, err := range b.together(t, works...) {
		if refused := errors.Is(err, errChangedMind); refused != (n%4 == 0) || err != nil && !refused {
			t.Errorf("member %d: %v", n, err)
		}
	}
	b.checkNumbers(t, 2+members*3/4)
	if n := b.count(t, "(SELECT DISTINCT xmin::text FROM invoices WHERE customer_id LIKE 'customer_%') AS t"); n != 1 {
		t.Errorf("they took %d transactions", n)
	}
	if n := b.count(t, "invoices WHERE customer_id IN ('customer_0', 'customer_4', 'customer_8', 'customer_12', 'customer_16')"); n != 0 {
		t.Errorf("%d members that were refused have an invoice", n)
	}
}

// A value that the database cannot hold is its member's fault alone.
func TestGroupIsDoneWithoutTheOneThatTheDatabaseRefuses(t *testing.T) {
	b := setup(t)
	const members, bad = 12, 7
	var works []func(invoicing.Tx) error
	for n := range members {
		customer := fmt.Sprint("customer_", n)
		if n == bad {
			customer = "nul\x00"
		}
		works = append(works, func(tx invoicing.Tx) error {
			_, err := issueFor(tx, customer)
			return err
		})
	}
	for n, err := range b.together(t, works...) {
		if (err != nil) != (n == bad) || n == bad && fault.KindOf(err) != fault.Invalid {
			t.Errorf("member %d: %v", n, err)
		}
	}
	b.checkNumbers(t, 2+members-1)
}

// The order of an invoice's events is that of their commits, also within a group:
// each member sees what those before it have done.
func TestMembersSeeEachOthersChanges(t *testing.T) {
	b := setup(t)
	issued, err := b.issue(t.Context())
	must(t, err)
	id := issued.Snapshot().ID
	do := func(c invoicing.Command) func(invoicing.Tx) error {
		return func(tx invoicing.Tx) error {
			_, err := c.Do(tx, time.Now())
			return err
		}
	}
	errs := b.together(t,
		do(invoicing.Pay{InvoiceID: id, Reference: "one"}),
		do(invoicing.Pay{InvoiceID: id, Reference: "one"}),
		do(invoicing.Pay{InvoiceID: id, Reference: "two"}),
		do(invoicing.Cancel{InvoiceID: id}),
	)
	done := 0
	for _, err := range errs {
		switch {
		case err == nil:
			done++
		case fault.KindOf(err) != fault.Conflict:
			t.Error(err)
		}
	}
	if events := b.count(t, "outbox WHERE aggregate_id = '"+id+"'"); done == 0 || done == len(errs) || events != 2 {
		t.Errorf("%d of %d members were done, %d events: %v", done, len(errs), events, errs)
	}
	if n := b.count(t, "invoices WHERE id = '"+id+"' AND version = 2"); n != 1 {
		t.Error("the invoice has another version than its events")
	}
}

// Who waits for a lock that somebody else holds waits by itself.
func TestMemberThatWaitsHoldsUpNobody(t *testing.T) {
	b := setup(t)
	issued, err := b.issue(t.Context())
	must(t, err)
	id := issued.Snapshot().ID
	holder, err := b.pool.Begin(t.Context())
	must(t, err)
	defer func() { _ = holder.Rollback(context.WithoutCancel(t.Context())) }()
	_, err = holder.Exec(t.Context(), "SELECT * FROM invoices WHERE id = $1 FOR UPDATE", id)
	must(t, err)

	waiting := make(chan error, 1)
	go func() {
		waiting <- b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
			_, err := invoicing.Pay{InvoiceID: id}.Do(tx, time.Now())
			return err
		})
	}()
	b.eventually(t, "the payment waits", func() bool {
		return b.count(t, "pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'") > 0
	})
	for range 10 {
		_, err := b.issue(t.Context())
		must(t, err)
	}
	select {
	case err := <-waiting:
		t.Errorf("the payment did not wait: %v", err)
	default:
	}
	must(t, holder.Rollback(t.Context()))
	must(t, <-waiting)
}

// A member whose time is over before the commit leaves nothing behind, and the
// others are done without it.
func TestMemberThatGivesUpLeavesTheGroup(t *testing.T) {
	b := setup(t)
	ctx, cancel := context.WithCancel(t.Context())
	gaveUp := make(chan error, 1)
	errs := b.together(t, func(tx invoicing.Tx) error {
		if ctx.Err() == nil { // in the first run of its group
			go func() {
				gaveUp <- b.store.Atomically(ctx, func(tx invoicing.Tx) error {
					_, err := issueFor(tx, "gone")
					return err
				})
			}()
			cancel()
		}
		_, err := issueFor(tx, "stays")
		return err
	})
	must(t, errors.Join(errs...))
	if err := <-gaveUp; !errors.Is(err, context.Canceled) {
		t.Errorf("the one that gave up: %v", err)
	}
	b.checkNumbers(t, 3)
}

// What becomes of a commit whose connection is lost is not known: that is what
// each member is told. One that was lost before is done again, unnoticed.
func TestConnectionThatIsLost(t *testing.T) {
	for name, test := range map[string]struct {
		trigger string
		known   bool
	}{
		"in the commit":     {"CREATE CONSTRAINT TRIGGER cut AFTER INSERT ON invoices DEFERRABLE INITIALLY DEFERRED FOR EACH ROW EXECUTE FUNCTION cut()", false},
		"before the commit": {"CREATE TRIGGER cut AFTER INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION cut()", true},
	} {
		t.Run(name, func(t *testing.T) {
			b := setup(t)
			_, err := b.issue(t.Context())
			must(t, err)
			_, err = b.pool.Exec(t.Context(), `CREATE SEQUENCE cuts; CREATE FUNCTION cut() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF NEW.customer_id LIKE 'cut%' AND nextval('cuts') = 1 THEN PERFORM pg_terminate_backend(pg_backend_pid()); END IF;
				RETURN NULL; END $$; `+test.trigger)
			must(t, err)
			var works []func(invoicing.Tx) error
			for n := range 5 {
				works = append(works, func(tx invoicing.Tx) error {
					_, err := issueFor(tx, fmt.Sprint("cut_", n))
					return err
				})
			}
			for n, err := range b.together(t, works...) {
				if test.known && err != nil || !test.known && fault.KindOf(err) != fault.Unavailable {
					t.Errorf("member %d: %v", n, err)
				}
			}
			if want := 2 + 5; test.known {
				b.checkNumbers(t, want)
			} else {
				b.checkNumbers(t, 2)
			}
		})
	}
}

// Instances that do everything at once neither block each other for good nor let
// anybody notice.
func TestGroupsOfSeveralInstances(t *testing.T) {
	b := setup(t)
	shared, err := b.issue(t.Context())
	must(t, err)
	const instances, clients, rounds = 3, 8, 10
	var all sync.WaitGroup
	for range instances {
		_, db := open(t, b.url)
		o := b.options()
		o.DB, o.Alone = db, db.Share(25)
		store := postgres.NewStore(o)
		for range clients {
			all.Go(func() {
				for range rounds {
					var id string
					err := store.Atomically(t.Context(), func(tx invoicing.Tx) error {
						view, err := issueFor(tx, "cust_42")
						id = view.ID
						return err
					})
					for _, c := range []invoicing.Command{invoicing.Pay{InvoiceID: id}, invoicing.Pay{InvoiceID: shared.Snapshot().ID}} {
						err = errors.Join(err, store.Atomically(t.Context(), func(tx invoicing.Tx) error {
							_, err := c.Do(tx, time.Now())
							return err
						}))
					}
					if err != nil {
						t.Error(err)
					}
				}
			})
		}
	}
	all.Wait()
	b.checkNumbers(t, 1+instances*clients*rounds)
	if n := b.count(t, "outbox WHERE type = 'billing.invoice.paid'"); n != 1+instances*clients*rounds {
		t.Errorf("%d payments", n)
	}
	if n := b.count(t, `outbox AS a JOIN outbox AS b USING (aggregate_id)
		WHERE a.seq < b.seq AND (a.payload->>'version')::int >= (b.payload->>'version')::int`); n != 0 {
		t.Errorf("%d events overtook another of their aggregate", n)
	}
}
