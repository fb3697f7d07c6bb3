package check

import (
	"encoding/json"
	"time"

	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
)

// duplicateWindow is for how long the stream recognises an id that it has.
const duplicateWindow = 2 * time.Minute

// settlement says what the settling of an invoice leads to.
type settlement struct {
	status       string // of the invoice
	event        string
	handler      string
	document     string // kind
	documentType string // of its event
}

var settlements = map[CommandKind]settlement{
	Pay:    {string(invoice.StatusPaid), invoice.TypePaid, "issue-receipt", string(document.Receipt), document.TypeReceiptIssued},
	Cancel: {string(invoice.StatusCancelled), invoice.TypeCancelled, "issue-credit-note", string(document.CreditNote), document.TypeCreditNoteIssued},
}

// eventTypes are the types of the events of commands.
var eventTypes = map[CommandKind]string{
	Issue:  invoice.TypeIssued,
	Pay:    invoice.TypePaid,
	Cancel: invoice.TypeCancelled,
}

// Check compares the ledger with the snapshot. The snapshot must have been taken
// when nothing was under way any more, and after each command was asked for once
// more: so also one that was never answered during the run has an answer, and
// exactly that effect.
func Check(ledger []Command, s Snapshot) Report {
	c := newChecker(ledger, s)
	c.commands()
	c.invoices()
	c.documents()
	c.events()
	c.stream()
	c.numbers()
	c.quiet()
	return c.Report
}

// checker has the snapshot in the ways in which it is looked up.
type checker struct {
	Report
	ledger      []Command
	snapshot    Snapshot
	asked       map[string]bool      // keys of the ledger
	invoice     map[string]Invoice   // by id
	ofCustomer  map[string][]Invoice // by customer
	documentsOf map[string][]Document
	document    map[string]bool               // by id
	ofAggregate map[string][]Event            // in the order of the outbox
	ofCommand   map[string]map[string][]Event // key → type → events that no other event caused
	inbox       map[InboxRow]int
	replayed    map[string]bool // ids of events that were dead letters
}

func newChecker(ledger []Command, s Snapshot) *checker {
	c := &checker{
		ledger:      ledger,
		snapshot:    s,
		asked:       map[string]bool{},
		invoice:     map[string]Invoice{},
		ofCustomer:  map[string][]Invoice{},
		documentsOf: map[string][]Document{},
		document:    map[string]bool{},
		ofAggregate: map[string][]Event{},
		ofCommand:   map[string]map[string][]Event{},
		inbox:       map[InboxRow]int{},
		replayed:    map[string]bool{},
	}
	c.Commands, c.Invoices, c.Documents = len(ledger), len(s.Invoices), len(s.Documents)
	c.Events, c.Messages, c.Letters = len(s.Outbox), len(s.Messages), len(s.Letters)
	for _, command := range ledger {
		c.asked[command.Key] = true
		c.Attempts += command.Attempts
	}
	for _, i := range s.Invoices {
		c.invoice[i.ID] = i
		c.ofCustomer[i.CustomerID] = append(c.ofCustomer[i.CustomerID], i)
	}
	for _, d := range s.Documents {
		c.document[d.ID] = true
		c.documentsOf[d.InvoiceID] = append(c.documentsOf[d.InvoiceID], d)
	}
	for _, e := range s.Outbox {
		c.ofAggregate[e.AggregateID] = append(c.ofAggregate[e.AggregateID], e)
		if e.CausationID == "" {
			byType := c.ofCommand[e.CorrelationID]
			if byType == nil {
				byType = map[string][]Event{}
				c.ofCommand[e.CorrelationID] = byType
			}
			byType[e.Type] = append(byType[e.Type], e)
		}
	}
	for _, letter := range s.Letters {
		c.replayed[letter.EventID] = letter.Replayed
	}
	for _, row := range s.Inbox {
		c.inbox[row]++
	}
	return c
}

// commands checks that every answer is true, and the only one of its key.
func (c *checker) commands() {
	for _, command := range c.ledger {
		for _, failure := range command.Failures {
			c.Violate(Refused, "%s %s was answered with %d %s", command.Kind, command.Key, failure.Status, failure.Body)
		}
		if len(command.Answers) == 0 {
			c.Violate(Stuck, "%s %s was never answered", command.Kind, command.Key)
			continue
		}
		answer := command.Answers[0]
		for _, other := range command.Answers[1:] {
			if other != answer {
				c.Violate(Contradiction, "%s %s had two answers:\n    %d %s\n    %d %s",
					command.Kind, command.Key, answer.Status, answer.Body, other.Status, other.Body)
				break
			}
		}
		effects, events := c.effects(command), len(c.ofCommand[command.Key][eventTypes[command.Kind]])
		switch {
		case !answer.OK() && (command.Kind == Issue || !answer.tooLate()):
			c.Violate(Refused, "%s %s was answered with %d %s", command.Kind, command.Key, answer.Status, answer.Body)
		case !answer.OK():
			c.TooLate++
			if len(effects) > 0 || events > 0 {
				c.Violate(Contradiction, "%s %s was refused, and has its effect", command.Kind, command.Key)
			}
			if i, ok := c.invoice[command.InvoiceID]; !ok || i.Status == string(invoice.StatusIssued) {
				c.Violate(Contradiction, "%s %s was refused, but its invoice is not settled", command.Kind, command.Key)
			}
		default:
			c.Acknowledged++
			c.effect(command, answer, effects, events)
		}
	}
}

// effects returns the invoices that bear the command's mark.
func (c *checker) effects(command Command) []Invoice {
	if command.Kind == Issue {
		return c.ofCustomer[command.Key]
	}
	i, ok := c.invoice[command.InvoiceID]
	if !ok || i.Mark != command.Key || i.Status != settlements[command.Kind].status {
		return nil
	}
	return []Invoice{i}
}

// effect checks the effect of a command that was acknowledged.
func (c *checker) effect(command Command, answer Answer, effects []Invoice, events int) {
	switch {
	case len(effects) == 0:
		c.Violate(Lost, "%s %s was acknowledged, but has no effect", command.Kind, command.Key)
		return
	case len(effects) > 1:
		c.Violate(Doubled, "%s %s has %d effects", command.Kind, command.Key, len(effects))
	}
	if events > 1 {
		c.Violate(Doubled, "%s %s has %d events", command.Kind, command.Key, events)
	}
	shown, stored := answer.Invoice(), effects[0]
	status := string(invoice.StatusIssued)
	if s, ok := settlements[command.Kind]; ok {
		status = s.status
	}
	if shown.ID != stored.ID || shown.Number != stored.Number || shown.CustomerID != stored.CustomerID ||
		shown.Amount != stored.Amount || shown.Status != status {
		c.Violate(Contradiction, "%s %s was answered with %s, but its effect is %+v", command.Kind, command.Key, answer.Body, stored)
	}
	if command.Kind == Issue && stored.Amount != command.Amount {
		c.Violate(Contradiction, "issue %s asked for %d, but the invoice is of %d", command.Key, command.Amount, stored.Amount)
	}
}

// eventData is what an event says of its aggregate.
type eventData struct {
	InvoiceID        string `json:"invoiceId"`
	InvoiceNumber    string `json:"invoiceNumber"`
	CustomerID       string `json:"customerId"`
	Amount           int64  `json:"amount"`
	PaymentReference string `json:"paymentReference"`
	Reason           string `json:"reason"`
	ReceiptNumber    string `json:"receiptNumber"`
	CreditNoteNumber string `json:"creditNoteNumber"`
}

func data(e Event) (d eventData) {
	_ = json.Unmarshal(e.Data, &d) // what has other data agrees with no row
	return d
}
