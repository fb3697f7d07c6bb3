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
	"time"
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

// is reports whether a number is known and what it should be.
func is(number *int, want int) bool { return number != nil && *number == want }

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

// redeliveries returns how many there were in all samples.
func (w *watcher) redeliveries() (n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.samples {
		n += s.Redeliveries
	}
	return n
}

// poison publishes a poison and returns its event's id.
func (i *instance) poison(kind string) string {
	i.Helper()
	var made struct{ EventID string }
	i.must(json.Unmarshal(i.expect(http.StatusAccepted, http.MethodPost, "/console/poison?kind="+kind, "").body, &made))
	return made.EventID
}

// letterOf returns the sequence of the letter for an event.
func (w *watcher) letterOf(eventID string) (sequence int) {
	w.Helper()
	w.sees("the letter of "+eventID, func(s consoleState) bool {
		for _, l := range s.DeadLetters {
			if l.EventID == eventID {
				sequence = l.Sequence
			}
		}
		return sequence != 0
	})
	return sequence
}
