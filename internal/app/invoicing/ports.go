// Package invoicing is what the service does: commands that change invoices,
// queries that show them, and the effects of their events.
package invoicing

import (
	"context"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/numbering"
)

// Tx is one transaction. Whatever one of its methods fails with, its caller
// returns: it may only mean that it has to be run again, with more at hand.
type Tx interface {
	// Invoice returns the invoice and locks it until the transaction ends, or
	// fails with ErrInvoiceNotFound.
	Invoice(id string) (*invoice.Invoice, error)
	// SaveInvoice stores the invoice together with its new events.
	SaveInvoice(i *invoice.Invoice) error
	// Documents returns the documents of an invoice.
	Documents(invoiceID string) (Documents, error)
	// SaveDocument stores a new document together with its event.
	SaveDocument(d *document.Document) error
	// NextNumber takes the next number of the series. Everyone else who wants
	// one waits until the transaction ends, so take it late.
	NextNumber(s numbering.Series) (numbering.Number, error)

	messaging.Inbox
	idempotency.Tx
}

// Store runs transactions.
type Store = messaging.Store[Tx]

// Reader answers queries.
type Reader interface {
	// View returns an invoice, or fails with ErrInvoiceNotFound.
	View(ctx context.Context, id string) (View, error)
	// List returns up to limit invoices that match the filter, newest first,
	// starting after the given position (nil: with the newest).
	List(ctx context.Context, f Filter, after *Position, limit int) ([]View, error)
}

// ErrInvoiceNotFound is returned for an id that no invoice has.
var ErrInvoiceNotFound = fault.New(fault.NotFound, "invoice-not-found", "There is no invoice with this id.")

// View is an invoice as callers see it.
type View struct {
	invoice.Snapshot
	Documents
}

// Documents are the documents of an invoice; nil where there is none.
type Documents struct {
	Receipt    *document.Snapshot
	CreditNote *document.Snapshot
}

// Filter selects invoices; its zero fields select all.
type Filter struct {
	Status     invoice.Status
	CustomerID invoice.CustomerID
}

// Position is a place in the list of invoices.
type Position struct {
	IssuedAt time.Time
	ID       string
}
