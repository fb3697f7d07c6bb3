package conformance

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// Stream is an empty stream, and a consumer of it that gives up a message after
// three deliveries.
type Stream struct {
	messaging.Publisher
	messaging.Source
	messaging.DeadLetters
	Handled, Other string // subjects that the consumer wants, and that it does not
	TooLarge       int    // a payload of so many bytes is not taken
	// Stored returns the ids of the stream's messages, in order.
	Stored func(t *testing.T) []string
	// Letters returns the payloads of the dead letters.
	Letters func(t *testing.T) []string
	// Open returns how many messages wait for a delivery or an answer.
	Open func(t *testing.T) int
}

// Streams tests a messaging.Publisher, a messaging.Source and a
// messaging.DeadLetters. Its ack wait should be short.
func Streams(t *testing.T, open func(t *testing.T) Stream) {
	t.Helper()
	for name, test := range map[string]func(s Stream, t *testing.T){
		"a message is stored once":                   Stream.storesOnce,
		"each message has its outcome":               Stream.reportsEach,
		"an atomic batch keeps its order":            Stream.keepsOrder,
		"an atomic batch is stored as a whole":       Stream.storesAllOrNothing,
		"a batch is not published out of time":       Stream.isUnavailable,
		"a delivery has its message":                 Stream.delivers,
		"an answered message does not come again":    Stream.isAnswered,
		"a message comes again":                      Stream.redelivers,
		"an answer that comes late is one":           Stream.isAnsweredLate,
		"waiting ends with its context":              Stream.stopsWaiting,
		"a message is parked once":                   Stream.parksOnce,
		"what the consumer does not want is skipped": Stream.skips,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(open(t), t)
		})
	}
}

// batch returns n messages with ids from evt_<first> on.
func batch(subject string, first, n int) []messaging.Message {
	messages := make([]messaging.Message, n)
	for i := range messages {
		id := fmt.Sprint("evt_", first+i)
		messages[i] = messaging.Message{
			ID: id, Subject: subject, AggregateID: id, Payload: fmt.Appendf(nil, `{"id":%q}`, id),
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		}
	}
	return messages
}

func (s Stream) put(t *testing.T, first, n int) {
	t.Helper()
	must(t, errors.Join(s.Publish(within(t), batch(s.Handled, first, n))...))
}

func (s Stream) next(t *testing.T) messaging.Delivery {
	t.Helper()
	d, err := s.Next(within(t))
	must(t, err)
	return d
}

// stores fails the test unless these messages are stored, in any order.
func (s Stream) stores(t *testing.T, want ...string) {
	t.Helper()
	got := s.Stored(t)
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("stored %v, want %v", got, want)
	}
}

func (s Stream) storesOnce(t *testing.T) {
	t.Helper()
	messages := batch(s.Other, 0, 10)
	for range 2 {
		must(t, errors.Join(s.Publish(within(t), messages)...))
	}
	s.stores(t, ids(messages)...)
}

func (s Stream) reportsEach(t *testing.T) {
	t.Helper()
	messages := batch(s.Other, 0, 3)
	messages[1].Payload = make([]byte, s.TooLarge)
	outcomes := s.Publish(within(t), messages)
	if outcomes[0] != nil || outcomes[2] != nil || fault.KindOf(outcomes[1]) != fault.Invalid {
		t.Errorf("outcomes %v, want only the second Invalid", outcomes)
	}
	s.stores(t, "evt_0", "evt_2")
}

func (s Stream) keepsOrder(t *testing.T) {
	t.Helper()
	for first := 0; first < 1500; first += 500 {
		must(t, s.PublishAtomically(within(t), batch(s.Other, first, 500)))
	}
	if got, want := s.Stored(t), ids(batch(s.Other, 0, 1500)); !slices.Equal(got, want) {
		t.Errorf("stored %v", got)
	}
	must(t, s.PublishAtomically(within(t), nil))
}

func (s Stream) storesAllOrNothing(t *testing.T) {
	t.Helper()
	must(t, errors.Join(s.Publish(within(t), batch(s.Other, 60, 1))...))
	twice, large := batch(s.Other, 100, 100), batch(s.Other, 200, 100)
	twice[3].ID, large[99].Payload = twice[2].ID, make([]byte, s.TooLarge)
	for name, messages := range map[string][]messaging.Message{
		"id that the stream has":    batch(s.Other, 0, 100),
		"id twice":                  twice,
		"message that is too large": large,
		"too many messages":         batch(s.Other, 1000, messaging.MaxBatch+1),
	} {
		if err := s.PublishAtomically(within(t), messages); !errors.Is(err, messaging.ErrBatchRejected) {
			t.Errorf("%s: %v, want ErrBatchRejected", name, err)
		}
	}
	s.stores(t, "evt_60")
}

func (s Stream) isUnavailable(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := s.PublishAtomically(ctx, batch(s.Other, 0, 100)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("batch: %v, want an Unavailable error", err)
	}
}

func (s Stream) delivers(t *testing.T) {
	t.Helper()
	s.put(t, 0, 1)
	d, want := s.next(t), batch(s.Handled, 0, 1)[0]
	if d.Subject() != want.Subject || string(d.Payload()) != string(want.Payload) || d.Traceparent() != want.Traceparent || d.Attempt() != 1 {
		t.Errorf("%s %q, trace %q, attempt %d", d.Subject(), d.Payload(), d.Traceparent(), d.Attempt())
	}
}

func (s Stream) isAnswered(t *testing.T) {
	t.Helper()
	s.put(t, 0, 1)
	must(t, s.next(t).Ack(within(t)))
	s.put(t, 1, 1)
	must(t, s.next(t).Terminate(within(t), "no\nuse"))
	eventually(t, "all is answered", func() bool { return s.Open(t) == 0 })
	s.put(t, 2, 1)
	if d := s.next(t); string(d.Payload()) != `{"id":"evt_2"}` || d.Attempt() != 1 {
		t.Errorf("%s came again", d.Payload())
	}
}

func (s Stream) redelivers(t *testing.T) {
	t.Helper()
	s.put(t, 0, 1)
	must(t, s.next(t).Retry(within(t), 10*time.Millisecond))
	d := s.next(t)
	if d.Attempt() != 2 {
		t.Errorf("after Retry: attempt %d, want 2", d.Attempt())
	}
	must(t, d.Extend(within(t)))
	// No answer: the ack wait runs out.
	if d := s.next(t); d.Attempt() != 3 {
		t.Errorf("without an answer: attempt %d, want 3", d.Attempt())
	}
	// And again: it is given up.
	ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
	defer cancel()
	if d, err := s.Next(ctx); err == nil {
		t.Errorf("attempt %d of 3", d.Attempt())
	}
}

func (s Stream) isAnsweredLate(t *testing.T) {
	t.Helper()
	s.put(t, 0, 1)
	late := s.next(t)
	if d := s.next(t); d.Attempt() != 2 {
		t.Errorf("without an answer: attempt %d, want 2", d.Attempt())
	}
	must(t, late.Ack(within(t)))
	eventually(t, "the second delivery is answered by the first one", func() bool { return s.Open(t) == 0 })
}

func (s Stream) stopsWaiting(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), short)
	defer cancel()
	if d, err := s.Next(ctx); d != nil || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v, %v", d, err)
	}
}

func (s Stream) parksOnce(t *testing.T) {
	t.Helper()
	s.put(t, 0, 2)
	for range 2 {
		d := s.next(t)
		for range 2 {
			must(t, s.Park(within(t), d, errChangedMind))
		}
		must(t, d.Terminate(within(t), ""))
	}
	letters := s.Letters(t)
	slices.Sort(letters)
	if !slices.Equal(letters, []string{`{"id":"evt_0"}`, `{"id":"evt_1"}`}) {
		t.Errorf("the letters are of %v", letters)
	}
	if err := s.Park(within(t), nil, errChangedMind); err == nil {
		t.Error("a delivery of somebody else was parked")
	}
}

func (s Stream) skips(t *testing.T) {
	t.Helper()
	must(t, errors.Join(s.Publish(within(t), batch(s.Other, 0, 3))...))
	s.put(t, 3, 1)
	if d := s.next(t); d.Subject() != s.Handled {
		t.Errorf("got %s", d.Subject())
	}
}
