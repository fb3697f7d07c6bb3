package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
)

// The page shows how a receipt comes to be, step by step, while it happens.
func TestConsoleFollowsAnInvoice(t *testing.T) {
	s := newStack(t)
	i := s.serve(demo)
	const correlation, traceparent = "corr-of-the-test", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	id := i.issue("X-Correlation-ID", correlation, "traceparent", traceparent)
	w := i.watch("?invoice=" + id)
	if got := w.response.Header.Get("Content-Type"); got != "text/event-stream" {
		t.Errorf("Content-Type: %s", got)
	}
	w.sees("the invoice", func(s consoleState) bool {
		return s.Mode == "demo" && s.Relay == "running" && len(s.Invoices) == 1 && s.Invoices[0].ID == id && s.Invoices[0].Status == "issued" && len(s.Dependencies) == 3
	})
	w.follows("one event", func(t consoleTimeline) bool { return len(t.Events) == 1 && t.Events[0].Stream != nil })

	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", "", "X-Correlation-ID", correlation, "traceparent", traceparent)
	w.sees("that it is paid", func(s consoleState) bool { return s.Invoices[0].Status == "paid" })
	got := w.follows("three events in the stream", func(t consoleTimeline) bool {
		return len(t.Events) == 3 && !slices.ContainsFunc(t.Events, func(e consoleStep) bool { return e.Stream == nil }) && len(t.Events[1].Deliveries) == 1
	})
	if got.Invoice.ID != id || got.Invoice.Status != "paid" || !slices.Equal(got.TraceIDs, []string{traceparent[3:35]}) {
		t.Errorf("the timeline is of %+v with traces %v", got.Invoice, got.TraceIDs)
	}
	for n, want := range []struct {
		eventType, causation string
		version              int
		consumed             bool
	}{{invoice.TypeIssued, "", 1, false}, {invoice.TypePaid, "", 2, true}, {document.TypeReceiptIssued, got.Events[1].ID, 1, false}} {
		e := got.Events[n]
		if e.Type != want.eventType || e.CausationID != want.causation || e.Version != want.version || e.Consumed != want.consumed ||
			e.CorrelationID != correlation || e.TraceID != traceparent[3:35] || e.Stream.Sequence != n+1 {
			t.Errorf("event %d is %+v, want %+v", n, e, want)
		}
		if e.RecordedAt.IsZero() || e.PublishedAt.IsZero() || e.Stream.StoredAt.Before(e.RecordedAt) {
			t.Errorf("event %d was recorded %s, published %s and stored %s", n, e.RecordedAt, e.PublishedAt, e.Stream.StoredAt)
		}
	}
	paid := got.Events[1]
	if d := paid.Deliveries[0]; d.Attempt != 1 || d.Outcome != "handled" || d.TookMs <= 0 || d.At.IsZero() || d.Error != "" {
		t.Errorf("the delivery is %+v", d)
	}
	if receipt := i.get(id).invoice().Receipt; paid.Effect == nil || paid.Effect.Kind != "receipt" || paid.Effect.ID != receipt.ID || paid.Effect.Number != receipt.Number || paid.Effect.ID != got.Events[2].AggregateID {
		t.Errorf("the effect is %+v, want %+v", paid.Effect, receipt)
	}
	w.measures("what was published", func(s consoleSample) bool {
		return s.PublishedPerSecond > 0 && s.CommitToStreamMs != nil && s.CommitToStreamMs.P50 > 0
	})
	w.measures("that nothing is left to do", func(s consoleSample) bool {
		return s.At.After(got.Events[2].PublishedAt) && is(s.Backlog, 0) && is(s.ConsumerLag, 0) && is(s.DeadLetters, 0)
	})
	w.measures("a command", func(s consoleSample) bool { return s.CommandsPerSecond > 0 })

	later := i.watch("?invoice=inv_unknown")
	later.follows("that there is no such invoice", func(t consoleTimeline) bool { return t.Invoice == nil && t.Events == nil })
	later.measures("what was before it came", func(s consoleSample) bool { return s.PublishedPerSecond > 0 })
	later.mu.Lock()
	defer later.mu.Unlock()
	if later.names[0] != "samples" {
		t.Errorf("it was first told %v", later.names)
	}
}

// The page shows what cannot be handled, and mends it.
func TestConsolePoisonsAndReplays(t *testing.T) {
	s := newStack(t)
	i := s.serve(demo)
	w := i.watch("")
	w.measures("that the streams are there", func(s consoleSample) bool { return s.ConsumerLag != nil })

	garbage := i.poison("garbage")
	w.sees("its letter", func(s consoleState) bool {
		return len(s.DeadLetters) == 1 && s.DeadLetters[0].Payload == "this is no event" && s.DeadLetters[0].Deliveries == 1 && s.DeadLetters[0].Error != ""
	})
	unknown := i.poison("unknown-invoice")
	if !strings.HasPrefix(garbage, "evt_") || garbage == unknown {
		t.Errorf("the poisons are %q and %q", garbage, unknown)
	}
	w.sees("its letter, newest first", func(s consoleState) bool {
		if len(s.DeadLetters) != 2 {
			return false
		}
		l := s.DeadLetters[0]
		return l.EventID == unknown && l.Deliveries == 5 && strings.HasPrefix(l.InvoiceID, "inv_") && l.Subject == invoice.TypePaid &&
			!l.Replayed && !l.FailedAt.IsZero() && strings.Contains(l.Payload, unknown)
	})
	w.measures("two letters", func(s consoleSample) bool { return is(s.DeadLetters, 2) })
	if n := w.redeliveries(); n != 4 {
		t.Errorf("%d redeliveries, want 4", n)
	}

	letter := w.letterOf(unknown)
	i.expect(http.StatusNoContent, http.MethodPost, fmt.Sprintf("/console/letters/%d/replay", letter), "")
	w.sees("that it was replayed, and failed again", func(s consoleState) bool {
		return len(s.DeadLetters) == 3 && s.DeadLetters[0].EventID == unknown && !s.DeadLetters[0].Replayed && s.DeadLetters[1].Sequence == letter && s.DeadLetters[1].Replayed
	})
	w.measures("that one of three was replayed", func(s consoleSample) bool { return is(s.DeadLetters, 2) })

	for _, sequence := range []string{"999", "0", "x"} {
		if p := i.expect(http.StatusNotFound, http.MethodPost, "/console/letters/"+sequence+"/replay", "").problem(); p.Code != "not-found" {
			t.Errorf("replay of letter %s: %+v", sequence, p)
		}
	}
	if p := i.expect(http.StatusUnprocessableEntity, http.MethodPost, "/console/poison?kind=cake", "").problem(); p.Code != "validation-failed" {
		t.Errorf("another kind of poison: %+v", p)
	}
}

// While the relay is paused the backlog grows, and afterwards it drains in order.
func TestConsolePausesTheRelay(t *testing.T) {
	s := newStack(t)
	i := s.serve(demo)
	i.awaitReceipt(i.issuePaid())
	s.eventually("all is published", func() bool { return s.count("outbox WHERE published_at IS NULL") == 0 })

	i.expect(http.StatusNoContent, http.MethodPost, "/console/relay/pause", "")
	id := i.issuePaid()
	for range 9 {
		i.issuePaid()
	}
	w := i.watch("?invoice=" + id)
	w.sees("that the relay is paused", func(s consoleState) bool { return s.Relay == "paused" })
	w.measures("a backlog", func(s consoleSample) bool { return is(s.Backlog, 20) && *s.OldestAgeSeconds > 0 })
	waiting := w.follows("two events that wait", func(t consoleTimeline) bool { return len(t.Events) == 2 })
	for _, e := range waiting.Events {
		if !e.PublishedAt.IsZero() || e.Stream != nil || len(e.Deliveries) != 0 || e.Effect != nil {
			t.Errorf("the relay is paused, but got %+v", e)
		}
	}
	if n := len(s.events()); n != 3 {
		t.Errorf("%d events in the stream, want the three from before", n)
	}

	i.expect(http.StatusNoContent, http.MethodPost, "/console/relay/resume", "")
	w.sees("that the relay runs", func(s consoleState) bool { return s.Relay == "running" })
	w.follows("the receipt's event", func(t consoleTimeline) bool { return len(t.Events) == 3 && t.Events[2].Stream != nil })
	w.measures("no backlog", func(s consoleSample) bool { return is(s.Backlog, 0) && s.At.After(waiting.Events[1].RecordedAt) })
	s.prove()
}

// By default there is no console; and one that is only to be read does nothing.
func TestConsoleDoesWhatItsModeAllows(t *testing.T) {
	s := newStack(t)
	buttons := []string{"/console/letters/1/replay", "/console/poison?kind=garbage", "/console/relay/pause", "/console/relay/resume"}

	off := s.serve(nil)
	for _, path := range []string{"/", "/console/index.html", "/console/stream"} {
		off.expect(http.StatusNotFound, http.MethodGet, path, "")
	}
	for _, path := range buttons {
		off.expect(http.StatusNotFound, http.MethodPost, path, "")
	}

	read := s.serve(map[string]string{"BILLING_CONSOLE": "read"})
	page := read.expect(http.StatusOK, http.MethodGet, "/", "")
	tag := page.Header.Get("ETag")
	if page.Header.Get("Content-Type") != "text/html; charset=utf-8" || !strings.Contains(page.Header.Get("Content-Security-Policy"), "default-src 'self'") ||
		page.Header.Get("X-Content-Type-Options") != "nosniff" || tag == "" {
		t.Errorf("the page comes with %v", page.Header)
	}
	read.expect(http.StatusNotModified, http.MethodGet, "/", "", "If-None-Match", tag)
	read.expect(http.StatusNotFound, http.MethodGet, "/console/no-such-file", "")
	read.watch("").sees("the mode", func(s consoleState) bool { return s.Mode == "read" && s.Relay == "running" })
	for _, path := range buttons {
		read.expect(http.StatusNotFound, http.MethodPost, path, "")
	}
}

// A page of another site cannot press the buttons.
func TestConsoleRefusesOtherSites(t *testing.T) {
	i := newStack(t).serve(demo)
	for name, value := range map[string]string{"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"} {
		refused := i.expect(http.StatusForbidden, http.MethodPost, "/console/relay/pause", "", name, value)
		if refused.Header.Get("Content-Type") != "application/problem+json" || refused.problem().Status != http.StatusForbidden {
			t.Errorf("%s: %v %s", name, refused.Header, refused.body)
		}
	}
	i.watch("").sees("that nothing was done", func(s consoleState) bool { return s.Relay == "running" })
}

// As many streams as there may be, one more, and the end of all with the service.
func TestConsoleStreamsAreBoundedAndEndWithTheService(t *testing.T) {
	s := newStack(t)
	i := s.serve(demo)
	watchers := make([]*watcher, 32)
	for n := range watchers {
		watchers[n] = i.watch("")
		watchers[n].sees("the state", func(consoleState) bool { return true })
	}
	if refused := i.expect(http.StatusServiceUnavailable, http.MethodGet, "/console/stream", ""); refused.problem().Status != http.StatusServiceUnavailable || refused.Header.Get("Retry-After") == "" {
		t.Errorf("one stream more: %v %s", refused.Header, refused.body)
	}
	i.expect(http.StatusOK, http.MethodHead, "/console/stream", "")
	i.awaitReceipt(i.issuePaid()) // streams take no place from commands
	s.must(watchers[0].response.Body.Close())
	<-watchers[0].ended
	var next *watcher
	s.eventually("the place is free again", func() bool {
		next = i.watch("")
		return next.response.StatusCode == http.StatusOK
	})
	if code := i.stop(); code != exitOK { // it fails when requests outlast the shutdown timeout
		t.Errorf("it ended with code %d", code)
	}
	<-next.ended
}

// The page shows what is away, and all else goes on; also from the start.
func TestConsoleWithoutNATSAndWithoutPostgres(t *testing.T) {
	s := newStack(t)
	s.must(s.nats.Stop(t.Context()))
	postgres, url := s.newWire(s.database)
	i := s.serve(with(demo, "DATABASE_URL", url))
	w := i.watch("")
	up := func(name string, want bool) func(consoleState) bool {
		return func(s consoleState) bool {
			return slices.ContainsFunc(s.Dependencies, func(d struct {
				Name, Detail string
				Up           bool
			}) bool {
				return d.Name == name && d.Up == want && (d.Detail == "") == want
			})
		}
	}
	w.sees("that NATS is away", up("nats", false))
	id := i.issuePaid()
	w.sees("the invoice all the same", func(s consoleState) bool { return len(s.Invoices) == 1 && s.Invoices[0].Status == "paid" })
	w.measures("what waits", func(s consoleSample) bool {
		return is(s.Backlog, 2) && s.ConsumerLag == nil && s.DeadLetters == nil && s.CommitToStreamMs == nil
	})
	if p := i.expect(http.StatusServiceUnavailable, http.MethodPost, "/console/letters/1/replay", "").problem(); p.Code != "dependency-unavailable" {
		t.Errorf("replay: %+v", p)
	}
	i.expect(http.StatusServiceUnavailable, http.MethodPost, "/console/poison?kind=garbage", "")

	s.must(s.nats.Start(t.Context()))
	w.sees("that NATS is back", up("nats", true))
	i.awaitReceipt(id)

	postgres.hang()
	w.sees("that Postgres is away, and what it said before", func(s consoleState) bool { return up("postgres", false)(s) && len(s.Invoices) == 1 })
	w.measures("no backlog rather than a wrong one", func(s consoleSample) bool { return s.Backlog == nil && s.ConsumerLag != nil })
	postgres.goOn()
	w.sees("that Postgres is back", up("postgres", true))
}
