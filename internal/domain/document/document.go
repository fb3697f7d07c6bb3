// Package document is the receipt for a paid invoice and the credit note for a
// cancelled one: numbered, issued once, never changed.
package document

import (
	"time"

	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/numbering"
)

// Kind is the kind of a document.
type Kind string

// The kinds.
const (
	Receipt    Kind = "receipt"
	CreditNote Kind = "credit_note"
)

// The series of document numbers.
const (
	ReceiptSeries    numbering.Series = "RCT"
	CreditNoteSeries numbering.Series = "CRN"
)

// The events of documents, and how they name their aggregates.
const (
	TypeReceiptIssued    = "billing.receipt.issued"
	TypeCreditNoteIssued = "billing.creditnote.issued"

	AggregateReceipt    = "Receipt"
	AggregateCreditNote = "CreditNote"
)

// CodeNotSettled is the code of a document for an invoice whose status does not
// call for it.
const CodeNotSettled = "invoice-not-settled"

// ReceiptIssued is the payload of TypeReceiptIssued. Amount is in minor units.
type ReceiptIssued struct {
	ReceiptNumber string             `json:"receiptNumber"`
	InvoiceID     string             `json:"invoiceId"`
	InvoiceNumber string             `json:"invoiceNumber"`
	CustomerID    invoice.CustomerID `json:"customerId"`
	Amount        int64              `json:"amount"`
	Currency      money.Currency     `json:"currency"`
}

// CreditNoteIssued is the payload of TypeCreditNoteIssued. Amount is in minor
// units, positive: it is what the invoice no longer asks for.
type CreditNoteIssued struct {
	CreditNoteNumber string             `json:"creditNoteNumber"`
	InvoiceID        string             `json:"invoiceId"`
	InvoiceNumber    string             `json:"invoiceNumber"`
	CustomerID       invoice.CustomerID `json:"customerId"`
	Amount           int64              `json:"amount"`
	Currency         money.Currency     `json:"currency"`
}

// Snapshot is the whole state of a document.
type Snapshot struct {
	ID        string
	Kind      Kind
	Number    string
	InvoiceID string
	Total     money.Money
	IssuedAt  time.Time
}

// Document is the aggregate. Its version is always 1.
type Document struct {
	state  Snapshot
	events event.Recorder
}

// IssueReceipt makes the receipt for a paid invoice. For any other it is a
// Conflict.
func IssueReceipt(id string, of invoice.Snapshot, number numbering.Number) (*Document, error) {
	if of.Status != invoice.StatusPaid {
		return nil, fault.New(fault.Conflict, CodeNotSettled, "A receipt is for a paid invoice; "+of.Number+" is "+string(of.Status)+".")
	}
	d := issue(Receipt, id, of, number)
	d.record(AggregateReceipt, TypeReceiptIssued, ReceiptIssued{
		ReceiptNumber: number.String(),
		InvoiceID:     of.ID,
		InvoiceNumber: of.Number,
		CustomerID:    of.CustomerID,
		Amount:        of.Total.Amount(),
		Currency:      of.Total.Currency(),
	})
	return d, nil
}

// IssueCreditNote makes the credit note for a cancelled invoice. For any other
// it is a Conflict.
func IssueCreditNote(id string, of invoice.Snapshot, number numbering.Number) (*Document, error) {
	if of.Status != invoice.StatusCancelled {
		return nil, fault.New(fault.Conflict, CodeNotSettled, "A credit note is for a cancelled invoice; "+of.Number+" is "+string(of.Status)+".")
	}
	d := issue(CreditNote, id, of, number)
	d.record(AggregateCreditNote, TypeCreditNoteIssued, CreditNoteIssued{
		CreditNoteNumber: number.String(),
		InvoiceID:        of.ID,
		InvoiceNumber:    of.Number,
		CustomerID:       of.CustomerID,
		Amount:           of.Total.Amount(),
		Currency:         of.Total.Currency(),
	})
	return d, nil
}

func issue(kind Kind, id string, of invoice.Snapshot, number numbering.Number) *Document {
	return &Document{state: Snapshot{
		ID:        id,
		Kind:      kind,
		Number:    number.String(),
		InvoiceID: of.ID,
		Total:     of.Total,
		IssuedAt:  number.TakenAt,
	}}
}

func (d *Document) record(aggregateType, eventType string, data any) {
	d.events = event.NewRecorder(aggregateType, d.state.ID, 0)
	d.events.Record(eventType, d.state.IssuedAt, data)
}

// Snapshot returns a copy of the state.
func (d *Document) Snapshot() Snapshot { return d.state }

// FlushEvents returns the events that are not saved yet and forgets them.
func (d *Document) FlushEvents() []event.Event { return d.events.Flush() }
