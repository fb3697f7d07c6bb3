package invoice

import (
	"time"

	"github.com/winaity/billing/internal/domain/money"
)

// AggregateType is how events name this aggregate.
const AggregateType = "Invoice"

// The events of an invoice. Their payloads below are a published contract:
// golden files pin them.
const (
	TypeIssued    = "billing.invoice.issued"
	TypePaid      = "billing.invoice.paid"
	TypeCancelled = "billing.invoice.cancelled"
)

// Issued is the payload of TypeIssued. Amount is in minor units.
type Issued struct {
	InvoiceNumber string         `json:"invoiceNumber"`
	CustomerID    CustomerID     `json:"customerId"`
	Amount        int64          `json:"amount"`
	Currency      money.Currency `json:"currency"`
	DueDate       Date           `json:"dueDate"`
}

// Paid is the payload of TypePaid.
type Paid struct {
	InvoiceNumber    string           `json:"invoiceNumber"`
	CustomerID       CustomerID       `json:"customerId"`
	Amount           int64            `json:"amount"`
	Currency         money.Currency   `json:"currency"`
	PaidAt           time.Time        `json:"paidAt"`
	PaymentReference PaymentReference `json:"paymentReference,omitempty"`
}

// Cancelled is the payload of TypeCancelled.
type Cancelled struct {
	InvoiceNumber string         `json:"invoiceNumber"`
	CustomerID    CustomerID     `json:"customerId"`
	Amount        int64          `json:"amount"`
	Currency      money.Currency `json:"currency"`
	CancelledAt   time.Time      `json:"cancelledAt"`
	Reason        Reason         `json:"reason,omitempty"`
}
