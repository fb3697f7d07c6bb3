package invoicing

import (
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/version"
)

// Command changes one invoice.
type Command interface {
	// Name is the command in metrics.
	Name() string
	// Do has its effects through tx only, asks nothing but tx, and may be run
	// several times. It returns the invoice as it is then.
	Do(tx Tx, now time.Time) (View, error)
}

// CommandNames are the names of all commands.
var CommandNames = []string{Issue{}.Name(), Pay{}.Name(), Cancel{}.Name()}

// Issue issues a new invoice.
type Issue struct {
	CustomerID invoice.CustomerID
	Total      money.Money
	DueDate    invoice.Date // zero: the default payment term
}

// Name implements Command.
func (Issue) Name() string { return "issue" }

// Do implements Command. The number has the date of issue.
func (c Issue) Do(tx Tx, _ time.Time) (View, error) {
	number, err := tx.NextNumber(invoice.Series)
	if err != nil {
		return View{}, err
	}
	i, err := invoice.Issue(invoice.Draft{
		ID:         messaging.NewID("inv_"),
		CustomerID: c.CustomerID,
		Total:      c.Total,
		DueDate:    c.DueDate,
	}, number)
	if err != nil {
		return View{}, err
	}
	return View{Snapshot: i.Snapshot()}, tx.SaveInvoice(i)
}

// Pay settles an invoice.
type Pay struct {
	InvoiceID string
	Reference invoice.PaymentReference
	Expect    version.Precondition
}

// Name implements Command.
func (Pay) Name() string { return "pay" }

// Do implements Command.
func (c Pay) Do(tx Tx, now time.Time) (View, error) {
	return change(tx, c.InvoiceID, c.Expect, func(i *invoice.Invoice) error {
		return i.Pay(c.Reference, storable(now))
	})
}

// Cancel cancels an invoice.
type Cancel struct {
	InvoiceID string
	Reason    invoice.Reason
	Expect    version.Precondition
}

// Name implements Command.
func (Cancel) Name() string { return "cancel" }

// Do implements Command.
func (c Cancel) Do(tx Tx, now time.Time) (View, error) {
	return change(tx, c.InvoiceID, c.Expect, func(i *invoice.Invoice) error {
		return i.Cancel(c.Reason, storable(now))
	})
}

// storable returns the instant as exact as it can be stored.
func storable(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

// change lets command change an invoice that exists.
func change(tx Tx, id string, expect version.Precondition, command func(*invoice.Invoice) error) (View, error) {
	i, err := tx.Invoice(id)
	if err != nil {
		return View{}, err
	}
	if err := expect.Check(i.Snapshot().Version); err != nil {
		return View{}, err
	}
	if err := command(i); err != nil {
		return View{}, err
	}
	documents, err := tx.Documents(id)
	if err != nil {
		return View{}, err
	}
	view := View{i.Snapshot(), documents}
	if !i.Changed() {
		return view, nil
	}
	return view, tx.SaveInvoice(i)
}
