package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/simulation/conformance"
)

var errChangedMind = errors.New("changed my mind")

// Invariant 8: a process that hangs in the middle of a transaction, as when it is
// frozen or its machine has lost the network, holds up the others for a moment, not
// until its connections are found dead.
func TestProcessThatHangsDoesNotHoldUpOthers(t *testing.T) {
	b := setup(t)
	locked, wake, ended := make(chan struct{}), make(chan struct{}), make(chan error)
	hanging := postgres.NewStore(b.options())
	go func() {
		runs := 0
		ended <- hanging.Atomically(t.Context(), func(tx invoicing.Tx) error {
			_, err := issueIn(tx)
			if runs++; runs == 2 { // it has the lock of the series now
				close(locked)
				<-wake
			}
			return err
		})
	}()
	<-locked
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	_, err := b.issue(ctx)
	for fault.KindOf(err) == fault.Unavailable && ctx.Err() == nil {
		_, err = b.issue(ctx) // as clients do
	}
	must(t, err)
	if n := b.count(t, "invoices"); n != 1 {
		t.Errorf("%d invoices", n)
	}
	close(wake)
	if err := <-ended; err != nil && fault.KindOf(err) != fault.Unavailable {
		t.Errorf("the one that hung ended with %v", err)
	}
}

// Invariant 1: an invoice change and its events commit together or not at all.
func TestInvoiceAndEventsCommitTogetherOrNotAtAll(t *testing.T) {
	b := setup(t)
	err := b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
		if _, err := issueIn(tx); err != nil {
			return err
		}
		return errChangedMind
	})
	if !errors.Is(err, errChangedMind) {
		t.Fatalf("got %v", err)
	}
	if invoices, events := b.count(t, "invoices"), b.count(t, "outbox"); invoices != 0 || events != 0 {
		t.Errorf("a transaction that failed left %d invoices and %d events", invoices, events)
	}
	select {
	case <-b.appended:
		t.Error("the relay was woken for nothing")
	default:
	}

	issued, err := b.issue(t.Context())
	must(t, err)
	if n := b.count(t, "outbox WHERE published_at IS NULL AND aggregate_id = '"+issued.Snapshot().ID+"'"); n != 1 {
		t.Errorf("got %d events for one change", n)
	}
	select {
	case <-b.appended:
	default:
		t.Error("the relay was not woken")
	}
}

// Invariant 4: numbers are gapless, unique and chronological, also under
// concurrency and rollback.
func TestNumbersAreGaplessUniqueAndChronological(t *testing.T) {
	b := setup(t)
	const workers, each = 8, 25
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range each {
				err := b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
					if _, err := issueIn(tx); err != nil {
						return err
					}
					if rand.N(4) == 0 {
						return errChangedMind
					}
					return nil
				})
				if err != nil && !errors.Is(err, errChangedMind) {
					t.Error(err)
				}
			}
		})
	}
	wg.Wait()
	rows, err := b.pool.Query(t.Context(), "SELECT number FROM invoices ORDER BY issued_at, id")
	must(t, err)
	defer rows.Close()
	n := 0
	for rows.Next() {
		var number string
		must(t, rows.Scan(&number))
		n++
		if want := fmt.Sprintf("INV-%d-%04d", time.Now().UTC().Year(), n); number != want {
			t.Fatalf("the %d. invoice by date of issue is %s, want %s", n, number, want)
		}
	}
	must(t, rows.Err())
	if n == 0 || n == workers*each {
		t.Errorf("%d of %d transactions were committed: this test needs some of both", n, workers*each)
	}
}

func TestNumbersStartAgainEachYearAndTimeNeverGoesBack(t *testing.T) {
	b := setup(t)
	_, err := b.pool.Exec(t.Context(), "INSERT INTO number_series VALUES ('INV', 41, '2025-12-31T23:59:59Z'), ('RCT', 7, now() + interval '1 minute')")
	must(t, err)
	must(t, b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
		n, err := tx.NextNumber(invoice.Series)
		if err != nil {
			return err
		}
		if n.Ordinal != 1 || n.TakenAt.Year() < 2026 {
			t.Errorf("the first number of a new year is %s", n)
		}
		ahead, err := tx.NextNumber(document.ReceiptSeries)
		if err != nil {
			return err
		}
		// Across a new year this may be the first number of the next one.
		if ahead.Ordinal != 8 && ahead.Ordinal != 1 || ahead.TakenAt.Before(time.Now().Add(30*time.Second)) {
			t.Errorf("after a number of the future came %s at %s", ahead, ahead.TakenAt)
		}
		return nil
	}))
}

func TestInvoiceIsReadAsItWasSaved(t *testing.T) {
	b := setup(t)
	issued, err := b.issue(t.Context())
	must(t, err)
	id := issued.Snapshot().ID
	var paid invoice.Snapshot
	must(t, b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
		i, err := tx.Invoice(id)
		if err != nil {
			return err
		}
		if i.Snapshot() != issued.Snapshot() {
			t.Errorf("saved %+v, read %+v", issued.Snapshot(), i.Snapshot())
		}
		if err := i.Pay("reference", time.Now().UTC().Truncate(time.Microsecond)); err != nil {
			return err
		}
		paid = i.Snapshot()
		return tx.SaveInvoice(i)
	}))
	view, err := b.reader.View(t.Context(), id)
	must(t, err)
	if view.Snapshot != paid {
		t.Errorf("saved %+v, read %+v", paid, view.Snapshot)
	}
	if _, err := b.reader.View(t.Context(), "inv_unknown"); !errors.Is(err, invoicing.ErrInvoiceNotFound) {
		t.Errorf("an unknown id: %v", err)
	}
}

// Invariants 3 to 5, the truth behind them: what the plumbing of a transaction
// promises, whether or not it is shared.
func TestTransactionsKeepWhatTheyPromise(t *testing.T) {
	for name, size := range map[string]groupcommit.Size{"alone": {}, "shared": {Groups: 2, Members: 128}} {
		t.Run(name, func(t *testing.T) {
			conformance.Transactions(t, func(t *testing.T) func() messaging.Store[invoicing.Tx] {
				t.Helper()
				b := setup(t)
				options := b.options()
				options.Groups = size
				return func() messaging.Store[invoicing.Tx] { return postgres.NewStore(options) }
			})
		})
	}
}

func TestDatabaseThatIsAwayIsUnavailableAndComesBack(t *testing.T) {
	b := setup(t)
	_, err := b.issue(t.Context())
	must(t, err)
	// What an administrator's shutdown does to every connection.
	_, err = b.pool.Exec(t.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	must(t, err)
	if _, err := b.issue(t.Context()); err != nil {
		t.Errorf("cut connections were not replaced: %v", err)
	}

	_, away := open(t, "postgres://billing@127.0.0.1:1/billing")
	err = postgres.NewStore(postgres.StoreOptions{DB: away, Alone: away, Appended: b.appended}).Atomically(t.Context(), func(invoicing.Tx) error { return nil })
	if fault.KindOf(err) != fault.Unavailable {
		t.Errorf("nobody listens: got kind %s (%v)", fault.KindOf(err), err)
	}
}

func TestDeadlockIsRetried(t *testing.T) {
	b := setup(t)
	var ids [2]string
	for n := range ids {
		i, err := b.issue(t.Context())
		must(t, err)
		ids[n] = i.Snapshot().ID
	}
	// Two transactions that wait for locks, and lock two invoices in opposite
	// orders, each only once the other has its first lock (or is on a later run).
	var first sync.WaitGroup
	first.Add(2)
	lockBoth := func(ctx context.Context, one, two string) error {
		options := b.options()
		options.Groups = groupcommit.Size{}
		var once sync.Once
		return postgres.NewStore(options).Atomically(ctx, func(tx invoicing.Tx) error {
			if _, err := tx.Invoice(one); err != nil {
				return err
			}
			once.Do(func() { first.Done(); first.Wait() })
			_, err := tx.Invoice(two)
			return err
		})
	}
	errs := make(chan error, 2)
	go func() { errs <- lockBoth(t.Context(), ids[0], ids[1]) }()
	go func() { errs <- lockBoth(t.Context(), ids[1], ids[0]) }()
	for range 2 {
		if err := <-errs; err != nil {
			t.Errorf("the deadlock reached the caller: %v", err)
		}
	}
}
