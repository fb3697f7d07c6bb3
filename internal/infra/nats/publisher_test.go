package natsbus

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/simulation/conformance"
)

func (b *bus) publisher(t *testing.T) *Publisher {
	t.Helper()
	p, err := NewPublisher(b.Conn, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestStream(t *testing.T) {
	t.Parallel()
	conformance.Streams(t, func(t *testing.T) conformance.Stream {
		t.Helper()
		b := setup(t)
		return conformance.Stream{
			Publisher: b.publisher(t), Source: NewSource(b.Conn, EventsStream, Processor), DeadLetters: b.deadLetters(t),
			Handled: handledSubject, Other: otherSubject, TooLarge: int(b.nc.MaxPayload()),
			Stored: b.stored,
			Letters: func(t *testing.T) (payloads []string) {
				t.Helper()
				for _, letter := range b.letters(t) {
					payloads = append(payloads, string(letter.Payload))
				}
				return payloads
			},
			Open: func(t *testing.T) int {
				t.Helper()
				c, err := b.js.Consumer(timeout(t), EventsStream, Processor)
				if err != nil {
					t.Fatal(err)
				}
				return int(c.CachedInfo().NumPending) + c.CachedInfo().NumAckPending
			},
		}
	})
}

func TestPublishedMessageHasItsHeader(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := messages(0, 1)
	if err := errors.Join(b.publisher(t).Publish(timeout(t), batch)...); err != nil {
		t.Fatal(err)
	}
	msg, err := b.stream.GetLastMsgForSubject(timeout(t), otherSubject)
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Data) != string(batch[0].Payload) || msg.Header.Get(jetstream.MsgIDHeader) != batch[0].ID {
		t.Errorf("payload %s of %s", msg.Data, msg.Header.Get(jetstream.MsgIDHeader))
	}
	if got := msg.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: %q", got)
	}
	if got := msg.Header.Get("traceparent"); got != batch[0].Traceparent {
		t.Errorf("traceparent: %q", got)
	}
}

func TestPublishAtomicallyWithoutAtomicBatches(t *testing.T) {
	t.Parallel()
	b := setup(t)
	config := b.stream.CachedInfo().Config
	config.AllowAtomicPublish = false
	if _, err := b.js.UpdateStream(timeout(t), config); err != nil {
		t.Fatal(err)
	}
	if err := b.publisher(t).PublishAtomically(timeout(t), messages(0, 100)); !errors.Is(err, messaging.ErrBatchRejected) {
		t.Errorf("%v, want ErrBatchRejected", err)
	}
	if got := b.stored(t); len(got) != 0 {
		t.Errorf("%d messages were stored", len(got))
	}
}

func TestPublishIsUnavailable(t *testing.T) {
	t.Parallel()
	check := func(t *testing.T, p *Publisher) {
		t.Helper()
		for i, err := range p.Publish(timeout(t), messages(0, 3)) {
			if fault.KindOf(err) != fault.Unavailable {
				t.Errorf("message %d: %v, want an Unavailable error", i, err)
			}
		}
		if err := p.PublishAtomically(timeout(t), messages(0, 100)); fault.KindOf(err) != fault.Unavailable || errors.Is(err, messaging.ErrBatchRejected) {
			t.Errorf("batch: %v, want an Unavailable error", err)
		}
	}
	t.Run("without the stream", func(t *testing.T) {
		t.Parallel()
		check(t, setupEmpty(t).publisher(t))
	})
	t.Run("without the server", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		p := b.publisher(t)
		b.restart(t, func() { check(t, p) })
		eventually(t, "publish after the restart", func(ctx context.Context) error {
			return errors.Join(p.Publish(ctx, messages(0, 3))...)
		})
	})
}

// A server that goes away at any moment costs repetitions, but no message is
// lost, doubled, or overtaken within its aggregate.
func TestPublishThroughRestarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.publisher(t)
	const batches, size = 60, 100
	published := make(chan error, 1)
	ctx := timeout(t)
	progress := make(chan int, batches)
	go func() {
		published <- func() error {
			for i := range batches {
				for {
					err := publishBatch(ctx, p, messages(i*size, size))
					if err == nil {
						break
					}
					if ctx.Err() != nil || fault.KindOf(err) != fault.Unavailable {
						return err
					}
					pause(ctx, 10*time.Millisecond)
				}
				progress <- i
			}
			return nil
		}()
	}()
	for i := range progress {
		if i%20 == 10 {
			b.restart(t, func() {})
		}
		if i == batches-1 {
			break
		}
	}
	if err := <-published; err != nil {
		t.Fatal(err)
	}
	if got, want := b.stored(t), ids(messages(0, batches*size)); !slices.Equal(got, want) {
		t.Errorf("%d messages stored, want %d in their order", len(got), len(want))
	}
}

// publishBatch publishes messages of one aggregate as the relay does.
func publishBatch(ctx context.Context, p *Publisher, batch []messaging.Message) error {
	err := p.PublishAtomically(ctx, batch)
	if !errors.Is(err, messaging.ErrBatchRejected) {
		return err
	}
	for _, m := range batch {
		if err := p.Publish(ctx, []messaging.Message{m})[0]; err != nil {
			return err
		}
	}
	return nil
}

func TestClassifyTellsWhatNeverSucceeds(t *testing.T) {
	t.Parallel()
	for _, test := range []struct {
		err  error
		want fault.Kind
	}{
		{&jetstream.APIError{Code: 400, ErrorCode: 10054}, fault.Invalid},
		{&jetstream.APIError{Code: 400, ErrorCode: 10097}, fault.Invalid},
		{&jetstream.APIError{Code: 503, ErrorCode: 10077}, fault.Unavailable}, // no room
		{&jetstream.APIError{Code: 429, ErrorCode: 10211}, fault.Unavailable},
		{&jetstream.APIError{Code: 400, ErrorCode: 10109}, fault.Internal}, // sealed
		{jetstream.ErrStreamNotFound, fault.NotFound},
		{jetstream.ErrNoStreamResponse, fault.Unavailable},
		{context.DeadlineExceeded, fault.Unavailable},
	} {
		err := classify("act", test.err)
		if got := fault.KindOf(err); got != test.want {
			t.Errorf("%v: %v, want %v", test.err, got, test.want)
		}
		if !strings.Contains(err.Error(), "act") || !errors.Is(err, test.err) {
			t.Errorf("%v: lost in %v", test.err, err)
		}
	}
}
