package natsbus

import (
	"context"
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
)

// Who reads the stream leaves no consumer in it, also when it is cut off: an
// account has only so many.
func TestReaderLeavesNoConsumer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	publisher, err := NewPublisher(b.Conn, patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := publisher.PublishAtomically(timeout(t), messages(0, 1000)); err != nil {
		t.Fatal(err)
	}
	consumers := func() int { return b.existing(t, EventsStream).CachedInfo().State.Consumers }
	before := consumers()
	for range 3 {
		if stored, err := b.Stored(timeout(t)); err != nil || len(stored.Sequences) != 1000 {
			t.Errorf("read %d messages: %v", len(stored.Sequences), err)
		}
		if after := consumers(); after != before {
			t.Errorf("the stream had %d consumers, and has %d", before, after)
		}
	}

	ctx, cancel := context.WithCancel(t.Context())
	if _, err := b.nc.Subscribe("$JS.EVENT.ADVISORY.CONSUMER.CREATED.>", func(*nats.Msg) { cancel() }); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Stored(ctx); err != nil && !errors.Is(err, context.Canceled) {
		t.Errorf("cut off: %v", err)
	}
	<-ctx.Done()
	eventually(t, "nothing is left", func(context.Context) error {
		if after := consumers(); after != before {
			return fmt.Errorf("the stream had %d consumers, and has %d", before, after)
		}
		return nil
	})
}
