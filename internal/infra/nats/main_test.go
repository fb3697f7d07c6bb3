package natsbus

import (
	"context"
	"fmt"
	"log/slog"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
)

const (
	// patience is how long a test waits for what has to happen.
	patience = 20 * time.Second

	handledSubject = "billing.thing.done"
	otherSubject   = "billing.thing.begun"
)

var settings = Settings{Replicas: 1, MaxDeliver: 3, AckWait: time.Second, Subjects: []string{handledSubject}}

// bus is a server of the test's own, with a connection to it.
type bus struct {
	*Conn
	server *devstack.NATS
	stream jetstream.Stream // of the events; nil before ensure
}

// setup returns a bus with the service's topology.
func setup(t *testing.T) *bus {
	t.Helper()
	b := setupEmpty(t)
	b.ensure(t, settings)
	return b
}

func setupEmpty(t *testing.T) *bus {
	t.Helper()
	server := devstack.NATSForTest(t)
	return &bus{Conn: connect(t, server.URL()), server: server}
}

func connect(tb testing.TB, url string) *Conn {
	tb.Helper()
	config, err := ParseURL(url)
	if err != nil {
		tb.Fatal(err)
	}
	conn, err := Connect(config, tb.Name(), slog.New(slog.NewTextHandler(tb.Output(), nil)), func() {})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(conn.Close)
	return conn
}

func (b *bus) ensure(t *testing.T, s Settings) {
	t.Helper()
	if err := b.Ensure(timeout(t), BillingTopology(s)); err != nil {
		t.Fatal(err)
	}
	b.stream = b.existing(t, EventsStream)
}

func (b *bus) existing(t *testing.T, name string) jetstream.Stream {
	t.Helper()
	stream, err := b.js.Stream(timeout(t), name)
	if err != nil {
		t.Fatal(err)
	}
	return stream
}

// restart stops the server, runs meanwhile, and starts the server again with
// what it had stored.
func (b *bus) restart(t *testing.T, meanwhile func()) {
	t.Helper()
	if err := b.server.Stop(timeout(t)); err != nil {
		t.Fatal(err)
	}
	meanwhile()
	if err := b.server.Start(timeout(t)); err != nil {
		t.Fatal(err)
	}
}

// put stores a message with any payload and header.
func (b *bus) put(t *testing.T, payload string, header nats.Header) {
	t.Helper()
	if _, err := b.js.PublishMsg(timeout(t), &nats.Msg{Subject: handledSubject, Data: []byte(payload), Header: header}); err != nil {
		t.Fatal(err)
	}
}

// next returns the next delivery of the processor.
func (b *bus) next(t *testing.T) messaging.Delivery {
	t.Helper()
	d, err := NewSource(b.Conn, EventsStream, Processor).Next(timeout(t))
	if err != nil {
		t.Fatalf("no delivery: %v", err)
	}
	return d
}

// stored returns the ids of the messages in the events stream, in their order.
func (b *bus) stored(t *testing.T) []string {
	t.Helper()
	n := int(b.existing(t, EventsStream).CachedInfo().State.Msgs)
	ids := make([]string, 0, n)
	if n == 0 {
		return ids
	}
	consumer, err := b.js.OrderedConsumer(timeout(t), EventsStream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		t.Fatal(err)
	}
	batch, err := consumer.Fetch(n, jetstream.FetchMaxWait(patience))
	if err != nil {
		t.Fatal(err)
	}
	for msg := range batch.Messages() {
		ids = append(ids, msg.Headers().Get(jetstream.MsgIDHeader))
	}
	if len(ids) != n || batch.Error() != nil {
		t.Fatalf("read %d of %d messages: %v", len(ids), n, batch.Error())
	}
	return ids
}

// messages returns n messages with ids from evt_<first> on.
func messages(first, n int) []messaging.Message {
	result := make([]messaging.Message, n)
	for i := range result {
		id := "evt_" + strconv.Itoa(first+i)
		result[i] = messaging.Message{
			ID:          id,
			Subject:     otherSubject,
			AggregateID: id,
			Payload:     fmt.Appendf(nil, `{"id":%q}`, id),
			Traceparent: "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01",
		}
	}
	return result
}

func ids(messages []messaging.Message) []string {
	result := make([]string, len(messages))
	for i, m := range messages {
		result[i] = m.ID
	}
	return result
}

// timeout returns a context that ends when the test has waited too long.
func timeout(tb testing.TB) context.Context {
	tb.Helper()
	ctx, cancel := context.WithTimeout(tb.Context(), patience)
	tb.Cleanup(cancel)
	return ctx
}

// eventually tries until done returns nil. An attempt gets a short time: what it
// asks of a server that is about to stop may never be answered.
func eventually(t *testing.T, what string, done func(ctx context.Context) error) {
	t.Helper()
	ctx := timeout(t)
	for {
		attempt, cancel := context.WithTimeout(ctx, patience/10)
		err := done(attempt)
		cancel()
		if err == nil {
			return
		}
		if ctx.Err() != nil {
			t.Fatalf("%s: still %v after %v", what, err, patience)
		}
		pause(ctx, 10*time.Millisecond)
	}
}
