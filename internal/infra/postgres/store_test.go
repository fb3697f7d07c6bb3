package postgres_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"sync"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
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

// Invariant 3, the truth behind it: of two transactions that receive the same
// message at once, one waits for the other and is told that it was second.
func TestInboxLetsOneOfTwoTransactionsThrough(t *testing.T) {
	b := setup(t)
	fresh := make(chan bool, 2)
	var wg sync.WaitGroup
	for range 2 {
		wg.Go(func() {
			first := false
			err := postgres.NewStore(b.options()).Atomically(t.Context(), func(tx invoicing.Tx) (err error) {
				first, err = tx.Receive("handler", "evt_1")
				return err
			})
			if err != nil {
				t.Error(err)
			}
			fresh <- first
		})
	}
	wg.Wait()
	if first, second := <-fresh, <-fresh; first == second {
		t.Errorf("both transactions were told %t", first)
	}
	if n := b.count(t, "inbox"); n != 1 {
		t.Errorf("%d inbox rows", n)
	}
}

func TestInboxForgetsWhatWasRolledBack(t *testing.T) {
	b := setup(t)
	for range 2 {
		err := b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
			if first, err := tx.Receive("handler", "evt_1"); err != nil || !first {
				t.Errorf("got %t, %v", first, err)
			}
			return errChangedMind
		})
		if !errors.Is(err, errChangedMind) {
			t.Fatal(err)
		}
	}
}

func TestKeptAnswerIsRecalledByteForByte(t *testing.T) {
	b := setup(t)
	answer := idempotency.Answer{Status: 201, Header: map[string]string{"Location": "/v1/invoices/inv_1"}, Body: []byte("{\"a\": 1}\n")}
	other := postgres.NewStore(b.options()) // of another instance
	recall := func(r idempotency.Request) (known *idempotency.Answer, err error) {
		err = other.Atomically(t.Context(), func(tx invoicing.Tx) error {
			known, err = tx.Recall(r)
			return err
		})
		return known, err
	}
	runs := 0
	must(t, b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
		if known, err := tx.Recall(keyed); err != nil || known != nil {
			t.Errorf("a new key: got %v, %v", known, err)
		}
		if runs++; runs == 2 { // it has the key now
			if _, err := recall(keyed); !errors.Is(err, idempotency.ErrInFlight) {
				t.Errorf("while the first is running: %v", err)
			}
		}
		return tx.Keep(keyed, answer)
	}))
	known, err := recall(keyed)
	must(t, err)
	if known.Status != answer.Status || known.Header["Location"] != answer.Header["Location"] || string(known.Body) != string(answer.Body) {
		t.Errorf("kept %+v, recalled %+v", answer, known)
	}
	if _, err := recall(idempotency.Request{Key: keyed.Key, Fingerprint: "another"}); !errors.Is(err, idempotency.ErrReused) {
		t.Errorf("another request with the same key: %v", err)
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

func TestPanicInATransactionRollsItBackAndKeepsNoConnection(t *testing.T) {
	b := setup(t)
	for range 2 * int(b.db.Stat().MaxConns()) {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
				if _, err := issueIn(tx); err != nil {
					return err
				}
				panic("a bug")
			})
		}()
	}
	if n := b.count(t, "invoices"); n != 0 {
		t.Errorf("%d invoices", n)
	}
}
