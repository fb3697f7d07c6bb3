package httpapi

import (
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/document"
)

// InvoiceJSON is an invoice on the wire. What has no value is absent.
type InvoiceJSON struct {
	ID                 string        `json:"id"`
	InvoiceNumber      string        `json:"invoiceNumber"`
	CustomerID         string        `json:"customerId"`
	Amount             int64         `json:"amount"` // minor units
	Currency           string        `json:"currency"`
	Status             string        `json:"status"`
	DueDate            string        `json:"dueDate"` // YYYY-MM-DD
	IssuedAt           time.Time     `json:"issuedAt"`
	PaidAt             time.Time     `json:"paidAt,omitzero"`
	PaymentReference   string        `json:"paymentReference,omitempty"`
	CancelledAt        time.Time     `json:"cancelledAt,omitzero"`
	CancellationReason string        `json:"cancellationReason,omitempty"`
	Version            int           `json:"version"`
	Receipt            *documentJSON `json:"receipt,omitempty"`
	CreditNote         *documentJSON `json:"creditNote,omitempty"`
}

// documentJSON is a receipt or a credit note on the wire.
type documentJSON struct {
	ID       string    `json:"id"`
	Number   string    `json:"number"`
	IssuedAt time.Time `json:"issuedAt"`
}

// pageJSON is a page of the list on the wire.
type pageJSON struct {
	Data       []InvoiceJSON `json:"data"`
	NextCursor string        `json:"nextCursor,omitempty"`
}

// NewInvoiceJSON returns the invoice as every answer and the console show it.
func NewInvoiceJSON(v invoicing.View) InvoiceJSON {
	return InvoiceJSON{
		ID:                 v.ID,
		InvoiceNumber:      v.Number,
		CustomerID:         string(v.CustomerID),
		Amount:             v.Total.Amount(),
		Currency:           string(v.Total.Currency()),
		Status:             string(v.Status),
		DueDate:            v.DueDate.String(),
		IssuedAt:           v.IssuedAt,
		PaidAt:             v.PaidAt,
		PaymentReference:   string(v.PaymentReference),
		CancelledAt:        v.CancelledAt,
		CancellationReason: string(v.CancellationReason),
		Version:            v.Version,
		Receipt:            toDocumentJSON(v.Receipt),
		CreditNote:         toDocumentJSON(v.CreditNote),
	}
}

func toDocumentJSON(d *document.Snapshot) *documentJSON {
	if d == nil {
		return nil
	}
	return &documentJSON{ID: d.ID, Number: d.Number, IssuedAt: d.IssuedAt}
}

func toPageJSON(p invoicing.Page) pageJSON {
	page := pageJSON{Data: make([]InvoiceJSON, len(p.Invoices))}
	for i, v := range p.Invoices {
		page.Data[i] = NewInvoiceJSON(v)
	}
	if p.Next != nil {
		page.NextCursor = encodeCursor(*p.Next)
	}
	return page
}
