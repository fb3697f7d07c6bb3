package natsbus

import (
	"context"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Stored is what a stream has.
type Stored struct {
	Messages int
	// Sequences has the first sequence of each message that has an id, by its id.
	Sequences map[string]uint64
	// Since is how far back the stream must be complete: what is older was
	// discarded by its limits.
	Since time.Time
}

// Stored reads which messages the events stream has. It reads headers only, but
// all of them: memory grows with the stream, which its limits bound.
func (c *Conn) Stored(ctx context.Context) (Stored, error) {
	stream, err := c.js.Stream(ctx, EventsStream)
	if err != nil {
		return Stored{}, classify("look up stream "+EventsStream, err)
	}
	info := stream.CachedInfo()
	stored := Stored{
		Messages:  int(info.State.Msgs), //nolint:gosec // bounded by the stream's limits
		Sequences: make(map[string]uint64, info.State.Msgs),
		Since:     time.Now().Add(-info.Config.MaxAge),
	}
	if info.Config.MaxMsgs > 0 && info.State.Msgs >= uint64(info.Config.MaxMsgs) {
		stored.Since = info.State.FirstTime
	}
	if info.State.Msgs == 0 {
		return stored, nil
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{HeadersOnly: true})
	if err != nil {
		return Stored{}, classify("read stream "+EventsStream, err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return Stored{}, classify("read stream "+EventsStream, err)
	}
	defer messages.Stop()
	for {
		msg, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return Stored{}, classify("read stream "+EventsStream, err)
		}
		meta, err := msg.Metadata()
		if err != nil {
			return Stored{}, classify("read message of "+EventsStream, err)
		}
		id := msg.Headers().Get(jetstream.MsgIDHeader)
		if _, again := stored.Sequences[id]; id != "" && !again {
			stored.Sequences[id] = meta.Sequence.Stream
		}
		if meta.Sequence.Stream >= info.State.LastSeq || meta.NumPending == 0 {
			return stored, nil
		}
	}
}
