package invoice_test

import (
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/numbering"
)

var issuedAt = time.Date(2026, 3, 31, 23, 59, 59, 123456000, time.UTC)

func issue(t interface{ Fatal(...any) }) *invoice.Invoice {
	i, err := invoice.Issue(invoice.Draft{
		ID:         "inv_1",
		CustomerID: "cust_42",
		Total:      money.New(15000, "EUR"),
	}, numbering.Number{Series: invoice.Series, Ordinal: 7, TakenAt: issuedAt})
	if err != nil {
		t.Fatal(err)
	}
	return i
}

func TestIssue(t *testing.T) {
	i := issue(t)
	s := i.Snapshot()
	if s.Number != "INV-2026-0007" || s.Status != invoice.StatusIssued || s.Version != 1 || s.DueDate.String() != "2026-04-30" {
		t.Errorf("unexpected invoice: %+v", s)
	}
	events := i.FlushEvents()
	if len(events) != 1 || events[0].Type != invoice.TypeIssued || events[0].Version != 1 || !events[0].OccurredAt.Equal(issuedAt) {
		t.Errorf("unexpected events: %+v", events)
	}
	if i.Changed() {
		t.Error("events that were flushed are still pending")
	}
}

func TestDueDateMayBeTodayAnywhereInTheWorldButNotBefore(t *testing.T) {
	for issued, earliest := range map[string]string{
		"2026-03-31T11:59:59.999999Z":      "2026-03-30",
		"2026-03-31T12:00:00Z":             "2026-03-31",
		"2026-03-31T17:37:00-07:00":        "2026-03-31", // Los Angeles, when it is April in UTC
		"2026-01-01T11:59:59.999999Z":      "2025-12-31",
		"2026-01-01T12:00:00Z":             "2026-01-01",
		"2028-03-01T00:00:00Z":             "2028-02-29",
		"2026-01-01T13:59:59.999999+14:00": "2025-12-31", // Kiritimati
		"2026-01-02T01:59:59.999999+14:00": "2025-12-31",
		"2026-01-02T02:00:00+14:00":        "2026-01-01",
	} {
		takenAt, err := time.Parse(time.RFC3339, issued)
		if err != nil {
			t.Fatal(err)
		}
		number := numbering.Number{Series: invoice.Series, Ordinal: 1, TakenAt: takenAt}
		draft := invoice.Draft{ID: "inv_1", CustomerID: "c", Total: money.New(1, "EUR")}
		if draft.DueDate, err = invoice.ParseDate(earliest); err != nil {
			t.Fatal(err)
		}
		if i, err := invoice.Issue(draft, number); err != nil || i.Snapshot().DueDate != draft.DueDate {
			t.Errorf("issued at %s, due on %s: %v", issued, earliest, err)
		}
		draft.DueDate = draft.DueDate.AddDays(-1)
		_, err = invoice.Issue(draft, number)
		e, ok := errors.AsType[*fault.Error](err)
		if !ok || e.Code != fault.CodeValidation || len(e.Fields) != 1 || e.Fields[0].Name != "dueDate" || !strings.Contains(e.Fields[0].Detail, earliest) {
			t.Errorf("issued at %s, due the day before %s: got %v, want a validation error on dueDate", issued, earliest, err)
		}
	}
}

// The aggregate against a model of it: any sequence of commands leaves it in
// the state that the first effective one led to, and records one event for it.
func TestStateMachine(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		i := issue(t)
		history := i.FlushEvents()
		status, reference := invoice.StatusIssued, invoice.PaymentReference("")

		references := rapid.SampledFrom([]invoice.PaymentReference{"", "A", "B"})
		t.Repeat(map[string]func(*rapid.T){
			"pay": func(t *rapid.T) {
				with := references.Draw(t, "reference")
				allowed := status == invoice.StatusIssued || (status == invoice.StatusPaid && reference == with)
				expect(t, i.Pay(with, issuedAt.Add(time.Hour)), allowed)
				if status == invoice.StatusIssued {
					status, reference = invoice.StatusPaid, with
				}
			},
			"cancel": func(t *rapid.T) {
				expect(t, i.Cancel("because", issuedAt.Add(time.Hour)), status != invoice.StatusPaid)
				if status == invoice.StatusIssued {
					status = invoice.StatusCancelled
				}
			},
			"restore": func(*rapid.T) {
				history = append(history, i.FlushEvents()...)
				i = invoice.Restore(i.Snapshot())
			},
			"": func(t *rapid.T) {
				check(t, i, slices.Concat(history, pending(i)), status, reference)
			},
		})
	})
}

func pending(i *invoice.Invoice) []event.Event {
	// A look that takes nothing away: the events of a copy.
	copied := *i
	return copied.FlushEvents()
}

func expect(t *rapid.T, err error, allowed bool) {
	t.Helper()
	if allowed && err != nil {
		t.Fatalf("refused: %v", err)
	}
	if !allowed && fault.KindOf(err) != fault.Conflict {
		t.Fatalf("got %v, want a conflict", err)
	}
}

func check(t *rapid.T, i *invoice.Invoice, events []event.Event, status invoice.Status, reference invoice.PaymentReference) {
	t.Helper()
	s := i.Snapshot()
	if s.Status != status || s.PaymentReference != reference {
		t.Fatalf("got %s with reference %q, want %s with %q", s.Status, s.PaymentReference, status, reference)
	}
	if s.PaidAt.IsZero() == (status == invoice.StatusPaid) || s.CancelledAt.IsZero() == (status == invoice.StatusCancelled) {
		t.Fatalf("dates do not fit the status: %+v", s)
	}
	if s.Version != len(events) {
		t.Fatalf("version %d after %d events", s.Version, len(events))
	}
	for n, e := range events {
		if e.Version != n+1 || e.AggregateID != s.ID || e.OccurredAt.Before(s.IssuedAt) {
			t.Fatalf("event %d does not follow the ones before: %+v", n, e)
		}
	}
}

func TestNothingIsSettledBeforeItWasIssued(t *testing.T) {
	i := issue(t)
	if err := i.Pay("", issuedAt.Add(-time.Second)); err != nil {
		t.Fatal(err)
	}
	if paidAt := i.Snapshot().PaidAt; !paidAt.Equal(issuedAt) {
		t.Errorf("paid at %s, issued at %s", paidAt, issuedAt)
	}
}

func TestRefusalTellsTheStatus(t *testing.T) {
	i := issue(t)
	if err := i.Cancel("", issuedAt); err != nil {
		t.Fatal(err)
	}
	e, ok := errors.AsType[*fault.Error](i.Pay("", issuedAt))
	if !ok || e.Code != invoice.CodeInvalidTransition || e.Details["currentStatus"] != invoice.StatusCancelled {
		t.Errorf("unexpected refusal: %+v", e)
	}
}

func TestText(t *testing.T) {
	for name, text := range map[string]string{
		"plain": "RF18 5390 0754 7034", "accents": "Élodie – Größe", "ideographic space": "山田　太郎",
		"family emoji": "👨‍👩‍👧", "longest": strings.Repeat("é", 140),
	} {
		if got, err := invoice.ParsePaymentReference(text); err != nil || string(got) != text {
			t.Errorf("%s: got %q, %v", name, got, err)
		}
	}
	for name, text := range map[string]string{
		"empty": "", "too long": strings.Repeat("é", 141), "line break": "a\nb", "NUL": "a\x00", "DEL": "a\x7f",
		"bidi override": "a\u202eb", "line separator": "a\u2028b",
	} {
		if got, err := invoice.ParsePaymentReference(text); err == nil {
			t.Errorf("%s: %q was taken", name, got)
		}
	}
	if _, err := invoice.ParseReason(strings.Repeat("x", 500)); err != nil {
		t.Error(err)
	}
}

func TestParseDate(t *testing.T) {
	for _, text := range []string{"2026-02-29", "2026-2-1", "26-02-01", "2026-02-01T00:00:00Z", "", "tomorrow"} {
		if d, err := invoice.ParseDate(text); err == nil {
			t.Errorf("%q was taken for %s", text, d)
		}
	}
	d, err := invoice.ParseDate("2028-02-29")
	if err != nil {
		t.Fatal(err)
	}
	if text, err := json.Marshal(d); err != nil || string(text) != `"2028-02-29"` {
		t.Errorf("marshals to %s, %v", text, err)
	}
}
