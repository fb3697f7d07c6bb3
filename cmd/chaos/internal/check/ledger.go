// Package check judges a run of the service under faults: it compares what the
// clients were told with what is in the tables and in the stream.
package check

import (
	"encoding/json"
	"net/http"
)

// CommandKind is what a command asks for.
type CommandKind string

// The kinds of commands.
const (
	Issue  CommandKind = "issue"
	Pay    CommandKind = "pay"
	Cancel CommandKind = "cancel"
)

// Command is a client's account of one command. Every attempt at it bore the
// same Key, as Idempotency-Key, as correlation id, and as the mark of its
// effect: the customer of an issued invoice, the reference of a payment, the
// reason of a cancellation. So an effect names the command that caused it.
type Command struct {
	Key       string
	Kind      CommandKind
	InvoiceID string // empty for Issue
	Amount    int64  // of an invoice to issue, in cents
	Attempts  int
	Answers   []Answer // all that were final; none: it was never answered
	Failures  []Answer // all that blame the service itself, and should not be
}

// Answer is a final answer: another attempt cannot change it.
type Answer struct {
	Status int
	Body   string
}

// OK reports whether the answer says that the command has its effect.
func (a Answer) OK() bool { return a.Status/100 == 2 }

// Passing reports whether the answer asks to come back: so no other attempt is
// judged by it.
func (a Answer) Passing() bool {
	return a.Status == http.StatusServiceUnavailable || a.Status == http.StatusTooManyRequests ||
		a.Status == http.StatusConflict && a.code() == "idempotency-in-flight"
}

// code is the code of the problem; empty if the answer is none.
func (a Answer) code() string {
	var problem struct {
		Code string `json:"code"`
	}
	_ = json.Unmarshal([]byte(a.Body), &problem) // what is no problem has no code
	return problem.Code
}

// ShownInvoice is an invoice as clients see it.
type ShownInvoice struct {
	ID         string `json:"id"`
	Number     string `json:"invoiceNumber"`
	CustomerID string `json:"customerId"`
	Amount     int64  `json:"amount"`
	Status     string `json:"status"`
}

// Invoice returns the invoice that the answer shows; a zero one if it shows none.
func (a Answer) Invoice() (i ShownInvoice) {
	_ = json.Unmarshal([]byte(a.Body), &i) // what is no invoice has no id
	return i
}

// tooLate reports whether the answer says that the invoice was settled in
// another way before.
func (a Answer) tooLate() bool {
	return a.Status == http.StatusConflict && a.code() == "invalid-state-transition"
}
