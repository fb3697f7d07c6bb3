package httpapi

import (
	"encoding/json"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
)

// The members of an invoice are the contract: to take one away, or to rename
// one, breaks every client.
func TestInvoiceOnTheWire(t *testing.T) {
	at := time.Date(2026, 1, 2, 3, 4, 5, 678901000, time.UTC)
	got, err := json.MarshalIndent(NewInvoiceJSON(invoicing.View{
		Snapshot: invoice.Snapshot{
			ID: "inv_1", Number: "INV-2026-0001", CustomerID: "cust_42", Total: money.New(15000, "EUR"), Status: invoice.StatusPaid,
			DueDate: invoice.DateOf(at), IssuedAt: at, PaidAt: at, PaymentReference: "RF18", CancelledAt: at, CancellationReason: "None",
			Version: 3,
		},
		Documents: invoicing.Documents{
			Receipt:    &document.Snapshot{ID: "rct_1", Number: "RCT-2026-0001", IssuedAt: at},
			CreditNote: &document.Snapshot{ID: "crn_1", Number: "CRN-2026-0001", IssuedAt: at},
		},
	}), "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	const want = `{
  "id": "inv_1",
  "invoiceNumber": "INV-2026-0001",
  "customerId": "cust_42",
  "amount": 15000,
  "currency": "EUR",
  "status": "paid",
  "dueDate": "2026-01-02",
  "issuedAt": "2026-01-02T03:04:05.678901Z",
  "paidAt": "2026-01-02T03:04:05.678901Z",
  "paymentReference": "RF18",
  "cancelledAt": "2026-01-02T03:04:05.678901Z",
  "cancellationReason": "None",
  "version": 3,
  "receipt": {
    "id": "rct_1",
    "number": "RCT-2026-0001",
    "issuedAt": "2026-01-02T03:04:05.678901Z"
  },
  "creditNote": {
    "id": "crn_1",
    "number": "CRN-2026-0001",
    "issuedAt": "2026-01-02T03:04:05.678901Z"
  }
}`
	if string(got) != want {
		t.Errorf("got %s", got)
	}
}
