package postgres_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/simulation/conformance"
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

func TestOutbox(t *testing.T) {
	conformance.Outbox(t, func(t *testing.T) conformance.Outboxes {
		t.Helper()
		b := setup(t)
		return conformance.Outboxes{Outbox: b.outbox, Append: func(t *testing.T) string {
			t.Helper()
			issued, err := b.issue(t.Context())
			must(t, err)
			return issued.Snapshot().ID
		}}
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
