package conformance

import (
	"context"
	"errors"
	"slices"
	"testing"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// Outboxes is an empty outbox.
type Outboxes struct {
	messaging.Outbox
	// Append commits an event of a new aggregate and returns the aggregate's id.
	Append func(t *testing.T) string
}

var errAway = fault.New(fault.Unavailable, "dependency-unavailable", "The stream is away.")

// Outbox tests a messaging.Outbox.
func Outbox(t *testing.T, open func(t *testing.T) Outboxes) {
	t.Helper()
	for name, test := range map[string]func(o Outboxes, t *testing.T){
		"no event is forgotten before it is published":      Outboxes.keepsWhatFailed,
		"a backlog is published up to the first failure":    Outboxes.goesOn,
		"one batch at a time":                               Outboxes.isBusy,
		"marks are lost with the transaction, events not":   Outboxes.rollsBack,
		"a refused event blocks its aggregate and no other": Outboxes.blocks,
	} {
		t.Run(name, func(t *testing.T) { test(open(t), t) })
	}
}

// publish hands out one batch, once nobody else has one, and returns its messages.
func (o Outboxes) publish(t *testing.T, outcome func(messaging.Message) error) (handed []messaging.Message) {
	t.Helper()
	err := messaging.ErrBusy
	eventually(t, "the outbox is free", func() bool {
		_, err = o.PublishBatch(within(t), 100, func(_ context.Context, batch []messaging.Message) []error {
			outcomes := make([]error, len(batch))
			for i, m := range batch {
				handed = append(handed, m)
				outcomes[i] = outcome(m)
			}
			return outcomes
		})
		return !errors.Is(err, messaging.ErrBusy)
	})
	must(t, err)
	return handed
}

func published(messaging.Message) error { return nil }

func away(messaging.Message) error { return errAway }

func ids(messages []messaging.Message) []string {
	ids := make([]string, len(messages))
	for i, m := range messages {
		ids[i] = m.ID
	}
	return ids
}

func (o Outboxes) keepsWhatFailed(t *testing.T) {
	t.Helper()
	aggregates := []string{o.Append(t), o.Append(t), o.Append(t)}
	all := o.publish(t, away)
	if len(all) != 3 {
		t.Fatalf("handed out %d of 3 events", len(all))
	}
	for i, m := range all {
		if m.AggregateID != aggregates[i] || m.ID == "" || m.Subject == "" || m.RecordedAt.IsZero() || len(m.Payload) == 0 {
			t.Errorf("event %d of %s is %+v", i, aggregates[i], m)
		}
	}
	again := o.publish(t, func(m messaging.Message) error {
		if m.ID == all[1].ID {
			return errAway
		}
		return nil
	})
	if !slices.Equal(ids(again), ids(all)) {
		t.Errorf("first %v, then %v", ids(all), ids(again))
	}
	if left := o.publish(t, published); !slices.Equal(ids(left), ids(all[1:2])) {
		t.Errorf("left were %v, want only %s", ids(left), all[1].ID)
	}
	if left := o.publish(t, published); len(left) != 0 {
		t.Errorf("published twice: %v", ids(left))
	}
}

// goesOn: batches follow each other in one transaction, the later ones of twice the
// size, until one fails. That takes nothing from those before it, and ends it.
func (o Outboxes) goesOn(t *testing.T) {
	t.Helper()
	for range 8 {
		o.Append(t)
	}
	var handed []string
	var sizes []int
	n, err := o.PublishBatch(within(t), 1, func(_ context.Context, batch []messaging.Message) []error {
		handed, sizes = append(handed, ids(batch)...), append(sizes, len(batch))
		outcomes := make([]error, len(batch))
		if len(sizes) == 3 {
			outcomes[1] = errAway
		}
		return outcomes
	})
	must(t, err)
	if n != 5 || !slices.Equal(sizes, []int{1, 2, 2}) {
		t.Fatalf("handed over %d messages in batches of %v", n, sizes)
	}
	if left := ids(o.publish(t, published)); len(left) != 4 || left[0] != handed[4] || slices.Contains(handed, left[1]) {
		t.Errorf("after %v, left were %v", handed, left)
	}
}

func (o Outboxes) isBusy(t *testing.T) {
	t.Helper()
	o.Append(t)
	o.publish(t, func(messaging.Message) error {
		_, err := o.PublishBatch(within(t), 1, func(context.Context, []messaging.Message) []error {
			t.Error("two batches at once")
			return nil
		})
		if !errors.Is(err, messaging.ErrBusy) {
			t.Errorf("a second batch: got %v, want ErrBusy", err)
		}
		return nil
	})
}

func (o Outboxes) rollsBack(t *testing.T) {
	t.Helper()
	o.Append(t)
	ctx, cancel := context.WithCancel(t.Context())
	_, err := o.PublishBatch(ctx, 100, func(context.Context, []messaging.Message) []error {
		cancel()
		return []error{nil}
	})
	if err == nil {
		t.Fatal("the batch was committed although its context had ended")
	}
	if again := o.publish(t, published); len(again) != 1 {
		t.Errorf("handed out %v", ids(again))
	}
}

func (o Outboxes) blocks(t *testing.T) {
	t.Helper()
	refused, other := o.Append(t), o.Append(t)
	o.publish(t, func(m messaging.Message) error {
		if m.AggregateID == refused {
			return fault.New(fault.Invalid, "too-large", "The event is larger than the stream takes.")
		}
		return errAway
	})
	if handed := o.publish(t, published); len(handed) != 1 || handed[0].AggregateID != other {
		t.Errorf("handed out %v while %s is blocked", handed, refused)
	}
}
