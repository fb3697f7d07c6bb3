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
)

func (b *bus) publisher(t *testing.T) *Publisher {
	t.Helper()
	p, err := NewPublisher(b.Conn, 5*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

func TestPublishStoresMessageOnce(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.publisher(t)
	batch := messages(0, 10)
	for range 2 {
		if err := errors.Join(p.Publish(timeout(t), batch)...); err != nil {
			t.Fatal(err)
		}
	}
	got := b.stored(t)
	slices.Sort(got)
	if !slices.Equal(got, ids(batch)) {
		t.Errorf("stored %v, want %v", got, ids(batch))
	}

	msg, err := b.stream.GetLastMsgForSubject(timeout(t), otherSubject)
	if err != nil {
		t.Fatal(err)
	}
	if string(msg.Data) != `{"id":"`+msg.Header.Get(jetstream.MsgIDHeader)+`"}` {
		t.Errorf("payload %s of %s", msg.Data, msg.Header.Get(jetstream.MsgIDHeader))
	}
	if got := msg.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type: %q", got)
	}
	if got := msg.Header.Get("traceparent"); got != batch[0].Traceparent {
		t.Errorf("traceparent: %q", got)
	}
}

func TestPublishReportsEachMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	batch := messages(0, 3)
	batch[1].Payload = make([]byte, b.nc.MaxPayload()) // and a header
	outcomes := b.publisher(t).Publish(timeout(t), batch)
	if outcomes[0] != nil || outcomes[2] != nil || fault.KindOf(outcomes[1]) != fault.Invalid {
		t.Errorf("outcomes %v, want only the second Invalid", outcomes)
	}
	if got := b.stored(t); len(got) != 2 {
		t.Errorf("stored %v", got)
	}
}

func TestPublishAtomicallyKeepsOrder(t *testing.T) {
	t.Parallel()
	b := setup(t)
	p := b.publisher(t)
	for first := 0; first < 1500; first += 500 {
		if err := p.PublishAtomically(timeout(t), messages(first, 500)); err != nil {
			t.Fatal(err)
		}
	}
	if got, want := b.stored(t), ids(messages(0, 1500)); !slices.Equal(got, want) {
		t.Errorf("stored %v", got)
	}
}

func TestPublishAtomicallyRejectsWholeBatch(t *testing.T) {
	t.Parallel()
	for name, prepare := range map[string]func(t *testing.T, b *bus, batch []messaging.Message) []messaging.Message{
		"id that the stream has": func(t *testing.T, b *bus, batch []messaging.Message) []messaging.Message {
			t.Helper()
			if err := errors.Join(b.publisher(t).Publish(timeout(t), batch[60:61])...); err != nil {
				t.Fatal(err)
			}
			return batch
		},
		"id twice": func(_ *testing.T, _ *bus, batch []messaging.Message) []messaging.Message {
			batch[3].ID = batch[2].ID
			return batch
		},
		"message that is too large": func(_ *testing.T, b *bus, batch []messaging.Message) []messaging.Message {
			batch[99].Payload = make([]byte, b.nc.MaxPayload()-100)
			return batch
		},
		"too many messages": func(*testing.T, *bus, []messaging.Message) []messaging.Message {
			return messages(0, 1001)
		},
		"stream without atomic batches": func(t *testing.T, b *bus, batch []messaging.Message) []messaging.Message {
			t.Helper()
			config := b.stream.CachedInfo().Config
			config.AllowAtomicPublish = false
			if _, err := b.js.UpdateStream(timeout(t), config); err != nil {
				t.Fatal(err)
			}
			return batch
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			batch := prepare(t, b, messages(0, 100))
			before := len(b.stored(t))
			if err := b.publisher(t).PublishAtomically(timeout(t), batch); !errors.Is(err, messaging.ErrBatchRejected) {
				t.Errorf("%v, want ErrBatchRejected", err)
			}
			if got := len(b.stored(t)) - before; got != 0 {
				t.Errorf("%d messages were stored", got)
			}
		})
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
	t.Run("when the time is up", func(t *testing.T) {
		t.Parallel()
		b := setup(t)
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := b.publisher(t).PublishAtomically(ctx, messages(0, 100)); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("batch: %v, want an Unavailable error", err)
		}
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
