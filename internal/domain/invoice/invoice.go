// Package invoice is the invoice aggregate: it is issued once, then paid or
// cancelled, and it is never deleted.
package invoice

import (
	"fmt"
	"time"

	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/numbering"
)

// Series is the series of invoice numbers.
const Series numbering.Series = "INV"

// paymentTerm is how long a customer has to pay when no due date was agreed, in
// days (Directive 2011/7/EU, article 3(3)(b)).
const paymentTerm = 30

// Status is where an invoice is in its life.
type Status string

// The statuses. Paid and Cancelled are final.
const (
	StatusIssued    Status = "issued"
	StatusPaid      Status = "paid"
	StatusCancelled Status = "cancelled"
)

// ParseStatus returns s as a Status, or says which there are.
func ParseStatus(s string) (Status, error) {
	switch status := Status(s); status {
	case StatusIssued, StatusPaid, StatusCancelled:
		return status, nil
	default:
		return "", fmt.Errorf("must be %s, %s or %s", StatusIssued, StatusPaid, StatusCancelled)
	}
}

// Snapshot is the whole state of an invoice, for those who store or show it.
type Snapshot struct {
	ID                 string
	Number             string
	CustomerID         CustomerID
	Total              money.Money
	Status             Status
	DueDate            Date
	IssuedAt           time.Time
	PaidAt             time.Time        // zero unless paid
	PaymentReference   PaymentReference // empty if none
	CancelledAt        time.Time        // zero unless cancelled
	CancellationReason Reason           // empty if none
	Version            int
}

// Invoice is the aggregate. It is not safe for concurrent use.
type Invoice struct {
	state  Snapshot
	events event.Recorder
}

// Draft is what an invoice is issued from.
type Draft struct {
	ID         string
	CustomerID CustomerID
	Total      money.Money
	DueDate    Date // zero: the payment term from the date of issue
}

// Issue makes the draft an invoice under the given number, whose instant is the
// date of issue. It fails with a validation error if the invoice would have been
// due before that day in every time zone.
func Issue(d Draft, number numbering.Number) (*Invoice, error) {
	issuedOn := DateOf(number.TakenAt)
	if d.DueDate.IsZero() {
		d.DueDate = issuedOn.AddDays(paymentTerm)
	}
	if err := CheckDueDate(d.DueDate, number.TakenAt); err != nil {
		return nil, fault.Validation(fault.Field{Name: "dueDate", Detail: err.Error()})
	}
	i := &Invoice{state: Snapshot{
		ID:         d.ID,
		Number:     number.String(),
		CustomerID: d.CustomerID,
		Total:      d.Total,
		Status:     StatusIssued,
		DueDate:    d.DueDate,
		IssuedAt:   number.TakenAt,
	}, events: event.NewRecorder(AggregateType, d.ID, 0)}
	i.events.Record(TypeIssued, number.TakenAt, Issued{
		InvoiceNumber: i.state.Number,
		CustomerID:    i.state.CustomerID,
		Amount:        i.state.Total.Amount(),
		Currency:      i.state.Total.Currency(),
		DueDate:       i.state.DueDate,
	})
	return i, nil
}

// CheckDueDate reports whether an invoice that is issued at the given instant
// may be due on that day. It may if somewhere in the world that day is not over:
// the customer's today is a day before UTC's for some of the time.
func CheckDueDate(due Date, issuedAt time.Time) error {
	if earliest := DateOf(issuedAt.Add(lastZone)); due.Before(earliest) {
		return fmt.Errorf("must not be before %s, the date of issue in the last time zone of the world (UTC-12)", earliest)
	}
	return nil
}

// lastZone is the offset from UTC of the time zone where days end last.
const lastZone = -12 * time.Hour

// Restore returns the invoice with the given state.
func Restore(s Snapshot) *Invoice {
	return &Invoice{state: s, events: event.NewRecorder(AggregateType, s.ID, s.Version)}
}

// Snapshot returns a copy of the state.
func (i *Invoice) Snapshot() Snapshot {
	state := i.state
	state.Version = i.events.Version()
	return state
}

// Changed reports whether the invoice has events that are not saved yet.
func (i *Invoice) Changed() bool { return len(i.events.Pending()) > 0 }

// FlushEvents returns the events that are not saved yet and forgets them.
func (i *Invoice) FlushEvents() []event.Event { return i.events.Flush() }

// Pay records that the invoice was paid at the given instant. Paying again with
// the same reference changes nothing; with another, or once cancelled, it is a
// Conflict.
func (i *Invoice) Pay(reference PaymentReference, at time.Time) error {
	switch {
	case i.state.Status == StatusPaid && i.state.PaymentReference == reference:
		return nil
	case i.state.Status == StatusPaid:
		return i.refuse("The invoice is already paid with another payment reference.")
	case i.state.Status != StatusIssued:
		return i.refuse("Only an issued invoice can be paid; this one is " + string(i.state.Status) + ".")
	}
	at = i.notBeforeIssue(at)
	i.state.Status, i.state.PaidAt, i.state.PaymentReference = StatusPaid, at, reference
	i.events.Record(TypePaid, at, Paid{
		InvoiceNumber:    i.state.Number,
		CustomerID:       i.state.CustomerID,
		Amount:           i.state.Total.Amount(),
		Currency:         i.state.Total.Currency(),
		PaidAt:           at,
		PaymentReference: reference,
	})
	return nil
}

// Cancel records that the invoice was cancelled at the given instant. Cancelling
// again changes nothing and keeps the first reason; once paid it is a Conflict.
func (i *Invoice) Cancel(reason Reason, at time.Time) error {
	switch i.state.Status {
	case StatusCancelled:
		return nil
	case StatusPaid:
		return i.refuse("Only an issued invoice can be cancelled; this one is paid.")
	case StatusIssued:
	}
	at = i.notBeforeIssue(at)
	i.state.Status, i.state.CancelledAt, i.state.CancellationReason = StatusCancelled, at, reason
	i.events.Record(TypeCancelled, at, Cancelled{
		InvoiceNumber: i.state.Number,
		CustomerID:    i.state.CustomerID,
		Amount:        i.state.Total.Amount(),
		Currency:      i.state.Total.Currency(),
		CancelledAt:   at,
		Reason:        reason,
	})
	return nil
}

// CodeInvalidTransition is the code of a command that the status forbids.
const CodeInvalidTransition = "invalid-state-transition"

func (i *Invoice) refuse(message string) error {
	e := fault.New(fault.Conflict, CodeInvalidTransition, message)
	e.Details = map[string]any{"currentStatus": i.state.Status}
	return e
}

// notBeforeIssue bounds an instant read from another clock than the one that
// dated the issue, so that no invoice is settled before it exists.
func (i *Invoice) notBeforeIssue(at time.Time) time.Time {
	if at.Before(i.state.IssuedAt) {
		return i.state.IssuedAt
	}
	return at
}
