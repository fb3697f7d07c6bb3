package natsbus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

const (
	retryAfter = 5 * time.Second // before another attempt to park an exhausted message
	nextPause  = time.Second     // after a failure to get a report
)

// FollowExhausted parks the messages that the server gave up on because they
// were never answered, as when each attempt killed its process. It runs until
// ctx ends; a report that comes meanwhile waits in the stream.
func (l *DeadLetters) FollowExhausted(ctx context.Context) {
	advisories := NewSource(l.conn, DeadLetterStream, ExhaustedConsumer)
	for ctx.Err() == nil {
		d, err := advisories.Next(ctx)
		if err != nil {
			if ctx.Err() == nil {
				l.log.WarnContext(ctx, "no reports of exhausted messages", "error", err)
				pause(ctx, nextPause)
			}
			continue
		}
		// Whoever has a report answers it.
		l.handleExhausted(context.WithoutCancel(ctx), d)
	}
}

// exhausted is the server's report.
type exhausted struct {
	Stream     string `json:"stream"`
	Consumer   string `json:"consumer"`
	Sequence   uint64 `json:"stream_seq"`
	Deliveries uint64 `json:"deliveries"`
}

func (l *DeadLetters) handleExhausted(ctx context.Context, d messaging.Delivery) {
	var report exhausted
	if err := json.Unmarshal(d.Payload(), &report); err != nil {
		l.log.ErrorContext(ctx, "unreadable report of an exhausted message", "error", err)
		l.answered(ctx, d.Terminate(ctx, "unreadable"))
		return
	}
	log := l.log.With("stream", report.Stream, "sequence", report.Sequence, "deliveries", report.Deliveries)
	msg, err := l.message(ctx, report.Stream, report.Sequence)
	if err == nil {
		log = log.With("eventId", msg.Header.Get(jetstream.MsgIDHeader))
		if traceparent := msg.Header.Get(headerTraceparent); messaging.WellFormedTraceparent(traceparent) {
			ctx = messaging.WithTrace(ctx, messaging.Trace{Traceparent: traceparent})
		}
		err = l.parkExhausted(ctx, report, msg)
	}
	switch {
	case err == nil:
		log.ErrorContext(ctx, "message was never answered: it is a dead letter now")
		l.answered(ctx, d.Ack(ctx))
	case fault.KindOf(err) == fault.NotFound:
		log.ErrorContext(ctx, "message was never answered, and is gone", "error", err)
		l.answered(ctx, d.Ack(ctx))
	default:
		log.WarnContext(ctx, "message was never answered: parking it failed", "error", err, "retryIn", retryAfter)
		l.answered(ctx, d.Retry(ctx, retryAfter))
	}
}

func (l *DeadLetters) answered(ctx context.Context, err error) {
	if err != nil {
		l.log.WarnContext(ctx, "report of an exhausted message comes again", "error", err)
	}
}

func (l *DeadLetters) parkExhausted(ctx context.Context, report exhausted, msg *jetstream.RawStreamMsg) error {
	return l.park(ctx, original{
		stream:     report.Stream,
		sequence:   report.Sequence,
		storedAt:   msg.Time,
		subject:    msg.Subject,
		header:     msg.Header,
		payload:    msg.Data,
		consumer:   report.Consumer,
		deliveries: report.Deliveries,
	}, fmt.Sprintf("no answer after %d deliveries: each attempt took too long or ended its process", report.Deliveries))
}
