package invoicing

import (
	"context"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
)

// Issue asks for a new invoice.
type Issue struct {
	CustomerID invoice.CustomerID
	Total      money.Money
	DueDate    invoice.Date // zero: the default payment term
}

// Pay says that an invoice was paid.
type Pay struct {
	InvoiceID string
	Reference invoice.PaymentReference
	Expect    Precondition
}

// Cancel asks to cancel an invoice.
type Cancel struct {
	InvoiceID string
	Reason    invoice.Reason
	Expect    Precondition
}

// Precondition reports whether a command may go on, given the invoice's version.
// Nil always may.
type Precondition func(version int) bool

// Check fails with a Conflict if p does not hold for the version.
func (p Precondition) Check(version int) error {
	if p == nil || p(version) {
		return nil
	}
	e := fault.New(fault.Conflict, CodeVersionMismatch, "The invoice has changed since the version that the request expects.")
	e.Details = map[string]any{"currentVersion": version}
	return e
}

// CodeVersionMismatch is the code of a Precondition that did not hold.
const CodeVersionMismatch = "version-mismatch"

// Reply makes the answer to a command. It is called in the transaction, since
// the answer to a keyed command is stored with its effect; it may be called
// again, and only its last answer counts.
type Reply struct {
	To     idempotency.Request // zero: not keyed
	Render func(View) (idempotency.Answer, error)
}

// Commands changes invoices. Each command is one transaction: the invoice, its
// events and the kept answer are committed together or not at all.
type Commands struct {
	store   Store
	now     func() time.Time
	observe Observer
}

// NewCommands returns the commands on store. now dates what is not dated by a
// number.
func NewCommands(store Store, now func() time.Time, observe Observer) *Commands {
	return &Commands{store, now, observe}
}

// Observer is told of each command that was run, and how it ended: by one of
// CommandOutcomes, or by the kind of its error.
type Observer func(command, outcome string)

const (
	issue  = "issue"
	pay    = "pay"
	cancel = "cancel"

	changed   = "changed"
	unchanged = "unchanged" // it asked for what was so already
	replayed  = "replayed"  // it got the answer that was kept for its key
)

// What an Observer hears of.
var (
	CommandNames    = []string{issue, pay, cancel}
	CommandOutcomes = []string{changed, unchanged, replayed}
)

// Issue issues a new invoice.
func (c *Commands) Issue(ctx context.Context, cmd Issue, reply Reply) (idempotency.Answer, error) {
	return c.run(ctx, issue, reply, func(tx Tx) (*invoice.Invoice, error) {
		number, err := tx.NextNumber(ctx, invoice.Series)
		if err != nil {
			return nil, err
		}
		return invoice.Issue(invoice.Draft{
			ID:         messaging.NewID("inv_"),
			CustomerID: cmd.CustomerID,
			Total:      cmd.Total,
			DueDate:    cmd.DueDate,
		}, number)
	})
}

// Pay settles an invoice.
func (c *Commands) Pay(ctx context.Context, cmd Pay, reply Reply) (idempotency.Answer, error) {
	return c.change(ctx, pay, cmd.InvoiceID, cmd.Expect, reply, func(i *invoice.Invoice) error {
		return i.Pay(cmd.Reference, c.instant())
	})
}

// Cancel cancels an invoice.
func (c *Commands) Cancel(ctx context.Context, cmd Cancel, reply Reply) (idempotency.Answer, error) {
	return c.change(ctx, cancel, cmd.InvoiceID, cmd.Expect, reply, func(i *invoice.Invoice) error {
		return i.Cancel(cmd.Reason, c.instant())
	})
}

// instant is now, as exact as it can be stored.
func (c *Commands) instant() time.Time { return c.now().UTC().Truncate(time.Microsecond) }

// change runs a command on an invoice that exists.
func (c *Commands) change(ctx context.Context, name, id string, expect Precondition, reply Reply, command func(*invoice.Invoice) error) (idempotency.Answer, error) {
	return c.run(ctx, name, reply, func(tx Tx) (*invoice.Invoice, error) {
		i, err := tx.Invoice(ctx, id)
		if err != nil {
			return nil, err
		}
		if err := expect.Check(i.Snapshot().Version); err != nil {
			return nil, err
		}
		return i, command(i)
	})
}

// run is the frame of every command: recall or run, save, answer.
func (c *Commands) run(ctx context.Context, name string, reply Reply, command func(Tx) (*invoice.Invoice, error)) (idempotency.Answer, error) {
	var answer idempotency.Answer
	var outcome string
	err := c.store.Atomically(ctx, func(tx Tx) error {
		if reply.To.Keyed() {
			known, err := tx.Recall(ctx, reply.To)
			if err != nil {
				return err
			}
			if known != nil {
				answer = *known
				answer.Replayed, outcome = true, replayed
				return nil
			}
		}
		i, err := command(tx)
		if err != nil {
			return err
		}
		view := View{Snapshot: i.Snapshot()}
		if i.Changed() {
			outcome = changed
			err = tx.SaveInvoice(ctx, i)
		} else {
			outcome = unchanged
			view.Documents, err = tx.Documents(ctx, view.ID)
		}
		if err != nil {
			return err
		}
		if answer, err = reply.Render(view); err != nil {
			return err
		}
		if reply.To.Keyed() {
			return tx.Keep(ctx, reply.To, answer)
		}
		return nil
	})
	if err != nil {
		c.observe(name, fault.KindOf(err).String())
		return idempotency.Answer{}, err
	}
	c.observe(name, outcome)
	return answer, nil
}
