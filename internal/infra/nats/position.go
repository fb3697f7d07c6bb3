package natsbus

import (
	"context"
	"encoding/json"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// positionReach is how many messages Position looks through.
const positionReach = 500

// Position returns where the events stream has a message: its sequence, and when
// it was stored. since is an instant before that, as close to it as can be: only
// the first messages of the subject after it are looked through. If it is not
// among them the error is NotFound.
func (c *Conn) Position(ctx context.Context, subject, id string, since time.Time) (sequence uint64, storedAt time.Time, err error) {
	ctx, done := c.whileConnected(ctx)
	defer done()
	request := getRequest{NextFor: subject, StartTime: &since}
	for range positionReach {
		msg, err := c.get(ctx, EventsStream, request)
		if err != nil {
			return 0, time.Time{}, classify("look for "+id, whyFailed(ctx, err))
		}
		if msg.id == id {
			return msg.Sequence, msg.Time, nil
		}
		request = getRequest{NextFor: subject, Sequence: msg.Sequence + 1}
	}
	return 0, time.Time{}, fault.New(fault.NotFound, "message-not-found", fmt.Sprintf("Message %s is not among the first %d since %s.", id, positionReach, since))
}

// getRequest asks for the first message of a subject from a place on. The client
// library has no words for a place that is an instant. See
// https://docs.nats.io/reference/reference-protocols/nats_api_reference#streams
type getRequest struct {
	NextFor   string     `json:"next_by_subj"`
	Sequence  uint64     `json:"seq,omitempty"`
	StartTime *time.Time `json:"start_time,omitempty"` // instead of Sequence
}

type gotMessage struct {
	Sequence uint64    `json:"seq"`
	Time     time.Time `json:"time"`
	Header   []byte    `json:"hdrs"`
	id       string
}

func (c *Conn) get(ctx context.Context, stream string, request getRequest) (gotMessage, error) {
	question, err := json.Marshal(request)
	if err != nil {
		return gotMessage{}, fmt.Errorf("encode request: %w", err)
	}
	msg, err := c.nc.RequestWithContext(ctx, jetstream.DefaultAPIPrefix+"STREAM.MSG.GET."+stream, question)
	if err != nil {
		return gotMessage{}, err
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message gotMessage          `json:"message"`
	}
	if err := json.Unmarshal(msg.Data, &answer); err != nil {
		return gotMessage{}, fmt.Errorf("decode message of %s: %w", stream, err)
	}
	if answer.Error != nil {
		return gotMessage{}, answer.Error
	}
	if len(answer.Message.Header) > 0 {
		header, err := nats.DecodeHeadersMsg(answer.Message.Header)
		if err != nil {
			return gotMessage{}, fmt.Errorf("decode header of %s: %w", stream, err)
		}
		answer.Message.id = header.Get(jetstream.MsgIDHeader)
	}
	return answer.Message, nil
}

// Lag returns how far the service is behind. Its consumer may not exist yet: then
// the error is NotFound.
func (c *Conn) Lag(ctx context.Context) (messaging.Lag, error) {
	ctx, done := c.whileConnected(ctx)
	defer done()
	consumer, err := c.js.Consumer(ctx, EventsStream, Processor)
	if err != nil {
		return messaging.Lag{}, classify("look up consumer "+Processor, whyFailed(ctx, err))
	}
	info := consumer.CachedInfo()
	return messaging.Lag{Pending: int(info.NumPending), AckPending: info.NumAckPending}, nil //nolint:gosec // bounded by the stream's limits
}
