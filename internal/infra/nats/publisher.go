package natsbus

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/synadia-io/orbit.go/jetstreamext"

	"github.com/winaity/billing/internal/app/messaging"
)

const (
	headerContentType = "Content-Type"
	headerTraceparent = "traceparent"

	// maxPending bounds the messages whose acknowledgement is awaited.
	maxPending = 4096
	// batchHeaderSize is more than what a batch adds to the header of a message.
	batchHeaderSize = 128
)

// Publisher is a messaging.Publisher. It is safe for concurrent use.
type Publisher struct {
	conn       *Conn
	js         jetstream.JetStream // with its own acknowledgement timeout
	ackTimeout time.Duration
}

var _ messaging.Publisher = (*Publisher)(nil)

// NewPublisher returns a Publisher that waits up to ackTimeout for the stream to
// acknowledge a message or a batch.
func NewPublisher(conn *Conn, ackTimeout time.Duration) (*Publisher, error) {
	js, err := jetstream.New(conn.nc,
		jetstream.WithPublishAsyncMaxPending(maxPending),
		jetstream.WithPublishAsyncTimeout(ackTimeout),
	)
	if err != nil {
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return &Publisher{conn, js, ackTimeout}, nil
}

// Publish writes the messages side by side. After an Unavailable error the
// message may have been written all the same: publish it again, with its id.
func (p *Publisher) Publish(ctx context.Context, messages []messaging.Message) []error {
	ctx, cancel := context.WithTimeout(ctx, p.ackTimeout)
	defer cancel()
	outcomes := make([]error, len(messages))
	acks := make([]jetstream.PubAckFuture, len(messages))
	for i, m := range messages {
		acks[i], outcomes[i] = p.js.PublishMsgAsync(newMsg(m),
			jetstream.WithRetryAttempts(0)) // one in the background would overtake what is published next
	}
	for i, m := range messages {
		if outcomes[i] == nil {
			outcomes[i] = await(ctx, acks[i])
		}
		if outcomes[i] != nil {
			outcomes[i] = p.conn.notPublished("publish "+m.ID, outcomes[i])
		}
	}
	return outcomes
}

func await(ctx context.Context, ack jetstream.PubAckFuture) error {
	select {
	case <-ack.Ok():
		return nil
	case err := <-ack.Err():
		return err
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// PublishAtomically writes the messages as one atomic batch, which costs the
// server one fsync. After an Unavailable error they may have been written all
// the same.
func (p *Publisher) PublishAtomically(ctx context.Context, messages []messaging.Message) error {
	if len(messages) == 0 {
		return nil
	}
	if len(messages) > messaging.MaxBatch {
		return fmt.Errorf("%w: %d messages are more than %d", messaging.ErrBatchRejected, len(messages), messaging.MaxBatch)
	}
	ctx, cancel := context.WithTimeout(ctx, p.ackTimeout)
	defer cancel()
	ctx, done := p.conn.whileConnected(ctx)
	defer done()
	if ctx.Err() != nil {
		return unavailable("publish batch", context.Cause(ctx))
	}
	limit := int(p.conn.nc.MaxPayload()) - batchHeaderSize
	batch := make([]*nats.Msg, len(messages))
	for i, m := range messages {
		batch[i] = newMsg(m)
		if batch[i].Size() > limit {
			return fmt.Errorf("%w: message %s may be too large", messaging.ErrBatchRejected, m.ID)
		}
	}
	// Without flow control the batch is one round trip. The library would wait
	// for the first message on its own, and without ctx.
	_, err := jetstreamext.PublishMsgBatch(ctx, p.js, batch, jetstreamext.BatchFlowControl{})
	switch {
	case err == nil:
		return nil
	case rejected(err):
		return fmt.Errorf("%w: %w", messaging.ErrBatchRejected, err)
	default:
		return p.conn.notPublished("publish batch", whyFailed(ctx, err))
	}
}

// rejected reports whether the server refused the batch, so that nothing of it
// was written.
func rejected(err error) bool {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return api.Code != 503
	}
	// A server without atomic batches takes the messages one by one and knows
	// nothing of a batch in its answer: publishing them again does no harm.
	return errors.Is(err, jetstreamext.ErrInvalidBatchAck)
}

func newMsg(m messaging.Message) *nats.Msg {
	header := nats.Header{
		jetstream.MsgIDHeader: {m.ID},
		headerContentType:     {"application/json"},
		// Another stream that takes the subject, while ours is missing, must not
		// acknowledge it.
		jetstream.ExpectedStreamHeader: {EventsStream},
	}
	if m.Traceparent != "" {
		header.Set(headerTraceparent, m.Traceparent)
	}
	return &nats.Msg{Subject: m.Subject, Header: header, Data: m.Payload}
}
