package main

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
)

var demo = map[string]string{"BILLING_CONSOLE": "demo"}

// What a page does with what it is told.
type (
	consoleState struct {
		Mode, Relay  string
		Dependencies []struct {
			Name, Detail string
			Up           bool
		}
		Invoices    []struct{ ID, Status string }
		DeadLetters []consoleLetter
	}
	consoleLetter struct {
		Sequence                                    int
		FailedAt                                    time.Time
		Subject, EventID, InvoiceID, Error, Payload string
		Deliveries                                  int
		Replayed                                    bool
	}
	consoleSample struct {
		At                                    time.Time
		CommandsPerSecond, PublishedPerSecond float64
		Backlog, ConsumerLag, DeadLetters     *int
		OldestAgeSeconds                      *float64
		CommitToStreamMs                      *struct{ P50, P99 float64 }
		Redeliveries                          int
	}
	consoleTimeline struct {
		Invoice  *struct{ ID, Status string }
		TraceIDs []string
		Events   []consoleStep
	}
	consoleStep struct {
		ID, Type, AggregateID, CorrelationID, CausationID, TraceID, Blocked string
		Version                                                             int
		RecordedAt, PublishedAt                                             time.Time
		Stream                                                              *struct {
			Sequence int
			StoredAt time.Time
		}
		Deliveries []struct {
			Attempt int
			At      time.Time
			Outcome string
			TookMs  float64
			Error   string
		}
		Consumed bool
		Effect   *struct {
			Kind, ID, Number string
			IssuedAt         time.Time
		}
	}
)

// watcher is an open stream of the console, and the last of what it was told.
type watcher struct {
	*instance
	response *http.Response
	ended    chan struct{}

	mu       sync.Mutex
	state    *consoleState
	timeline *consoleTimeline
	samples  []consoleSample
	names    []string // of all events
}

// watch opens a stream. The test closes it.
func (i *instance) watch(query string) *watcher {
	i.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	i.Cleanup(cancel)
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, i.url+"/console/stream"+query, http.NoBody)
	i.must(err)
	response, err := http.DefaultClient.Do(request)
	i.must(err)
	i.Cleanup(func() { _ = response.Body.Close() })
	w := &watcher{instance: i, response: response, ended: make(chan struct{})}
	if response.StatusCode == http.StatusOK {
		go w.read()
	}
	return w
}

func (w *watcher) read() {
	defer close(w.ended)
	lines := bufio.NewScanner(w.response.Body)
	lines.Buffer(nil, 1<<20)
	name := ""
	for lines.Scan() {
		switch field, value, _ := strings.Cut(lines.Text(), ": "); field {
		case "event":
			name = value
		case "data":
			w.take(name, []byte(value))
		}
	}
}

func (w *watcher) take(name string, data []byte) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.names = append(w.names, name)
	var err error
	switch name {
	case "state":
		w.state = &consoleState{}
		err = json.Unmarshal(data, w.state)
	case "timeline":
		w.timeline = &consoleTimeline{}
		err = json.Unmarshal(data, w.timeline)
	case "samples":
		err = json.Unmarshal(data, &w.samples)
	case "sample":
		var s consoleSample
		err = json.Unmarshal(data, &s)
		w.samples = append(w.samples, s)
	default:
		err = fmt.Errorf("unknown event %q", name)
	}
	if err != nil {
		w.Errorf("%s: %v\n%s", name, err, data)
	}
}

// sees waits until the state is as isTrue wants it.
func (w *watcher) sees(what string, isTrue func(s consoleState) bool) {
	w.Helper()
	w.eventually(what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.state != nil && isTrue(*w.state)
	})
}

// follows waits until the timeline is as isTrue wants it.
func (w *watcher) follows(what string, isTrue func(t consoleTimeline) bool) consoleTimeline {
	w.Helper()
	var last consoleTimeline
	w.eventually(what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		if w.timeline != nil {
			last = *w.timeline
		}
		return w.timeline != nil && isTrue(last)
	})
	return last
}

// measures waits for a sample as isTrue wants it.
func (w *watcher) measures(what string, isTrue func(s consoleSample) bool) {
	w.Helper()
	w.eventually(what, func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return slices.ContainsFunc(w.samples, isTrue)
	})
}

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
		return s.PublishedPerSecond > 0 && s.CommitToStreamMs != nil && s.CommitToStreamMs.P50 > 0 && *s.Backlog == 0 && *s.ConsumerLag == 0 && *s.DeadLetters == 0
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
