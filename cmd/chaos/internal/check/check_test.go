package check

import (
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
)

// world is a ledger and a snapshot that agree: a paid, a cancelled and an open
// invoice, and a cancellation that came too late.
type world struct {
	ledger []Command
	Snapshot
	now time.Time
}

func newWorld() *world {
	w := &world{now: time.Date(2026, 5, 4, 12, 0, 0, 0, time.UTC)}
	w.Series = map[string]int{}
	paid, cancelled := w.issue("issue-1"), w.issue("issue-2")
	w.issue("issue-3")
	w.settle(Pay, paid, "pay-1", string(document.ReceiptSeries), document.AggregateReceipt)
	w.settle(Cancel, cancelled, "cancel-2", string(document.CreditNoteSeries), document.AggregateCreditNote)
	w.ledger = append(w.ledger, Command{Key: "cancel-1", Kind: Cancel, InvoiceID: w.Invoices[paid].ID, Attempts: 1, Answers: []Answer{
		{http.StatusConflict, `{"code":"invalid-state-transition","currentStatus":"paid"}`},
	}})
	return w
}

func (w *world) tick() time.Time {
	w.now = w.now.Add(time.Second)
	return w.now
}

func (w *world) number(series string) string {
	w.Series[series]++
	return fmt.Sprintf("%s-2026-%04d", series, w.Series[series])
}

// issue returns the index of the invoice.
func (w *world) issue(key string) int {
	i := Invoice{ID: "inv_" + key, Number: w.number("INV"), CustomerID: key, Amount: 100, Status: "issued", IssuedAt: w.tick(), Version: 1}
	w.Invoices = append(w.Invoices, i)
	w.tell(invoice.TypeIssued, "Invoice", i.ID, 1, key, "", eventData{InvoiceNumber: i.Number, CustomerID: i.CustomerID, Amount: i.Amount})
	w.ledger = append(w.ledger, Command{Key: key, Kind: Issue, Amount: 100, Attempts: 2, Answers: answers(http.StatusCreated, i)})
	return len(w.Invoices) - 1
}

func (w *world) settle(kind CommandKind, index int, key, series, aggregate string) {
	s, i := settlements[kind], &w.Invoices[index]
	i.Status, i.Mark, i.Version = s.status, key, 2
	says := eventData{InvoiceNumber: i.Number, CustomerID: i.CustomerID, Amount: i.Amount}
	settled := says
	settled.PaymentReference = key
	cause := w.tell(s.event, "Invoice", i.ID, 2, key, "", settled)
	w.ledger = append(w.ledger, Command{Key: key, Kind: kind, InvoiceID: i.ID, Attempts: 1, Answers: answers(http.StatusOK, *i)})
	d := Document{ID: "doc_" + key, InvoiceID: i.ID, Kind: s.document, Number: w.number(series), Amount: i.Amount, IssuedAt: w.tick()}
	w.Documents = append(w.Documents, d)
	w.Inbox = append(w.Inbox, InboxRow{s.handler, cause})
	says.InvoiceID, says.ReceiptNumber = i.ID, d.Number
	w.tell(s.documentType, aggregate, d.ID, 1, key, cause, says)
}

// tell puts an event into the outbox and the stream and returns its id.
func (w *world) tell(eventType, aggregateType, aggregateID string, version int, correlation, causation string, says eventData) string {
	text, _ := json.Marshal(says)
	e := messaging.Envelope{
		ID: fmt.Sprint("evt_", len(w.Outbox)), Type: eventType, AggregateType: aggregateType, AggregateID: aggregateID,
		Version: version, CorrelationID: correlation, CausationID: causation, Data: text,
	}
	payload, _ := json.Marshal(e)
	w.Outbox = append(w.Outbox, Event{e, string(payload), true})
	w.Messages = append(w.Messages, Message{uint64(len(w.Messages) + 1), w.tick(), e.ID, e, string(payload)})
	return e.ID
}

func answers(status int, i Invoice) []Answer {
	body, _ := json.Marshal(ShownInvoice{i.ID, i.Number, i.CustomerID, i.Amount, i.Status})
	return []Answer{{status, string(body)}, {status, string(body)}}
}

func TestWorldThatAgreesHasNoViolation(t *testing.T) {
	w := newWorld()
	r := Check(w.ledger, w.Snapshot)
	for _, v := range r.Violations {
		t.Errorf("%s: %s", v.Class, v.Detail)
	}
	if r.Commands != 6 || r.Acknowledged != 5 || r.TooLate != 1 || r.Invoices != 3 || r.Documents != 2 || r.Events != 7 || r.Messages != 7 || r.Attempts != 9 {
		t.Errorf("unexpected counts: %+v", r)
	}
}

// Indexes of the world's rows that the tests below spoil.
const (
	paidEvent    = 3 // in the outbox and in the stream
	receiptEvent = 4
)

func TestEveryDisagreementIsFound(t *testing.T) {
	for name, test := range map[string]struct {
		spoil func(*world)
		want  Class
	}{
		"acknowledged invoice is gone":      {func(w *world) { w.Invoices = w.Invoices[:2]; w.Series["INV"]-- }, Lost},
		"acknowledged payment is gone":      {func(w *world) { w.Invoices[0].Status, w.Invoices[0].Mark = "issued", "" }, Lost},
		"change without its event":          {func(w *world) { w.Outbox = slices.Delete(w.Outbox, paidEvent, paidEvent+1) }, Lost},
		"event is not in the stream":        {func(w *world) { w.Messages = slices.Delete(w.Messages, paidEvent, paidEvent+1) }, Lost},
		"paid invoice without a receipt":    {func(w *world) { w.Documents = w.Documents[1:] }, Lost},
		"receipt without its event":         {func(w *world) { w.Outbox = slices.Delete(w.Outbox, receiptEvent, receiptEvent+1) }, Lost},
		"two invoices for one key":          {func(w *world) { w.Invoices[2].CustomerID = "issue-1" }, Doubled},
		"two receipts":                      {func(w *world) { d := w.Documents[0]; d.ID = "doc_2"; w.Documents = append(w.Documents, d) }, Doubled},
		"change with two events":            {func(w *world) { w.Outbox = append(w.Outbox, w.Outbox[paidEvent]) }, Doubled},
		"inbox row twice":                   {func(w *world) { w.Inbox = append(w.Inbox, w.Inbox[0]) }, Doubled},
		"repeated within the window":        {func(w *world) { w.repeat(time.Minute) }, Doubled},
		"later version first in the stream": {func(w *world) { w.Messages[0], w.Messages[paidEvent] = w.Messages[paidEvent], w.Messages[0] }, Reordered},
		"later version first in the outbox": {func(w *world) { w.Outbox[0], w.Outbox[paidEvent] = w.Outbox[paidEvent], w.Outbox[0] }, Reordered},
		"number is missing":                 {func(w *world) { w.Invoices[2].Number = "INV-2026-0004"; w.Series["INV"]++ }, Gap},
		"last number is missing":            {func(w *world) { w.Series["INV"]++ }, Gap},
		"number twice":                      {func(w *world) { w.Invoices[2].Number = "INV-2026-0002" }, Gap},
		"numbers are not chronological":     {func(w *world) { w.Invoices[2].IssuedAt = w.Invoices[0].IssuedAt }, Gap},
		"number of another year":            {func(w *world) { w.Invoices[2].Number = "INV-2025-0003" }, Gap},
		"number of another series":          {func(w *world) { w.Documents[0].Number = "CRN-2026-0001" }, Gap},
		"two answers for one key":           {func(w *world) { w.ledger[0].Answers[1].Body += " " }, Contradiction},
		"answer shows another amount":       {func(w *world) { w.Invoices[0].Amount++ }, Contradiction},
		"invoice of another amount":         {func(w *world) { w.ledger[0].Amount++ }, Contradiction},
		"refused with an effect":            {func(w *world) { w.ledger[3].Answers = w.ledger[5].Answers }, Contradiction},
		"refused without a reason":          {func(w *world) { w.ledger[5].InvoiceID = w.Invoices[2].ID }, Contradiction},
		"nobody asked for it":               {func(w *world) { w.ledger = w.ledger[1:] }, Contradiction},
		"event of no invoice":               {func(w *world) { w.Outbox[0].AggregateID = "inv_unknown" }, Contradiction},
		"event with another amount":         {func(w *world) { w.Outbox[0].Data = json.RawMessage(`{"amount":1}`) }, Contradiction},
		"event without its cause":           {func(w *world) { w.Outbox[receiptEvent].CausationID = "evt_unknown" }, Contradiction},
		"event of another correlation":      {func(w *world) { w.Outbox[receiptEvent].CorrelationID = "other" }, Contradiction},
		"effect without an inbox row":       {func(w *world) { w.Inbox = w.Inbox[1:] }, Contradiction},
		"receipt of another amount":         {func(w *world) { w.Documents[0].Amount++ }, Contradiction},
		"receipt for a cancelled invoice":   {func(w *world) { w.Documents[1].Kind = "receipt" }, Contradiction},
		"version without a change":          {func(w *world) { w.Invoices[0].Version++ }, Contradiction},
		"message that is not in the outbox": {func(w *world) { w.Outbox = w.Outbox[1:] }, Contradiction},
		"message that is not as recorded":   {func(w *world) { w.Messages[0].Payload += " " }, Contradiction},
		"message with another id":           {func(w *world) { w.Messages[0].ID = "other" }, Contradiction},
		"repetition with another payload":   {func(w *world) { w.repeat(time.Hour); w.Messages[7].Payload += " " }, Contradiction},
		"internal error":                    {func(w *world) { w.ledger[0].Failures = []Answer{{http.StatusInternalServerError, "{}"}} }, Refused},
		"invoice that is not found":         {func(w *world) { w.ledger[3].Answers = []Answer{{http.StatusNotFound, `{"code":"invoice-not-found"}`}} }, Refused},
		"never answered":                    {func(w *world) { w.ledger[0].Answers = nil }, Stuck},
		"unpublished event":                 {func(w *world) { w.Outbox[0].Published = false }, Stuck},
		"delivery that is not settled":      {func(w *world) { w.Unsettled = 1 }, Stuck},
		"dead letter":                       {func(w *world) { w.Letters = []Letter{{EventID: "evt_3", Error: "why"}} }, DeadLetter},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			test.spoil(w)
			r := Check(w.ledger, w.Snapshot)
			if r.Count(test.want) == 0 {
				t.Errorf("got %+v, want one that is %s", r.Violations, test.want)
			}
		})
	}
}

// repeat stores the first message again, so much later.
func (w *world) repeat(later time.Duration) {
	again := w.Messages[0]
	again.Sequence, again.StoredAt = uint64(len(w.Messages)+1), again.StoredAt.Add(later)
	w.Messages = append(w.Messages, again)
}

func TestRepetitionIsExplained(t *testing.T) {
	for name, repeat := range map[string]func(*world){
		"after the window": func(w *world) { w.repeat(2 * time.Minute) },
		"of a dead letter": func(w *world) {
			w.repeat(time.Minute)
			w.Letters = []Letter{{EventID: w.Messages[0].Envelope.ID, Replayed: true}}
		},
		"after a restart": func(w *world) {
			w.repeat(time.Minute)
			w.Restarts = []time.Time{w.Messages[0].StoredAt.Add(time.Second)}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld()
			repeat(w)
			if r := Check(w.ledger, w.Snapshot); len(r.Violations) != 0 || r.Duplicates != 1 {
				t.Errorf("got %d repetitions, %+v", r.Duplicates, r.Violations)
			}
		})
	}
}
