// Package postgres keeps the service's state in PostgreSQL 15 or later:
// invoices and documents, the outbox, the inbox, and the answers to commands.
package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/numbering"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Store runs the transactions of the service. It is safe for concurrent use.
type Store struct {
	db       *DB
	appended messaging.Signal
}

// NewStore returns a Store that notifies appended after each commit that added
// events to the outbox.
func NewStore(db *DB, appended messaging.Signal) *Store { return &Store{db, appended} }

// Atomically implements invoicing.Store.
func (s *Store) Atomically(ctx context.Context, f func(invoicing.Tx) error) error {
	var t tx
	err := s.db.inTx(ctx, func(queries *dbgen.Queries) error {
		t = tx{queries: queries, trace: messaging.TraceFrom(ctx)}
		return f(&t)
	})
	if err != nil {
		return err
	}
	if t.appended {
		s.appended.Notify()
	}
	return nil
}

// tx implements invoicing.Tx. Its generic parts are in inbox.go and
// idempotency.go.
type tx struct {
	queries  *dbgen.Queries
	trace    messaging.Trace // of the transaction: that of its events
	appended bool            // events, to the outbox
}

// NextNumber implements invoicing.Tx.
func (t *tx) NextNumber(ctx context.Context, s numbering.Series) (numbering.Number, error) {
	row, err := t.queries.TakeNumber(ctx, string(s))
	if err != nil {
		return numbering.Number{}, fmt.Errorf("take number of series %s: %w", s, err)
	}
	return numbering.Number{Series: s, Ordinal: int(row.Ordinal), TakenAt: row.TakenAt.UTC()}, nil
}

// Invoice implements invoicing.Tx.
func (t *tx) Invoice(ctx context.Context, id string) (*invoice.Invoice, error) {
	row, err := t.queries.LockInvoice(ctx, id)
	if errors.Is(err, pgx.ErrNoRows) {
		return nil, invoicing.ErrInvoiceNotFound
	}
	if err != nil {
		return nil, fmt.Errorf("lock invoice %s: %w", id, err)
	}
	return invoice.Restore(snapshot(row)), nil
}

// SaveInvoice implements invoicing.Tx. It writes the row first, which settles
// who comes first, and the events last: so the order of an invoice's events in
// the outbox is the order in which they were committed.
func (t *tx) SaveInvoice(ctx context.Context, i *invoice.Invoice) error {
	state, events := i.Snapshot(), i.FlushEvents()
	if err := t.writeInvoice(ctx, state, state.Version-len(events)); err != nil {
		return fmt.Errorf("save invoice %s: %w", state.ID, err)
	}
	return t.append(ctx, events)
}

func (t *tx) writeInvoice(ctx context.Context, s invoice.Snapshot, savedVersion int) error {
	if savedVersion == 0 {
		return t.queries.InsertInvoice(ctx, dbgen.InsertInvoiceParams{
			ID:         s.ID,
			Number:     s.Number,
			CustomerID: string(s.CustomerID),
			Amount:     s.Total.Amount(),
			Currency:   string(s.Total.Currency()),
			Status:     string(s.Status),
			DueDate:    s.DueDate.Time(),
			IssuedAt:   s.IssuedAt,
			Version:    int32(s.Version), //nolint:gosec // counts changes by hand
		})
	}
	n, err := t.queries.UpdateInvoice(ctx, dbgen.UpdateInvoiceParams{
		ID:                 s.ID,
		SavedVersion:       int32(savedVersion), //nolint:gosec // as above
		Status:             string(s.Status),
		PaidAt:             instant(s.PaidAt),
		PaymentReference:   optional(s.PaymentReference),
		CancelledAt:        instant(s.CancelledAt),
		CancellationReason: optional(s.CancellationReason),
		Version:            int32(s.Version), //nolint:gosec // as above
	})
	if err == nil && n == 0 {
		err = fault.New(fault.Conflict, invoicing.CodeVersionMismatch, "The invoice was changed by someone else.")
	}
	return err
}

// Documents implements invoicing.Tx.
func (t *tx) Documents(ctx context.Context, invoiceID string) (invoicing.Documents, error) {
	documents, err := documentsOf(ctx, t.queries, invoiceID)
	return documents[invoiceID], err
}

// SaveDocument implements invoicing.Tx.
func (t *tx) SaveDocument(ctx context.Context, d *document.Document) error {
	state := d.Snapshot()
	err := t.queries.InsertDocument(ctx, dbgen.InsertDocumentParams{
		ID:        state.ID,
		InvoiceID: state.InvoiceID,
		Kind:      string(state.Kind),
		Number:    state.Number,
		Amount:    state.Total.Amount(),
		Currency:  string(state.Total.Currency()),
		IssuedAt:  state.IssuedAt,
	})
	if err != nil {
		return fmt.Errorf("save %s for invoice %s: %w", state.Kind, state.InvoiceID, err)
	}
	return t.append(ctx, d.FlushEvents())
}

func (t *tx) append(ctx context.Context, events []event.Event) error {
	t.appended = t.appended || len(events) > 0
	return appendEvents(messaging.WithTrace(ctx, t.trace), t.queries, events)
}

func snapshot(row dbgen.Invoice) invoice.Snapshot {
	return invoice.Snapshot{
		ID:                 row.ID,
		Number:             row.Number,
		CustomerID:         invoice.CustomerID(row.CustomerID),
		Total:              money.New(row.Amount, money.Currency(row.Currency)),
		Status:             invoice.Status(row.Status),
		DueDate:            invoice.DateOf(row.DueDate),
		IssuedAt:           row.IssuedAt.UTC(),
		PaidAt:             value(row.PaidAt).UTC(),
		PaymentReference:   invoice.PaymentReference(value(row.PaymentReference)),
		CancelledAt:        value(row.CancelledAt).UTC(),
		CancellationReason: invoice.Reason(value(row.CancellationReason)),
		Version:            int(row.Version),
	}
}

func instant(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	return &t
}
