package natsbus

import (
	"context"
	"fmt"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

func TestPositionOfAMessage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	publisher, err := NewPublisher(b.Conn, patience)
	if err != nil {
		t.Fatal(err)
	}
	put := func(first, n int) {
		t.Helper()
		if err := publisher.PublishAtomically(timeout(t), messages(first, n)); err != nil {
			t.Fatal(err)
		}
	}
	put(1, positionReach) // too much to look through
	since := time.Now()
	b.put(t, "of another subject", nil)
	put(positionReach+1, 3)

	sequence, storedAt, err := b.Position(timeout(t), otherSubject, "evt_502", since)
	if err != nil || sequence != positionReach+3 || storedAt.Before(since) || time.Since(storedAt) > patience {
		t.Errorf("got %d at %s, %v", sequence, storedAt, err)
	}
	for id, since := range map[string]time.Time{
		"evt_502": since.Add(-patience), // out of reach
		"evt_499": since,                // it was before
		"evt_0":   since,                // never was
		"evt_501": time.Now().Add(patience),
	} {
		if sequence, _, err := b.Position(timeout(t), otherSubject, id, since); fault.KindOf(err) != fault.NotFound {
			t.Errorf("%s: got %d, %v", id, sequence, err)
		}
	}
	b.restart(t, func() {
		if _, _, err := b.Position(timeout(t), otherSubject, "evt_502", since); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("while NATS is away: %v", err)
		}
		if _, err := b.Lag(timeout(t)); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("while NATS is away: %v", err)
		}
	})
}

func TestLagCountsWhatIsNotHandled(t *testing.T) {
	t.Parallel()
	b := setup(t)
	lag := func() messaging.Lag {
		t.Helper()
		lag, err := b.Lag(timeout(t))
		if err != nil {
			t.Fatal(err)
		}
		return lag
	}
	for range 3 {
		b.put(t, "payload", nil)
	}
	eventually(t, "the consumer has heard of them", func(context.Context) error {
		if got := lag(); got != (messaging.Lag{Pending: 3}) {
			return fmt.Errorf("of 3 messages that were not delivered: %+v", got)
		}
		return nil
	})
	d := b.next(t)
	if got := lag(); got != (messaging.Lag{Pending: 2, AckPending: 1}) {
		t.Errorf("of 3 messages, one of which is in hand: %+v", got)
	}
	if err := d.Ack(timeout(t)); err != nil {
		t.Fatal(err)
	}
	eventually(t, "lag", func(ctx context.Context) error {
		if got, err := b.Lag(ctx); err != nil || got != (messaging.Lag{Pending: 2}) {
			return fmt.Errorf("%+v, %w", got, err)
		}
		return nil
	})
}
