package natsbus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"

	"github.com/winaity/billing/internal/app/messaging"
)

const (
	pullExpiry    = 30 * time.Second
	pullHeartbeat = 5 * time.Second
	// flushTimeout bounds the wait for a message that is on its way while its
	// receiver gives up.
	flushTimeout = time.Second
)

// Source is a messaging.Source: a durable pull consumer. It is safe for
// concurrent use.
//
// Each call of Next asks the server for one message. The client library's own
// ways to consume would fetch ahead, so that the ack wait runs out in a buffer,
// or forget the message that arrives while ctx ends.
type Source struct {
	conn    *Conn
	subject string // of requests for the next message
	request []byte
}

var _ messaging.Source = (*Source)(nil)

// NewSource returns a Source of the deliveries of a consumer, which need not
// exist yet.
func NewSource(conn *Conn, stream, consumer string) *Source {
	request, _ := json.Marshal(map[string]any{ // numbers always marshal
		"batch":          1,
		"expires":        pullExpiry,
		"idle_heartbeat": pullHeartbeat,
	})
	return &Source{
		conn:    conn,
		subject: "$JS.API.CONSUMER.MSG.NEXT." + stream + "." + consumer,
		request: request,
	}
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
		msg, err := s.pull(ctx, lost)
		switch {
		case msg != nil:
			return newDelivery(s.conn.nc, msg)
		case err != nil:
			return nil, err
		}
	}
}

// pull asks for one message. It returns nil if none came because the request
// expired, or was lost with the connection, or ctx ended.
func (s *Source) pull(ctx context.Context, lost <-chan struct{}) (*nats.Msg, error) {
	nc := s.conn.nc
	answers := make(chan *nats.Msg, 8) // one message, and heartbeats that come before it
	sub, err := nc.ChanSubscribe(nc.NewInbox(), answers)
	if err != nil {
		return nil, unavailable("subscribe", err)
	}
	defer sub.Unsubscribe() //nolint:errcheck // it fails only if the connection is gone, and the subscription with it
	err = nc.PublishRequest(s.subject, sub.Subject, s.request)
	if errors.Is(err, nats.ErrReconnectBufExceeded) { // not connected, which lost is about to tell
		select {
		case <-lost:
		case <-ctx.Done():
		}
		return nil, nil
	}
	if err != nil {
		return nil, unavailable("ask for a message", err)
	}
	silence := time.NewTimer(2 * pullHeartbeat)
	defer silence.Stop()
	for {
		select {
		case answer := <-answers:
			if isMessage(answer) {
				return answer, nil
			}
			switch status := answer.Header.Get("Status"); status {
			case "100": // heartbeat
				silence.Reset(2 * pullHeartbeat)
			case "404", "408": // expired
				return nil, nil
			default:
				return nil, unavailable("ask for a message", fmt.Errorf("%s %s", status, answer.Header.Get("Description")))
			}
		case <-silence.C: // the server forgot the request
			return arrived(answers), nil
		case <-lost:
			return arrived(answers), nil
		case <-ctx.Done():
			// The server may have sent a message that nobody would answer until
			// its ack wait is over. It comes before the answer to the flush.
			if !isClosed(lost) && sub.Drain() == nil {
				_ = nc.FlushTimeout(flushTimeout) // no worse than not to have tried
			}
			return arrived(answers), nil
		}
	}
}

// arrived returns the message among the answers that are there, or nil.
func arrived(answers <-chan *nats.Msg) *nats.Msg {
	for {
		select {
		case answer := <-answers:
			if isMessage(answer) {
				return answer
			}
		default:
			return nil
		}
	}
}

// isMessage tells a message from the server's own answers: it can be replied to.
func isMessage(answer *nats.Msg) bool { return answer.Reply != "" }

// delivery is a messaging.Delivery. Its answers are not confirmed by the server:
// one that is lost costs a redelivery, which deduplication takes care of.
type delivery struct {
	nc   *nats.Conn
	msg  *nats.Msg
	meta *nats.MsgMetadata
}

var _ messaging.Delivery = (*delivery)(nil)

func newDelivery(nc *nats.Conn, msg *nats.Msg) (*delivery, error) {
	meta, err := msg.Metadata()
	if err != nil {
		return nil, fmt.Errorf("read delivery: %w", err)
	}
	return &delivery{nc, msg, meta}, nil
}

func (d *delivery) Subject() string     { return d.msg.Subject }
func (d *delivery) Payload() []byte     { return d.msg.Data }
func (d *delivery) Traceparent() string { return d.msg.Header.Get(headerTraceparent) }
func (d *delivery) Attempt() int        { return int(d.meta.NumDelivered) } //nolint:gosec // max_deliver is an int

func (d *delivery) Ack(context.Context) error { return d.answer("+ACK") }

func (d *delivery) Retry(_ context.Context, delay time.Duration) error {
	return d.answer(fmt.Sprintf(`-NAK {"delay": %d}`, delay.Nanoseconds()))
}

func (d *delivery) Terminate(_ context.Context, reason string) error {
	return d.answer("+TERM " + truncate(reason, 256))
}

func (d *delivery) Extend(context.Context) error { return d.answer("+WPI") }

func (d *delivery) answer(body string) error {
	if err := d.nc.Publish(d.msg.Reply, []byte(body)); err != nil {
		return unavailable("answer delivery", err)
	}
	return nil
}

var errForeignDelivery = errors.New("the delivery is not from this source")
