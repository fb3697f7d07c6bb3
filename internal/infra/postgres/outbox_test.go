package postgres_test

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

var errStreamAway = fault.New(fault.Unavailable, "dependency-unavailable", "The stream is away.")

// publish hands out one batch, once nobody else has one, and returns the ids in it.
func (b *bench) publish(t *testing.T, outcome func(messaging.Message) error) (ids []string) {
	t.Helper()
	err := messaging.ErrBusy
	for deadline := time.Now().Add(10 * time.Second); errors.Is(err, messaging.ErrBusy) && time.Now().Before(deadline); {
		_, err = b.outbox.PublishBatch(t.Context(), 100, func(_ context.Context, batch []messaging.Message) []error {
			outcomes := make([]error, len(batch))
			for i, m := range batch {
				ids = append(ids, m.ID)
				outcomes[i] = outcome(m)
			}
			return outcomes
		})
	}
	must(t, err)
	return ids
}

func published(messaging.Message) error { return nil }

func TestOutboxForgetsNoEventBeforeItIsPublished(t *testing.T) {
	b := setup(t)
	for range 3 {
		_, err := b.issue(t.Context())
		must(t, err)
	}
	all := b.publish(t, func(messaging.Message) error { return errStreamAway })
	if len(all) != 3 {
		t.Fatalf("handed out %d of 3 events", len(all))
	}
	again := b.publish(t, func(m messaging.Message) error {
		if m.ID == all[1] {
			return errStreamAway
		}
		return nil
	})
	if len(again) != 3 || again[0] != all[0] || again[2] != all[2] {
		t.Errorf("first %v, then %v", all, again)
	}
	if left := b.publish(t, published); len(left) != 1 || left[0] != all[1] {
		t.Errorf("left were %v, want only %s", left, all[1])
	}
	if left := b.publish(t, published); len(left) != 0 {
		t.Errorf("published twice: %v", left)
	}
}

// Batches follow each other in one transaction, the later ones of twice the size,
// until one fails. That takes nothing from those before it, and ends it.
func TestBacklogIsPublishedUpToTheFirstFailure(t *testing.T) {
	b := setup(t)
	for range 8 {
		_, err := b.issue(t.Context())
		must(t, err)
	}
	var handed []string
	var sizes []int
	n, err := b.outbox.PublishBatch(t.Context(), 1, func(_ context.Context, batch []messaging.Message) []error {
		for _, m := range batch {
			handed = append(handed, m.ID)
		}
		sizes = append(sizes, len(batch))
		outcomes := make([]error, len(batch))
		if len(sizes) == 3 {
			outcomes[1] = errStreamAway
		}
		return outcomes
	})
	must(t, err)
	if n != 5 || !slices.Equal(sizes, []int{1, 2, 2}) {
		t.Fatalf("handed over %d messages in batches of %v", n, sizes)
	}
	if left := b.publish(t, published); len(left) != 4 || left[0] != handed[4] || slices.Contains(handed, left[1]) {
		t.Errorf("after %v, left were %v", handed, left)
	}
}

func TestOneBatchAtATime(t *testing.T) {
	b := setup(t)
	_, err := b.issue(t.Context())
	must(t, err)
	b.publish(t, func(messaging.Message) error {
		_, err := b.outbox.PublishBatch(t.Context(), 1, func(context.Context, []messaging.Message) []error {
			t.Error("two batches at once")
			return nil
		})
		if !errors.Is(err, messaging.ErrBusy) {
			t.Errorf("a second batch: got %v, want ErrBusy", err)
		}
		return nil
	})
}

// An event that can never be published blocks its aggregate, and no other.
func TestRefusedEventBlocksItsAggregateAlone(t *testing.T) {
	b := setup(t)
	refused, err := b.issue(t.Context())
	must(t, err)
	other, err := b.issue(t.Context())
	must(t, err)
	b.publish(t, func(m messaging.Message) error {
		if m.AggregateID == refused.Snapshot().ID {
			return fault.New(fault.Invalid, "too-large", "The event is larger than the stream takes.")
		}
		return errStreamAway
	})
	handed := b.publish(t, published)
	if n := b.count(t, "outbox WHERE published_at IS NOT NULL AND aggregate_id = '"+other.Snapshot().ID+"'"); len(handed) != 1 || n != 1 {
		t.Errorf("handed out %v while one aggregate is blocked", handed)
	}
	backlog, err := b.outbox.Backlog(t.Context())
	must(t, err)
	blocked, err := b.outbox.Blocked(t.Context(), 10)
	must(t, err)
	if backlog.Events != 1 || backlog.Blocked != 1 || len(blocked) != 1 || blocked[0].AggregateID != refused.Snapshot().ID || blocked[0].Error == "" {
		t.Errorf("the operator sees %+v, %+v", backlog, blocked)
	}
	_, err = b.pool.Exec(t.Context(), "UPDATE outbox SET blocked_until = now()")
	must(t, err)
	if retried := b.publish(t, published); len(retried) != 1 {
		t.Errorf("after the pause %d events were tried again", len(retried))
	}
	if backlog, err := b.outbox.Backlog(t.Context()); err != nil || backlog != (messaging.Backlog{}) {
		t.Errorf("the operator sees %+v, %v", backlog, err)
	}
}

// A batch that fails after publishing is published again: at least once.
func TestMarksAreLostWithTheTransactionNotTheEvents(t *testing.T) {
	b := setup(t)
	_, err := b.issue(t.Context())
	must(t, err)
	ctx, cancel := context.WithCancel(t.Context())
	_, err = b.outbox.PublishBatch(ctx, 100, func(context.Context, []messaging.Message) []error {
		cancel()
		return []error{nil}
	})
	if err == nil {
		t.Fatal("the batch was committed although its context had ended")
	}
	if ids := b.publish(t, published); len(ids) != 1 {
		t.Errorf("handed out %v", ids)
	}
}
