package simulation

import (
	"context"
	"errors"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
)

// enough is how many schedules may pass before a bug is found.
const enough = 300

// A check that finds nothing proves nothing: each guard of the service is taken away
// in turn, and it has to notice.
func TestCheckNoticesEachGuardThatIsMissing(t *testing.T) {
	t.Parallel()
	stores := func(wrap func(messaging.Store[Tx]) messaging.Store[Tx]) Wraps {
		return Wraps{Ports: func(p *Ports) { p.Commands, p.Effects = wrap(p.Commands), wrap(p.Effects) }}
	}
	second := func(part part) Wraps {
		return stores(func(s messaging.Store[Tx]) messaging.Store[Tx] { return inTwo{s, part} })
	}
	for name, test := range map[string]struct {
		wraps Wraps
		want  string
	}{
		"marks wait for the acknowledgement": {Wraps{Ports: func(p *Ports) { p.Outbox = hasty{p.Outbox} }}, "is not in the stream"},
		"one event of an aggregate in flight": {
			Wraps{Ports: func(p *Ports) { p.Outbox = inAnyOrder{p.Outbox} }}, "follows event",
		},
		"an inbox, and claims with owners": {
			Wraps{Ports: func(p *Ports) { p.Claims, p.Effects = ownerless{p.Claims}, forgetful{p.Effects} }}, "had its effect 2 times",
		},
		"effects in the transaction of the inbox":   {second(notes), "had no effect"},
		"the inbox in the transaction of effects":   {second(received), "had its effect 2 times"},
		"events in the transaction of their change": {second(published), "has 0 events"},
		"answers in the transaction of commands":    {second(answers), "had its effect 2 times"},
		"commands in the transaction of answers":    {second(things), "had no effect"},
		"numbers that are rolled back":              {stores(func(s messaging.Store[Tx]) messaging.Store[Tx] { return wasteful{s} }), "follows"},
		"members that hear of a failed commit": {
			Wraps{Database: func(db groupcommit.Database[Tx]) groupcommit.Database[Tx] { return liar{db} }}, "was answered, and had no effect",
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			for seed := uint64(1); seed <= enough; seed++ {
				var found string
				synctest.Test(t, func(*testing.T) { found = strings.Join(Run(seed, test.wraps), "\n") })
				if strings.Contains(found, test.want) {
					t.Logf("noticed in schedule %d", seed)
					return
				}
			}
			t.Errorf("not noticed in %d schedules", enough)
		})
	}
}

// What is put around the ports for that breaks nothing by itself.
func TestCheckNoticesNothingWhereNoGuardIsMissing(t *testing.T) {
	t.Parallel()
	wraps := Wraps{Ports: func(p *Ports) { p.Commands, p.Effects = inTwo{p.Commands, nothing}, inTwo{p.Effects, nothing} }}
	for seed := uint64(1); seed <= enough; seed++ {
		synctest.Test(t, func(t *testing.T) {
			for _, v := range Run(seed, wraps) {
				t.Errorf("seed %d: %s", seed, v)
			}
		})
	}
}

// hasty is an outbox that takes all that it hands over for published.
type hasty struct{ messaging.Outbox }

func (h hasty) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	return h.Outbox.PublishBatch(ctx, limit, func(ctx context.Context, batch []messaging.Message) []error {
		publish(ctx, batch)
		return make([]error, len(batch))
	})
}

// inAnyOrder hides from the relay which events are of one aggregate.
type inAnyOrder struct{ messaging.Outbox }

func (a inAnyOrder) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	return a.Outbox.PublishBatch(ctx, limit, func(ctx context.Context, batch []messaging.Message) []error {
		for i := range batch {
			batch[i].AggregateID = batch[i].ID
		}
		return publish(ctx, batch)
	})
}

// ownerless are claims that take everybody for their owner.
type ownerless struct{ messaging.Claims }

func (o ownerless) Claim(ctx context.Context, key, _ string, lease time.Duration) (messaging.ClaimState, error) {
	return o.Claims.Claim(ctx, key, "somebody", lease)
}

func (o ownerless) Done(ctx context.Context, key, _ string, ttl time.Duration) error {
	return o.Claims.Done(ctx, key, "somebody", ttl)
}

func (o ownerless) Release(ctx context.Context, key, _ string) error {
	return o.Claims.Release(ctx, key, "somebody")
}

// forgetful is a store without an inbox.
type forgetful struct{ messaging.Store[Tx] }

func (s forgetful) Atomically(ctx context.Context, f func(Tx) error) error {
	return s.Store.Atomically(ctx, func(tx Tx) error { return f(unseen{tx}) })
}

type unseen struct{ Tx }

func (unseen) Receive(string, string) (bool, error) { return true, nil }

// wasteful is a store that keeps a number that was taken in vain.
type wasteful struct{ messaging.Store[Tx] }

func (s wasteful) Atomically(ctx context.Context, f func(Tx) error) error {
	var refused error
	err := s.Store.Atomically(ctx, func(tx Tx) error {
		refused = f(tx)
		if errors.Is(refused, errUnwanted) {
			return nil
		}
		return refused
	})
	return errors.Join(err, refused)
}

// liar is a database that says of each commit that it went well.
type liar struct{ groupcommit.Database[Tx] }

func (l liar) Transact(ctx context.Context, waits bool, f func(groupcommit.Transaction[Tx]) error) error {
	err := l.Database.Transact(ctx, waits, f)
	if _, unknown := errors.AsType[*commitError](err); unknown {
		return nil
	}
	return err
}

// part is a part of what a transaction writes.
type part int

const (
	nothing part = iota
	things
	notes
	published
	received
	answers
)

// inTwo is a store that writes a part in a second transaction.
type inTwo struct {
	messaging.Store[Tx]
	second part
}

func (s inTwo) Atomically(ctx context.Context, f func(Tx) error) error {
	var first *halved
	err := s.Store.Atomically(ctx, func(tx Tx) error {
		first = &halved{Tx: tx, second: s.second}
		return f(first)
	})
	if err != nil || len(first.left) == 0 {
		return err
	}
	return s.Store.Atomically(ctx, func(tx Tx) error {
		for _, write := range first.left {
			if err := write(tx); err != nil {
				return err
			}
		}
		return nil
	})
}

// halved is a transaction that leaves a part of what is written for later.
type halved struct {
	Tx
	second part
	left   []func(Tx) error
}

func (h *halved) write(p part, what func(Tx) error) error {
	if p == h.second {
		h.left = append(h.left, what)
		return nil
	}
	return what(h.Tx)
}

func (h *halved) Put(thing Thing) error {
	return h.write(things, func(tx Tx) error { return tx.Put(thing) })
}

func (h *halved) Write(n Note) error {
	return h.write(notes, func(tx Tx) error { return tx.Write(n) })
}

func (h *halved) Publish(e event.Event) error {
	return h.write(published, func(tx Tx) error { return tx.Publish(e) })
}

func (h *halved) Keep(r idempotency.Request, a idempotency.Answer) error {
	return h.write(answers, func(tx Tx) error {
		if known, err := tx.Recall(r); known != nil || err != nil {
			return err
		}
		return tx.Keep(r, a)
	})
}

func (h *halved) Receive(handler, key string) (bool, error) {
	if h.second != received {
		return h.Tx.Receive(handler, key)
	}
	own, _ := h.Tx.(tx) // or this panics
	_, known, err := own.inbox.Get(handler + " " + key)
	if err != nil || known {
		return !known, err
	}
	return true, h.write(received, func(tx Tx) error {
		_, err := tx.Receive(handler, key)
		return err
	})
}

func (h *halved) Changed() bool { return h.Tx.Changed() || len(h.left) > 0 }
