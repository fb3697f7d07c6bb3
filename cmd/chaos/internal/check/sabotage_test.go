package check_test

import (
	"context"
	"errors"
	"net/http"
	"os"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/cmd/chaos/internal/check"
	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/numbering"
	"github.com/winaity/billing/internal/infra/metrics"
)

func TestMain(m *testing.M) { os.Exit(devstack.Run(m)) }

// Each guard of the service is taken away in turn, and the check must notice.
// With the guard in place, the same events leave nothing to notice.
func TestCheckNoticesEachGuardThatIsMissing(t *testing.T) {
	for name, test := range map[string]struct {
		play func(b *bench, guarded bool)
		want check.Class
	}{
		"events in the transaction of their change":   {dieAfterSave, check.Lost},
		"inbox row in the transaction of its effect":  {deliverTwice, check.Doubled},
		"one event of an aggregate in flight":         {loseOnePublication, check.Reordered},
		"numbers from a row":                          {rollBackANumber, check.Gap},
		"a refused member's number is the next one's": {refuseAMember, check.Gap},
		"each member's key has its own answer":        {answerTwoMembers, check.Contradiction},
	} {
		t.Run(name, func(t *testing.T) {
			guarded := newBench(t)
			test.play(guarded, true)
			for _, v := range guarded.check().Violations {
				t.Errorf("with the guard: %s: %s", v.Class, v.Detail)
			}
			unguarded := newBench(t)
			test.play(unguarded, false)
			if r := unguarded.check(); r.Count(test.want) == 0 {
				t.Errorf("without the guard nothing is %s: %+v", test.want, r.Violations)
			}
		})
	}
}

// A process dies after it has saved an invoice and answered.
func dieAfterSave(b *bench, guarded bool) {
	if !guarded {
		b.store = &twoTransactions{b.store, b.pool}
	}
	b.issue("issue-1")
	b.relay(b.publisher)
}

// twoTransactions is a store that dies between the transaction of a change and
// that of its events.
type twoTransactions struct {
	invoicing.Store
	pool *pgxpool.Pool
}

func (s *twoTransactions) Atomically(ctx context.Context, f func(invoicing.Tx) error) error {
	if err := s.Store.Atomically(ctx, f); err != nil {
		return err
	}
	_, err := s.pool.Exec(ctx, "DELETE FROM outbox")
	return err
}

// An event is delivered again after Redis was emptied.
func deliverTwice(b *bench, guarded bool) {
	b.pay(b.issue("issue-1"), "pay-1")
	b.relay(b.publisher)
	if !guarded {
		b.store = &forgetful{b.store}
		b.exec("ALTER TABLE documents DROP CONSTRAINT documents_invoice_id_kind_key")
	}
	b.deliver()
	b.deliver()
	b.relay(b.publisher)
}

// forgetful is a store without an inbox, and without what a handler that knows
// of this would look at.
type forgetful struct{ invoicing.Store }

func (s *forgetful) Atomically(ctx context.Context, f func(invoicing.Tx) error) error {
	return s.Store.Atomically(ctx, func(tx invoicing.Tx) error { return f(forgetfulTx{tx}) })
}

type forgetfulTx struct{ invoicing.Tx }

func (forgetfulTx) Receive(string, string) (bool, error) { return true, nil }

func (forgetfulTx) Documents(string) (invoicing.Documents, error) {
	return invoicing.Documents{}, nil
}

// The first event of an aggregate is lost on its way to the stream.
func loseOnePublication(b *bench, guarded bool) {
	b.pay(b.issue("issue-1"), "pay-1")
	publisher := &stumbling{Publisher: b.publisher}
	if !guarded {
		// All that there is, side by side: what a plain relay does.
		_, err := b.outbox.PublishBatch(b.Context(), 100, publisher.Publish)
		b.must(err)
	}
	b.relay(publisher)
	b.deliver()
	b.relay(publisher)
}

// stumbling is a publisher that loses the first message.
type stumbling struct {
	messaging.Publisher
	stumbled bool
}

func (s *stumbling) Publish(ctx context.Context, messages []messaging.Message) []error {
	if s.stumbled {
		return s.Publisher.Publish(ctx, messages)
	}
	s.stumbled = true
	lost := fault.New(fault.Unavailable, "lost", "The message was lost.")
	return append([]error{lost}, s.Publisher.Publish(ctx, messages[1:])...)
}

// A transaction that has taken a number is rolled back.
func rollBackANumber(b *bench, guarded bool) {
	if !guarded {
		b.exec("CREATE SEQUENCE numbers")
		b.store = &sequence{b.store, b.pool}
	}
	b.issue("issue-1")
	changedMind := errors.New("changed my mind")
	err := b.store.Atomically(b.Context(), func(tx invoicing.Tx) error {
		_, err := tx.NextNumber(invoice.Series)
		return errors.Join(err, changedMind)
	})
	if !errors.Is(err, changedMind) {
		b.Fatal(err)
	}
	b.issue("issue-2")
	b.relay(b.publisher)
}

// sequence is a store that takes numbers from a SEQUENCE.
type sequence struct {
	invoicing.Store
	pool *pgxpool.Pool
}

func (s *sequence) Atomically(ctx context.Context, f func(invoicing.Tx) error) error {
	return s.Store.Atomically(ctx, func(tx invoicing.Tx) error { return f(sequenceTx{tx, s.pool}) })
}

type sequenceTx struct {
	invoicing.Tx
	pool *pgxpool.Pool
}

func (t sequenceTx) NextNumber(s numbering.Series) (numbering.Number, error) {
	n := numbering.Number{Series: s}
	err := t.pool.QueryRow(context.Background(), "SELECT nextval('numbers'), clock_timestamp()").Scan(&n.Ordinal, &n.TakenAt)
	n.TakenAt = n.TakenAt.UTC()
	return n, err
}

// A member of a group is refused after it has taken a number.
func refuseAMember(b *bench, guarded bool) {
	b.issue("issue-1")
	if !guarded {
		b.store = &unmindful{b.store}
	}
	changedMind := errors.New("changed my mind")
	err := b.store.Atomically(b.Context(), func(tx invoicing.Tx) error {
		_, err := tx.NextNumber(invoice.Series)
		return errors.Join(err, changedMind)
	})
	if !errors.Is(err, changedMind) {
		b.Fatal(err)
	}
	b.issue("issue-2")
	b.relay(b.publisher)
}

// unmindful is a store that commits what a refused member has done.
type unmindful struct{ invoicing.Store }

func (s *unmindful) Atomically(ctx context.Context, f func(invoicing.Tx) error) error {
	var refusal error
	err := s.Store.Atomically(ctx, func(tx invoicing.Tx) error {
		refusal = f(tx)
		return nil
	})
	return errors.Join(err, refusal)
}

// Two members of a group have a key each, and send their command again.
func answerTwoMembers(b *bench, guarded bool) {
	guard := newGuard(b.store)
	if !guarded {
		guard = newGuard(&absentMinded{Store: b.store})
	}
	for _, key := range []string{"issue-1", "issue-2"} {
		b.ledger = append(b.ledger, check.Command{Key: key, Kind: check.Issue, Amount: 100})
	}
	for range 2 {
		for i := range b.ledger {
			key := b.ledger[i].Key
			answer, err := guard.Do(messaging.WithTrace(b.Context(), messaging.Trace{CorrelationID: key}), idempotency.Command[invoicing.Tx]{
				Request: idempotency.Request{Key: key, Fingerprint: "the same"},
				Run: func(tx invoicing.Tx) (idempotency.Answer, error) {
					v, err := invoicing.Issue{CustomerID: invoice.CustomerID(key), Total: money.New(100, "EUR")}.Do(tx, time.Now())
					return idempotency.Answer{Status: http.StatusCreated, Body: shown(b.T, v)}, err
				},
			})
			b.must(err)
			b.ledger[i].Answers = append(b.ledger[i].Answers, check.Answer{Status: answer.Status, Body: string(answer.Body)})
		}
	}
	b.relay(b.publisher)
}

// absentMinded is a store that keeps for each key the answer that it was to keep
// for the first one.
type absentMinded struct {
	invoicing.Store
	first *idempotency.Answer
}

func (s *absentMinded) Atomically(ctx context.Context, f func(invoicing.Tx) error) error {
	return s.Store.Atomically(ctx, func(tx invoicing.Tx) error { return f(absentMindedTx{tx, s}) })
}

type absentMindedTx struct {
	invoicing.Tx
	store *absentMinded
}

func (t absentMindedTx) Keep(r idempotency.Request, a idempotency.Answer) error {
	if t.store.first == nil {
		t.store.first = &a
	}
	return t.Tx.Keep(r, *t.store.first)
}

func newGuard(store invoicing.Store) *idempotency.Guard[invoicing.Tx] {
	return idempotency.NewGuard(store, metrics.New(metrics.Labels{}))
}
