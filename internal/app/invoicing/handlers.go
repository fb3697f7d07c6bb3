package invoicing

import (
	"encoding/json"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
)

// Handlers returns the effects of events, by event type.
func Handlers() map[string]messaging.Handler[Tx] {
	return map[string]messaging.Handler[Tx]{
		invoice.TypePaid:      {Name: "issue-receipt", Handle: issueReceipt},
		invoice.TypeCancelled: {Name: "issue-credit-note", Handle: issueCreditNote},
	}
}

// issueReceipt makes the receipt for a paid invoice.
func issueReceipt(tx Tx, msg messaging.Envelope) error {
	var paid invoice.Paid
	if err := decode(msg, &paid); err != nil {
		return err
	}
	settled, documents, err := settledInvoice(tx, msg, paid.InvoiceNumber, money.New(paid.Amount, paid.Currency))
	if err != nil || documents.Receipt != nil {
		return err
	}
	number, err := tx.NextNumber(document.ReceiptSeries)
	if err != nil {
		return err
	}
	receipt, err := document.IssueReceipt(messaging.NewID("rct_"), settled, number)
	if err != nil {
		return err
	}
	return tx.SaveDocument(receipt)
}

// issueCreditNote makes the credit note for a cancelled invoice.
func issueCreditNote(tx Tx, msg messaging.Envelope) error {
	var cancelled invoice.Cancelled
	if err := decode(msg, &cancelled); err != nil {
		return err
	}
	settled, documents, err := settledInvoice(tx, msg, cancelled.InvoiceNumber, money.New(cancelled.Amount, cancelled.Currency))
	if err != nil || documents.CreditNote != nil {
		return err
	}
	number, err := tx.NextNumber(document.CreditNoteSeries)
	if err != nil {
		return err
	}
	note, err := document.IssueCreditNote(messaging.NewID("crn_"), settled, number)
	if err != nil {
		return err
	}
	return tx.SaveDocument(note)
}

// settledInvoice locks the invoice that the event is about. An event that does
// not agree with it is a Conflict: no document may state what the books do not.
func settledInvoice(tx Tx, msg messaging.Envelope, number string, total money.Money) (invoice.Snapshot, Documents, error) {
	i, err := tx.Invoice(msg.AggregateID)
	if err != nil {
		return invoice.Snapshot{}, Documents{}, err
	}
	settled := i.Snapshot()
	if settled.Number != number || settled.Total != total {
		return invoice.Snapshot{}, Documents{}, fault.New(fault.Conflict, "event-contradicts-invoice",
			"The event's number or amount is not that of its invoice.")
	}
	documents, err := tx.Documents(settled.ID)
	return settled, documents, err
}

func decode(msg messaging.Envelope, data any) error {
	if err := json.Unmarshal(msg.Data, data); err != nil {
		return fault.Wrap(err, fault.Invalid, messaging.CodeNotAnEvent, "The event's data does not fit its type.")
	}
	return nil
}
