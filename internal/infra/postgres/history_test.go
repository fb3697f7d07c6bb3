package postgres_test

import (
	"slices"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/infra/postgres"
)

// settle issues an invoice, pays it and makes its receipt.
func (b *bench) settle(t *testing.T) invoicing.View {
	t.Helper()
	issued, err := b.issue(t.Context())
	must(t, err)
	id := issued.Snapshot().ID
	must(t, b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
		i, err := tx.Invoice(id)
		if err != nil {
			return err
		}
		if err := i.Pay("", time.Now()); err != nil {
			return err
		}
		return tx.SaveInvoice(i)
	}))
	must(t, b.store.Atomically(t.Context(), func(tx invoicing.Tx) error {
		i, err := tx.Invoice(id)
		if err != nil {
			return err
		}
		number, err := tx.NextNumber(document.ReceiptSeries)
		if err != nil {
			return err
		}
		receipt, err := document.IssueReceipt(messaging.NewID("rct_"), i.Snapshot(), number)
		if err != nil {
			return err
		}
		return tx.SaveDocument(receipt)
	}))
	view, err := b.reader.View(t.Context(), id)
	must(t, err)
	return view
}

func typesOf(history []invoicing.Recorded) (types []string) {
	for _, r := range history {
		types = append(types, r.Subject)
	}
	return types
}

// The history has the events of one invoice and its documents in their order, as
// far as they are still there.
func TestHistoryOfAnInvoice(t *testing.T) {
	b := setup(t)
	b.settle(t)
	view := b.settle(t)
	b.settle(t)
	whole := []string{invoice.TypeIssued, invoice.TypePaid, document.TypeReceiptIssued}

	history, err := b.reader.History(t.Context(), view)
	must(t, err)
	if !slices.Equal(typesOf(history), whole) {
		t.Fatalf("got %v", typesOf(history))
	}
	for _, r := range history {
		if !r.PublishedAt.IsZero() || r.RecordedAt.IsZero() || r.AggregateID != view.ID && r.AggregateID != view.Receipt.ID || len(r.Payload) == 0 {
			t.Errorf("got %+v", r)
		}
	}

	b.publish(t, published)
	if history, err = b.reader.History(t.Context(), view); err != nil || history[2].PublishedAt.Before(history[2].RecordedAt) {
		t.Errorf("got %+v, %v", history, err)
	}
	_, err = b.pool.Exec(t.Context(), "DELETE FROM outbox WHERE id = $1", history[0].ID)
	must(t, err)
	if history, err = b.reader.History(t.Context(), view); err != nil || !slices.Equal(typesOf(history), whole[1:]) {
		t.Errorf("got %v, %v", typesOf(history), err)
	}
}

// There is no index for it, and none is needed: what is read is what was recorded
// at about the same time, however much else there is.
func TestHistoryReadsLittleOfALongOutbox(t *testing.T) {
	b := setup(t)
	ids := make([]string, 100_000)
	for n := range ids {
		ids[n], _ = messaging.IDRange("evt_", time.Now().Add(-time.Duration(n+60)*time.Second), time.Now())
	}
	_, err := b.pool.Exec(t.Context(), `
		INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, published_at)
		SELECT id, 'Thing', 'thing_1', 'things.thing.done', '{}', now() FROM unnest($1::text[]) AS id ORDER BY id`, ids)
	must(t, err)
	view := b.settle(t)
	_, err = b.pool.Exec(t.Context(), "ANALYZE outbox")
	must(t, err)

	db, read := b.reading(t)
	reader := postgres.NewReader(db)
	for range 10 { // also once the plan is made without the values
		before := read("outbox")
		history, err := reader.History(t.Context(), view)
		must(t, err)
		if n := read("outbox") - before; len(history) != 3 || n > 1000 {
			t.Errorf("read %d rows for %d events", n, len(history))
		}
	}
}
