package conformance

import (
	"errors"
	"math/rand/v2"
	"reflect"
	"slices"
	"sync"
	"testing"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/numbering"
)

// Tx is the part of a transaction that is the same in every service.
type Tx interface {
	messaging.Inbox
	idempotency.Tx
	NextNumber(s numbering.Series) (numbering.Number, error)
}

// Transactions tests a messaging.Store. Open returns another store on the same
// database each time; on a new one for each test.
func Transactions[T Tx](t *testing.T, open func(t *testing.T) func() messaging.Store[T]) {
	t.Helper()
	for name, test := range map[string]func(t *testing.T, open func() messaging.Store[T]){
		"what is rolled back is forgotten":          rolledBack[T],
		"one of two transactions gets a message":    receivedOnce[T],
		"handlers receive messages each for itself": receivedByEach[T],
		"an answer is recalled as it was kept":      recalled[T],
		"a key is in flight while another has it":   inFlight[T],
		"numbers are gapless and in order":          numbered[T],
		"what was changed is known":                 changed[T],
		"a panic rolls back and reaches its caller": panicked[T],
	} {
		t.Run(name, func(t *testing.T) { test(t, open(t)) })
	}
}

var (
	request = idempotency.Request{Key: "key", Fingerprint: "print"}
	answer  = idempotency.Answer{Status: 201, Header: map[string]string{"Location": "/v1/things/1"}, Body: []byte("{\"a\": 1}\n")}
)

const series numbering.Series = "TEST"

// everything writes all that a transaction has of its own.
func everything[T Tx](t *testing.T, tx T) error {
	t.Helper()
	if known, err := tx.Recall(request); known != nil || err != nil {
		t.Errorf("a new key: %v, %v", known, err)
	}
	if fresh, err := tx.Receive("handler", "message"); !fresh || err != nil {
		t.Errorf("a new message: %v, %v", fresh, err)
	}
	n, err := tx.NextNumber(series)
	if err != nil {
		return err
	}
	if n.Ordinal != 1 || n.Series != series {
		t.Errorf("the first number is %s", n)
	}
	return tx.Keep(request, answer)
}

func rolledBack[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	for range 2 {
		err := open().Atomically(within(t), func(tx T) error {
			if err := everything(t, tx); err != nil {
				return err
			}
			return errChangedMind
		})
		if !errors.Is(err, errChangedMind) {
			t.Fatal(err)
		}
	}
	must(t, open().Atomically(within(t), func(tx T) error { return everything(t, tx) }))
}

func receivedOnce[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	fresh := make(chan bool, 8)
	var receivers sync.WaitGroup
	for range cap(fresh) {
		store := open()
		receivers.Go(func() {
			first := false
			err := store.Atomically(within(t), func(tx T) (err error) {
				first, err = tx.Receive("handler", "message")
				return err
			})
			if err != nil {
				t.Error(err)
			}
			fresh <- first
		})
	}
	receivers.Wait()
	close(fresh)
	n := 0
	for first := range fresh {
		if first {
			n++
		}
	}
	if n != 1 {
		t.Errorf("%d transactions were told that the message is new", n)
	}
}

func receivedByEach[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	store := open()
	receive := func(handler string, want bool) {
		var got bool
		must(t, store.Atomically(within(t), func(tx T) (err error) {
			got, err = tx.Receive(handler, "a message")
			return err
		}))
		if got != want {
			t.Errorf("%s receives it: %v", handler, got)
		}
	}
	receive("one", true)
	receive("another", true)
	receive("one", false)
}

func recall[T Tx](t *testing.T, store messaging.Store[T], r idempotency.Request) (known *idempotency.Answer, err error) {
	t.Helper()
	err = store.Atomically(within(t), func(tx T) error {
		known, err = tx.Recall(r)
		return err
	})
	return known, err
}

func recalled[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	store := open()
	must(t, store.Atomically(within(t), func(tx T) error { return everything(t, tx) }))
	for range 2 {
		known, err := recall(t, store, request)
		must(t, err)
		if known == nil || !reflect.DeepEqual(*known, answer) {
			t.Errorf("kept %+v, recalled %+v", answer, known)
		}
		known.Replayed = true
	}
	if _, err := recall(t, store, idempotency.Request{Key: request.Key, Fingerprint: "another"}); !errors.Is(err, idempotency.ErrReused) {
		t.Errorf("another request with the same key: %v", err)
	}
}

func inFlight[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	store, other := open(), open()
	runs := 0
	must(t, store.Atomically(within(t), func(tx T) error {
		if runs++; runs == 2 { // it has the key now
			if _, err := recall(t, other, request); !errors.Is(err, idempotency.ErrInFlight) {
				t.Errorf("while the first is running: %v", err)
			}
		}
		return everything(t, tx)
	}))
	if known, err := recall(t, other, request); known == nil || err != nil {
		t.Errorf("after the first: %v, %v", known, err)
	}
}

// numbered: also under concurrency and rollback.
func numbered[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	const workers, each = 8, 25
	var mu sync.Mutex
	var taken []numbering.Number
	var working sync.WaitGroup
	for range workers {
		store := open()
		working.Go(func() {
			for range each {
				var n numbering.Number
				err := store.Atomically(within(t), func(tx T) (err error) {
					if n, err = tx.NextNumber(series); err != nil {
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
				if err == nil {
					mu.Lock()
					taken = append(taken, n)
					mu.Unlock()
				}
			}
		})
	}
	working.Wait()
	if len(taken) == 0 || len(taken) == workers*each {
		t.Fatalf("%d of %d transactions were committed: this test needs some of both", len(taken), workers*each)
	}
	slices.SortFunc(taken, func(a, b numbering.Number) int { return a.TakenAt.Compare(b.TakenAt) })
	last := numbering.Number{Series: series}
	for _, n := range taken {
		if want := last.Next(n.TakenAt); n != want {
			t.Fatalf("by its date, after %s comes %s of %v, want %s", last, n, n.TakenAt, want)
		}
		last = n
	}
}

func changed[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	must(t, open().Atomically(within(t), func(tx T) error {
		if tx.Changed() {
			t.Error("a new transaction has changed something")
		}
		if _, err := tx.NextNumber(series); err != nil {
			return err
		}
		if !tx.Changed() {
			t.Error("a number was taken, and nothing changed")
		}
		return nil
	}))
}

func panicked[T Tx](t *testing.T, open func() messaging.Store[T]) {
	t.Helper()
	store := open()
	for range 20 { // more often than there are connections
		func() {
			defer func() {
				if recover() == nil {
					t.Error("the panic was swallowed")
				}
			}()
			_ = store.Atomically(within(t), func(tx T) error {
				if err := everything(t, tx); err != nil {
					return err
				}
				panic("a bug")
			})
		}()
	}
	must(t, store.Atomically(within(t), func(tx T) error { return everything(t, tx) }))
}
