package main

import (
	"encoding/json"
	"net/http"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
)

// Invariants 1 to 3 in the plain case: the whole loop, twice.
func TestPaidInvoiceGetsAReceiptAndCancelledOneACreditNote(t *testing.T) {
	for name, c := range map[string]struct {
		groupCommit                              string
		command, eventType, documentType, prefix string
		document                                 func(answer) *struct{ ID, Number string }
	}{
		"paid": {
			"on", "/pay", invoice.TypePaid, document.TypeReceiptIssued, "RCT-",
			func(a answer) *struct{ ID, Number string } { return a.invoice().Receipt },
		},
		"cancelled": {
			"off", "/cancel", invoice.TypeCancelled, document.TypeCreditNoteIssued, "CRN-",
			func(a answer) *struct{ ID, Number string } { return a.invoice().CreditNote },
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			i := s.serve(map[string]string{"BILLING_GROUP_COMMIT": c.groupCommit})
			const correlation, traceparent = "corr-of-the-test", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
			id := i.issue("X-Correlation-ID", correlation, "traceparent", traceparent)
			i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+c.command, "", "X-Correlation-ID", correlation, "traceparent", traceparent)
			s.eventually("the document", func() bool { return c.document(i.get(id)) != nil })
			made := c.document(i.get(id))
			if !strings.HasPrefix(made.Number, c.prefix) {
				t.Errorf("unexpected number %s", made.Number)
			}
			s.eventually("three events in the stream", func() bool { return len(s.events()) == 3 })

			events := s.events()
			for n, want := range []struct {
				eventType, aggregateID, causationID string
				version                             int
			}{
				{invoice.TypeIssued, id, "", 1},
				{c.eventType, id, "", 2},
				{c.documentType, made.ID, events[1].ID, 1},
			} {
				e := events[n]
				if e.Type != want.eventType || e.AggregateID != want.aggregateID || e.CausationID != want.causationID || e.Version != want.version {
					t.Errorf("event %d: got %+v, want %+v", n, e.Envelope, want)
				}
				if e.CorrelationID != correlation {
					t.Errorf("event %d lost its correlation: %q", n, e.CorrelationID)
				}
				if e.raw.Header.Get(jetstream.MsgIDHeader) != e.ID || e.raw.Header.Get("Content-Type") != "application/json" || !strings.HasPrefix(e.raw.Header.Get("traceparent"), traceparent[:35]) {
					t.Errorf("event %d has the header %v", n, e.raw.Header)
				}
			}
			if n := s.count("outbox WHERE published_at IS NULL"); n != 0 {
				s.eventually("all events are marked", func() bool { return s.count("outbox WHERE published_at IS NULL") == 0 })
			}
			if letters := s.letters(); len(letters) != 0 {
				t.Errorf("dead letters: %+v", letters)
			}
		})
	}
}

// Invariant 5: a command retried with its key has one effect and one answer, of
// whichever instance.
func TestCommandWithAKeyHasOneEffectAndOneAnswer(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	first := i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key")
	for name, i := range map[string]*instance{"the same instance": i, "another instance": s.serve(nil)} {
		again := i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", `"a-key"`)
		if string(again.body) != string(first.body) || again.Header.Get("Idempotent-Replayed") != "true" {
			t.Errorf("%s: the second answer differs:\n%s\n%s\n%v", name, first.body, again.body, again.Header)
		}
		for _, name := range []string{"Location", "ETag", "Content-Type"} {
			if again.Header.Get(name) != first.Header.Get(name) {
				t.Errorf("%s: %s was %q, is %q", name, name, first.Header.Get(name), again.Header.Get(name))
			}
		}
		reused := i.expect(http.StatusUnprocessableEntity, http.MethodPost, "/v1/invoices", `{"customerId":"cust_42","amount":15001,"currency":"EUR"}`, "Idempotency-Key", "a-key")
		if code := reused.problem().Code; code != "idempotency-key-reused" {
			t.Errorf("%s: another body with the same key: %s", name, code)
		}
	}
	if n := s.count("invoices"); n != 1 {
		t.Errorf("%d invoices for one key", n)
	}
}

// Invariant 5, side by side: of many requests with one key, to two instances,
// one has the effect; the others get its answer or are told to come back.
func TestManyRequestsWithOneKeyAtOnce(t *testing.T) {
	for _, groupCommit := range []string{"on", "off"} {
		t.Run("group commit "+groupCommit, func(t *testing.T) {
			s := newStack(t)
			environment := map[string]string{"BILLING_GROUP_COMMIT": groupCommit}
			instances := []*instance{s.serve(environment), s.serve(environment)}
			const requests = 20
			answers := make(chan answer, requests)
			for n := range requests {
				go func() {
					a, err := instances[n%2].try(http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key")
					if err != nil {
						t.Error(err)
					}
					answers <- a
				}()
			}
			ids := map[string]int{}
			for range requests {
				switch a := <-answers; {
				case a.Response == nil:
				case a.StatusCode == http.StatusConflict && a.problem().Code == "idempotency-in-flight" && a.Header.Get("Retry-After") != "":
				case a.StatusCode == http.StatusCreated:
					ids[a.invoice().ID]++
				default:
					t.Errorf("unexpected answer %s: %s", a.Status, a.body)
				}
			}
			if n := s.count("invoices"); n != 1 || len(ids) != 1 {
				t.Errorf("%d invoices; answers: %v", n, ids)
			}
		})
	}
}

func TestRepeatedCommandsChangeNothing(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	paid, cancelled := "/v1/invoices/"+i.issue(), "/v1/invoices/"+i.issue()
	i.expect(http.StatusOK, http.MethodPost, paid+"/pay", `{"paymentReference":"A"}`)
	i.expect(http.StatusOK, http.MethodPost, paid+"/pay", `{"paymentReference":"A"}`)
	i.expect(http.StatusOK, http.MethodPost, cancelled+"/cancel", `{"reason":"first"}`)
	again := i.expect(http.StatusOK, http.MethodPost, cancelled+"/cancel", `{"reason":"second"}`)
	var shown struct{ CancellationReason string }
	s.must(json.Unmarshal(again.body, &shown))
	if shown.CancellationReason != "first" {
		t.Errorf("cancelling again changed the reason to %q", shown.CancellationReason)
	}
	for _, refused := range []struct{ path, body, status string }{
		{paid + "/pay", `{"paymentReference":"B"}`, "paid"},
		{paid + "/cancel", "", "paid"},
		{cancelled + "/pay", "", "cancelled"},
	} {
		a := i.expect(http.StatusConflict, http.MethodPost, refused.path, refused.body)
		var details struct{ Code, CurrentStatus string }
		s.must(json.Unmarshal(a.body, &details))
		if details.Code != invoice.CodeInvalidTransition || details.CurrentStatus != refused.status {
			t.Errorf("%s: %s", refused.path, a.body)
		}
	}
	if n := s.count("outbox WHERE aggregate_type = 'Invoice'"); n != 4 {
		t.Errorf("%d events for four changes", n)
	}
}
