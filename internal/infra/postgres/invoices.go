package postgres

import (
	"context"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/version"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// NewStore returns the Store of the service's transactions.
func NewStore(o StoreOptions) *Store[invoicing.Tx] {
	return newStore(o, func(u *groupcommit.Unit) service[invoicing.Tx] {
		invoices := invoices{groupcommit.NewRows[string, savedInvoice](u)}
		documents := documents{groupcommit.NewRows[string, invoicing.Documents](u), groupcommit.NewLog[document.Snapshot](u)}
		return service[invoicing.Tx]{
			tables: []table{invoices, documents},
			as:     func(m member) invoicing.Tx { return tx{m, invoices, documents} },
		}
	})
}

// tx implements invoicing.Tx.
type tx struct {
	member
	invoices  invoices
	documents documents
}

// Invoice implements invoicing.Tx.
func (t tx) Invoice(id string) (*invoice.Invoice, error) {
	saved, exists, err := t.invoices.Get(id)
	if err != nil {
		_, _, _ = t.documents.Get(id) // whoever wants the one wants the other: they are loaded together
		return nil, err
	}
	if !exists {
		return nil, invoicing.ErrInvoiceNotFound
	}
	return invoice.Restore(saved.Snapshot), nil
}

// SaveInvoice implements invoicing.Tx.
func (t tx) SaveInvoice(i *invoice.Invoice) error {
	state, events := i.Snapshot(), i.FlushEvents()
	saved := savedInvoice{state, true}
	if before := state.Version - len(events); before > 0 {
		current, _, err := t.invoices.Get(state.ID)
		if err != nil {
			return err
		}
		if current.Version != before {
			return fault.New(fault.Conflict, version.CodeMismatch, "The invoice was changed by someone else.")
		}
		saved.isNew = current.isNew
	}
	t.invoices.Set(state.ID, saved)
	return t.publish(events)
}

// Documents implements invoicing.Tx.
func (t tx) Documents(invoiceID string) (invoicing.Documents, error) {
	documents, _, err := t.documents.Get(invoiceID)
	return documents, err
}

// SaveDocument implements invoicing.Tx.
func (t tx) SaveDocument(d *document.Document) error {
	state, events := d.Snapshot(), d.FlushEvents()
	documents, _, err := t.documents.Get(state.InvoiceID)
	if err != nil {
		return err
	}
	addDocument(&documents, state)
	t.documents.Set(state.InvoiceID, documents)
	t.documents.added.Add(state)
	return t.publish(events)
}

// invoices are the invoices by their ids, locked until the transaction ends.
type invoices struct {
	*groupcommit.Rows[string, savedInvoice]
}

type savedInvoice struct {
	invoice.Snapshot
	isNew bool // not in the database yet
}

func (i invoices) load(ctx context.Context, p *pipeline, waits bool) {
	asked := i.Asked()
	if len(asked) == 0 {
		return
	}
	loaded := func(row dbgen.Invoice) { i.Loaded(row.ID, savedInvoice{snapshot(row), false}) }
	if waits {
		each(p, "lock invoices", p.queries.LockInvoices(ctx, [][]string{asked}).Query, loaded)
		return
	}
	for _, id := range asked {
		i.Locked(id) // or it does not exist: whoever waits for it will see
	}
	each(p, "lock free invoices", p.queries.LockFreeInvoices(ctx, [][]string{asked}).Query, loaded)
}

func (i invoices) save(ctx context.Context, p *pipeline) {
	var inserts, updates []savedInvoice
	for _, saved := range i.Changed() {
		if saved.isNew {
			inserts = append(inserts, saved)
		} else {
			updates = append(updates, saved)
		}
	}
	if len(inserts) > 0 {
		p.queued("insert invoices", p.queries.InsertInvoices(ctx, []dbgen.InsertInvoicesParams{{
			Ids:                 column(inserts, func(i savedInvoice) string { return i.ID }),
			Numbers:             column(inserts, func(i savedInvoice) string { return i.Number }),
			CustomerIds:         column(inserts, func(i savedInvoice) string { return string(i.CustomerID) }),
			Amounts:             column(inserts, func(i savedInvoice) int64 { return i.Total.Amount() }),
			Currencies:          column(inserts, func(i savedInvoice) string { return string(i.Total.Currency()) }),
			DueDates:            column(inserts, func(i savedInvoice) time.Time { return i.DueDate.Time() }),
			IssuedAt:            column(inserts, func(i savedInvoice) time.Time { return i.IssuedAt }),
			Statuses:            column(inserts, status),
			PaidAt:              column(inserts, paidAt),
			PaymentReferences:   column(inserts, paymentReference),
			CancelledAt:         column(inserts, cancelledAt),
			CancellationReasons: column(inserts, cancellationReason),
			Versions:            column(inserts, versionOf),
		}}).Exec)
	}
	if len(updates) > 0 {
		p.queued("update invoices", p.queries.UpdateInvoices(ctx, []dbgen.UpdateInvoicesParams{{
			Ids:                 column(updates, func(i savedInvoice) string { return i.ID }),
			Statuses:            column(updates, status),
			PaidAt:              column(updates, paidAt),
			PaymentReferences:   column(updates, paymentReference),
			CancelledAt:         column(updates, cancelledAt),
			CancellationReasons: column(updates, cancellationReason),
			Versions:            column(updates, versionOf),
		}}).Exec)
	}
}

// The columns that change.
func status(i savedInvoice) string             { return string(i.Status) }
func paidAt(i savedInvoice) time.Time          { return i.PaidAt }
func paymentReference(i savedInvoice) string   { return string(i.PaymentReference) }
func cancelledAt(i savedInvoice) time.Time     { return i.CancelledAt }
func cancellationReason(i savedInvoice) string { return string(i.CancellationReason) }
func versionOf(i savedInvoice) int32           { return int32(i.Version) } //nolint:gosec // counts changes by hand

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
