package natsbus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
)

const (
	pullExpiry    = 30 * time.Second
	pullHeartbeat = time.Second // a request that is silent for two of them is lost, as one to a consumer that was just made anew
	drainTimeout  = time.Second
)

// Source is a messaging.Source: a durable pull consumer. It is safe for
// concurrent use.
//
// Each caller of Next has a subscription to itself that asks the server for one
// message at a time. So no message waits in a buffer while its ack wait runs,
// and none is taken by a caller that has gone.
type Source struct {
	conn             *Conn
	stream, consumer string

	mu   sync.Mutex
	idle []subscription // nothing was asked for that has not come
}

// subscription is of one connection. The library would ask again on the next one
// for what a request that went out meanwhile asks for already, and has room for
// one answer only: the other would be lost until its ack wait is over.
type subscription struct {
	jetstream.MessagesContext
	lost <-chan struct{} // closed when the connection is lost
}

var _ messaging.Source = (*Source)(nil)

// NewSource returns a Source of the deliveries of a consumer, which need not
// exist yet.
func NewSource(conn *Conn, stream, consumer string) *Source {
	return &Source{conn: conn, stream: stream, consumer: consumer}
}

// Next waits for a delivery, also while NATS is away. When ctx ends it returns
// ctx's error, or the delivery that was on its way. It fails with Unavailable
// while the consumer does not exist or has no leader: call it again after a
// while.
func (s *Source) Next(ctx context.Context) (messaging.Delivery, error) {
	for {
		lost, ok := s.conn.awaitConnection(ctx)
		if !ok {
			return nil, ctx.Err()
		}
		msg, err := s.next(ctx, lost)
		switch {
		case msg != nil:
			return newDelivery(msg)
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, nats.ErrReconnectBufExceeded): // the loss is about to be reported
			select {
			case <-lost:
			case <-ctx.Done():
			}
		case !isClosed(lost):
			return nil, unavailable("get a delivery", err)
		}
	}
}

func (s *Source) next(ctx context.Context, lost <-chan struct{}) (jetstream.Msg, error) {
	ctx, done := s.conn.whileConnected(ctx)
	defer done()
	messages, err := s.subscribe(ctx)
	if err != nil {
		return nil, err
	}
	msg, err := messages.Next(jetstream.NextContext(ctx))
	if err != nil {
		return s.drain(messages), err
	}
	s.put(subscription{messages, lost})
	return msg, nil
}

// subscribe returns a subscription of the caller's own.
func (s *Source) subscribe(ctx context.Context) (jetstream.MessagesContext, error) {
	if idle := s.take(); idle != nil {
		return idle, nil
	}
	consumer, err := s.conn.js.Consumer(ctx, s.stream, s.consumer)
	if err != nil {
		return nil, err
	}
	// A request that outlived the ack wait could get the same message again, and
	// again: a process that hangs would use up all its deliveries.
	expiry := min(pullExpiry, max(consumer.CachedInfo().Config.AckWait, time.Second)) // the library takes no less than a second
	return consumer.Messages(
		jetstream.PullMaxMessages(1),
		jetstream.PullExpiry(expiry),
		jetstream.PullHeartbeat(min(pullHeartbeat, expiry/2)),
		jetstream.WithMessagesErrOnMissingHeartbeat(true),
	)
}

func (s *Source) put(idle subscription) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.idle = append(s.idle, idle)
}

// take returns an idle subscription of the present connection, or nil.
func (s *Source) take() jetstream.MessagesContext {
	s.mu.Lock()
	defer s.mu.Unlock()
	for len(s.idle) > 0 {
		last := s.idle[len(s.idle)-1]
		s.idle = s.idle[:len(s.idle)-1]
		if !isClosed(last.lost) {
			return last.MessagesContext
		}
		last.Stop()
	}
	return nil
}

// drain ends a subscription and returns the message that was on its way, or nil:
// nobody would answer it until its ack wait is over.
func (s *Source) drain(messages jetstream.MessagesContext) jetstream.Msg {
	if !s.conn.nc.IsConnected() {
		messages.Stop()
		return nil
	}
	messages.Drain()
	msg, err := messages.Next(jetstream.NextMaxWait(drainTimeout))
	if err != nil {
		return nil
	}
	return msg
}

// delivery is a messaging.Delivery. Its answers are not confirmed by the server:
// one that is lost costs a redelivery, which deduplication takes care of.
type delivery struct {
	msg  jetstream.Msg
	meta *jetstream.MsgMetadata
}

var _ messaging.Delivery = (*delivery)(nil)

func newDelivery(msg jetstream.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	return &delivery{msg, meta}, nil
}

func (d *delivery) Subject() string     { return d.msg.Subject() }
func (d *delivery) Payload() []byte     { return d.msg.Data() }
func (d *delivery) Traceparent() string { return d.msg.Headers().Get(headerTraceparent) }
func (d *delivery) Attempt() int        { return int(d.meta.NumDelivered) } //nolint:gosec // bounded by max_deliver

func (d *delivery) Ack(context.Context) error {
	return answered("acknowledge delivery", d.msg.Ack())
}

func (d *delivery) Retry(_ context.Context, delay time.Duration) error {
	return answered("ask for redelivery", d.msg.NakWithDelay(delay))
}

func (d *delivery) Terminate(_ context.Context, reason string) error {
	return answered("terminate delivery", d.msg.TermWithReason(truncate(reason, 256)))
}

func (d *delivery) Extend(context.Context) error {
	return answered("extend ack wait", d.msg.InProgress())
}

func answered(action string, err error) error {
	if err != nil {
		return unavailable(action, err)
	}
	return nil
}

var errForeignDelivery = errors.New("the delivery is not from this source")
