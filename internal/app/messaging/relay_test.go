package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/winaity/billing/internal/domain/fault"
)

// Invariant 2, order: whatever the stream refuses, and however often, no event
// of an aggregate is written before an earlier one of it. The outbox and the
// stream here are models that fail at random; the real ones are put to the same
// test in cmd/billing.
func TestNoFailureLetsAnEventOvertakeAnother(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		stream := &unreliableStream{t: t, seen: map[string]bool{}, last: map[string]int{}, healthyAfter: rapid.IntRange(0, 200).Draw(t, "failures")}
		outbox := &modelOutbox{}
		versions := map[string]int{}
		for n := range rapid.IntRange(1, 150).Draw(t, "events") {
			aggregate := rapid.SampledFrom([]string{"a", "b", "c", "d"}).Draw(t, "aggregate")
			versions[aggregate]++
			outbox.waiting = append(outbox.waiting, Message{
				ID: fmt.Sprint("evt_", n), AggregateID: aggregate, Payload: []byte(fmt.Sprint(versions[aggregate])),
			})
		}
		relay := NewRelay(outbox, stream, NewSignal(), RelayOptions{
			BatchSize: rapid.IntRange(1, 100).Draw(t, "batch size"), PollInterval: time.Second, BatchTimeout: time.Second,
		}, NoObserver{}, slog.New(slog.DiscardHandler))
		for len(outbox.waiting) > 0 {
			if _, err := relay.batch(context.Background()); err != nil && fault.KindOf(err) != fault.Unavailable {
				t.Fatal(err)
			}
		}
		for aggregate, version := range versions {
			if stream.last[aggregate] != version {
				t.Fatalf("aggregate %s: %d of %d events in the stream", aggregate, stream.last[aggregate], version)
			}
		}
	})
}

// modelOutbox is an outbox whose transaction may be rolled back after the
// messages were published.
type modelOutbox struct{ waiting []Message }

func (o *modelOutbox) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []Message) []error) (int, error) {
	handed, size := 0, limit
	for full, acknowledged := true, true; full && acknowledged; size = 2 * limit {
		batch := o.waiting[:min(size, len(o.waiting))]
		var left []Message
		for i, err := range publish(ctx, batch) {
			if err != nil {
				left = append(left, batch[i])
			}
		}
		handed += len(batch)
		full, acknowledged = len(batch) == size, len(left) == 0
		o.waiting = append(left, o.waiting[len(batch):]...)
	}
	return handed, nil
}

// unreliableStream loses messages, and acknowledgements of messages it has.
type unreliableStream struct {
	t            *rapid.T
	seen         map[string]bool
	last         map[string]int // aggregate → version
	healthyAfter int
}

var errLost = fault.New(fault.Unavailable, "lost", "lost")

func (s *unreliableStream) Publish(_ context.Context, messages []Message) []error {
	outcomes := make([]error, len(messages))
	for i, m := range messages {
		switch s.fate() {
		case "lost":
			outcomes[i] = errLost
		case "unacknowledged":
			s.write(m)
			outcomes[i] = errLost
		default:
			s.write(m)
		}
	}
	return outcomes
}

func (s *unreliableStream) PublishAtomically(_ context.Context, messages []Message) error {
	for _, m := range messages {
		if s.seen[m.ID] {
			return ErrBatchRejected
		}
	}
	fate := s.fate()
	if fate == "lost" {
		return errLost
	}
	for _, m := range messages {
		s.write(m)
	}
	if fate == "unacknowledged" {
		return errLost
	}
	return nil
}

func (s *unreliableStream) fate() string {
	if s.healthyAfter == 0 {
		return "stored"
	}
	s.healthyAfter--
	return rapid.SampledFrom([]string{"stored", "lost", "unacknowledged"}).Draw(s.t, "fate")
}

func (s *unreliableStream) write(m Message) {
	if s.seen[m.ID] {
		return
	}
	s.seen[m.ID] = true
	if version := string(m.Payload); version != fmt.Sprint(s.last[m.AggregateID]+1) {
		s.t.Fatalf("version %s of %s follows version %d", version, m.AggregateID, s.last[m.AggregateID])
	}
	s.last[m.AggregateID]++
}

func TestRelayIsWokenByTheSignalOnly(t *testing.T) {
	batches := make(chan struct{})
	outbox := outboxFunc(func() (int, error) { batches <- struct{}{}; return 0, nil })
	wake := NewSignal()
	relay := NewRelay(outbox, nil, wake, RelayOptions{BatchSize: 1, PollInterval: time.Hour, BatchTimeout: time.Second}, NoObserver{}, slog.New(slog.DiscardHandler))
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); relay.Run(ctx) }()
	<-batches // the look at start
	wake.Notify()
	wake.Notify()
	<-batches
	cancel()
	for {
		select {
		case <-batches: // the second signal may have found it awake
		case <-done:
			return
		}
	}
}

func TestRelayTriesAgainUntilTheOutboxWasItsOwn(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	busy := 3
	outbox := outboxFunc(func() (int, error) {
		if busy--; busy >= 0 {
			return 0, ErrBusy
		}
		cancel()
		return 0, nil
	})
	NewRelay(outbox, nil, NewSignal(), RelayOptions{BatchSize: 1, PollInterval: time.Hour, BatchTimeout: time.Second}, NoObserver{}, slog.New(slog.DiscardHandler)).Run(ctx)
	if busy >= 0 {
		t.Errorf("gave up with %d tries to go", busy)
	}
}

type outboxFunc func() (int, error)

func (f outboxFunc) PublishBatch(context.Context, int, func(context.Context, []Message) []error) (int, error) {
	return f()
}

func TestHeldBackIsNoFailureOfItsOwn(t *testing.T) {
	relay := NewRelay(&modelOutbox{}, refusing{}, NewSignal(), RelayOptions{BatchSize: 2, BatchTimeout: time.Second}, NoObserver{}, slog.New(slog.DiscardHandler))
	outcomes := relay.publish(t.Context(), []Message{{ID: "1", AggregateID: "a"}, {ID: "2", AggregateID: "a"}})
	if !errors.Is(outcomes[0], errLost) || !errors.Is(outcomes[1], ErrHeldBack) {
		t.Errorf("got %v", outcomes)
	}
}

type refusing struct{ Publisher }

func (refusing) Publish(_ context.Context, messages []Message) []error {
	if len(messages) != 1 {
		panic("more than one message of an aggregate in flight")
	}
	return []error{errLost}
}

// A process that was stopped, and goes on after the time for its batch, must not
// publish: another instance has published the batch, and maybe what follows.
func TestNothingIsPublishedAfterTheTimeForABatch(t *testing.T) {
	relay := NewRelay(&modelOutbox{}, forbidden{}, NewSignal(), RelayOptions{BatchSize: 100, BatchTimeout: time.Second}, NoObserver{}, slog.New(slog.DiscardHandler))
	for _, size := range []int{1, atomicFrom} {
		for i, err := range relay.publish(overdue{}, make([]Message, size)) {
			if err == nil {
				t.Errorf("message %d of %d counts as published", i, size)
			}
		}
	}
}

// overdue is a context whose deadline has passed and whose timer has not run.
type overdue struct{}

func (overdue) Deadline() (time.Time, bool) { return time.Now().Add(-time.Second), true }
func (overdue) Done() <-chan struct{}       { return nil }
func (overdue) Err() error                  { return nil }
func (overdue) Value(any) any               { return nil }

type forbidden struct{}

func (forbidden) Publish(context.Context, []Message) []error { panic("published") }

func (forbidden) PublishAtomically(context.Context, []Message) error { panic("published") }
