package natsbus

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
)

const (
	// readerThreshold ends the consumer of a reader that was killed.
	readerThreshold = 30 * time.Second
	// readerAttempts is how often a reader begins again where it was cut off, with
	// growing pauses.
	readerAttempts = 5
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
	name := messaging.NewID("reader_")
	defer c.forget(ctx, stream, name)
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{
		NamePrefix:        name,
		HeadersOnly:       true,
		InactiveThreshold: readerThreshold,
		MaxResetAttempts:  readerAttempts,
	})
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

// forget deletes the consumers of a reader, also of one that was cut off.
func (c *Conn) forget(ctx context.Context, stream jetstream.Stream, reader string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	names := stream.ConsumerNames(ctx)
	for name := range names.Name() {
		if !strings.HasPrefix(name, reader) {
			continue
		}
		if err := stream.DeleteConsumer(ctx, name); err != nil && !errors.Is(err, jetstream.ErrConsumerNotFound) {
			c.log.WarnContext(ctx, "the consumer of a reader stays until it was inactive for a while", "consumer", name, "error", err)
		}
	}
	if err := names.Err(); err != nil {
		c.log.WarnContext(ctx, "the consumers of a reader stay until they were inactive for a while", "reader", reader, "error", err)
	}
}
