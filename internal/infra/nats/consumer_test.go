package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// noneOpen waits until the server awaits no answer, and has no more to deliver.
func (b *bus) noneOpen(t *testing.T, stream, consumer string) {
	t.Helper()
	eventually(t, "all messages answered", func(ctx context.Context) error {
		c, err := b.js.Consumer(ctx, stream, consumer)
		if err != nil {
			return err
		}
		info := c.CachedInfo()
		if info.NumPending != 0 || info.NumAckPending != 0 {
			return fmt.Errorf("%d to deliver, %d unanswered", info.NumPending, info.NumAckPending)
		}
		return nil
	})
}

func TestEachDeliveryGoesToOneWorker(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const n, workers = 200, 8
	source := NewSource(b.Conn, EventsStream, Processor)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	deliveries := make(chan messaging.Delivery)
	var working sync.WaitGroup
	for range workers {
		working.Go(func() {
			for ctx.Err() == nil {
				if d, err := source.Next(ctx); err == nil {
					deliveries <- d
				}
			}
		})
	}
	for i := range n {
		b.put(t, strconv.Itoa(i), nil)
	}
	seen := make(map[string]bool)
	for len(seen) < n {
		select {
		case d := <-deliveries:
			if seen[string(d.Payload())] {
				t.Errorf("%s came twice", d.Payload())
			}
			seen[string(d.Payload())] = true
			if err := d.Ack(ctx); err != nil {
				t.Fatal(err)
			}
		case <-timeout(t).Done():
			t.Fatalf("%d of %d came", len(seen), n)
		}
	}
	b.noneOpen(t, EventsStream, Processor)
	cancel()
	working.Wait()
}

// A worker that stops while a message is on its way gets it, or the next worker
// does at once, without waiting for the ack wait.
func TestStoppingStrandsNoMessage(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	b.ensure(t, Settings{Replicas: 1, MaxDeliver: 3, AckWait: time.Hour, Subjects: []string{handledSubject}})
	source := NewSource(b.Conn, EventsStream, Processor)
	for i := range 200 {
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan messaging.Delivery)
		go func() {
			d, _ := source.Next(ctx)
			stopped <- d
		}()
		published := make(chan error)
		go func() {
			_, err := b.js.Publish(t.Context(), handledSubject, []byte(strconv.Itoa(i)))
			published <- err
		}()
		pause(t.Context(), time.Duration(i)*5*time.Microsecond) // another moment each time
		cancel()
		d := <-stopped
		if err := <-published; err != nil {
			t.Fatal(err)
		}
		if d == nil {
			d = b.next(t)
		}
		if string(d.Payload()) != strconv.Itoa(i) {
			t.Fatalf("got message %s, want %d", d.Payload(), i)
		}
		if err := d.Ack(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
}

func TestNextEndsWithContext(t *testing.T) {
	t.Parallel()
	b := setup(t)
	source := NewSource(b.Conn, EventsStream, Processor)
	check := func() {
		ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
		defer cancel()
		if d, err := source.Next(ctx); d != nil || !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v, %v", d, err)
		}
	}
	check()
	b.restart(t, check)
}

func TestNextSurvivesRestarts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for i := range 3 {
		next := make(chan messaging.Delivery)
		go func() {
			source := NewSource(b.Conn, EventsStream, Processor)
			for {
				d, err := source.Next(timeout(t))
				if err == nil || t.Context().Err() != nil {
					next <- d
					return
				}
				pause(t.Context(), 10*time.Millisecond) // as a worker does
			}
		}()
		b.restart(t, func() {})
		eventually(t, "publish", func(ctx context.Context) error {
			_, err := b.js.Publish(ctx, handledSubject, []byte(strconv.Itoa(i)), jetstream.WithMsgID(strconv.Itoa(i)))
			return err
		})
		d := <-next
		if d == nil || string(d.Payload()) != strconv.Itoa(i) {
			t.Fatalf("got %v, want message %d", d, i)
		}
		if err := d.Ack(timeout(t)); err != nil {
			t.Fatal(err)
		}
		b.noneOpen(t, EventsStream, Processor) // an answer may be lost with the server
	}
}

func TestNextWithoutConsumer(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	source := NewSource(b.Conn, EventsStream, Processor)
	if _, err := source.Next(timeout(t)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("%v, want an Unavailable error", err)
	}
	b.ensure(t, settings)
	b.put(t, "late", nil)
	if d := b.next(t); string(d.Payload()) != "late" {
		t.Errorf("got %s", d.Payload())
	}

	ended := make(chan error, 1)
	go func() {
		d, err := source.Next(timeout(t))
		if err == nil {
			err = fmt.Errorf("delivery of %s", d.Payload())
		}
		ended <- err
	}()
	eventually(t, "a request for a message", func(ctx context.Context) error {
		c, err := b.js.Consumer(ctx, EventsStream, Processor)
		if err == nil && c.CachedInfo().NumWaiting == 0 {
			err = errors.New("no request")
		}
		return err
	})
	if err := b.js.DeleteConsumer(timeout(t), EventsStream, Processor); err != nil {
		t.Fatal(err)
	}
	if err := <-ended; fault.KindOf(err) != fault.Unavailable {
		t.Errorf("after the consumer was deleted: %v, want an Unavailable error", err)
	}
}
