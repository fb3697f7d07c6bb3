package messaging

import (
	"context"
	"log/slog"
	"strconv"
	"time"
)

// ClaimState is what a claim found.
type ClaimState uint8

// The states.
const (
	Claimed   ClaimState = iota // it is ours now
	ClaimHeld                   // another holds it, and its lease has not run out
	ClaimDone                   // the effect is marked as done
)

// Claims is the fast path of deduplication. It may forget, be slow or be away:
// then effects cost more, but still happen once.
type Claims interface {
	// Claim takes key for owner until the lease runs out, if nobody has it.
	Claim(ctx context.Context, key, owner string, lease time.Duration) (ClaimState, error)
	// Done marks key as done for ttl, if owner still holds it.
	Done(ctx context.Context, key, owner string, ttl time.Duration) error
	// Release gives key back, if owner still holds it.
	Release(ctx context.Context, key, owner string) error
}

// Inbox is the part of a transaction that remembers which messages had their
// effect: the truth.
type Inbox interface {
	// Receive records that handler handles the message with the given key in
	// this transaction. It returns false if that was recorded before; while
	// another transaction is recording the same, it waits for its end.
	Receive(handler, key string) (bool, error)
}

// Store runs transactions.
type Store[T any] interface {
	// Atomically runs f in a transaction and commits it if f returns nil. It may
	// run f several times, the last of which counts: so f must have no effects but
	// those through tx, and ask nothing but tx.
	Atomically(ctx context.Context, f func(tx T) error) error
}

// DedupKey says which deliveries are the same message.
type DedupKey func(Envelope) string

// ByEventID takes two deliveries of one event for the same message.
func ByEventID(e Envelope) string { return e.ID }

// ByNaturalKey also takes two events that state the same fact for the same
// message: <aggregateId>:<type>:<version>.
func ByNaturalKey(e Envelope) string {
	return e.AggregateID + ":" + e.Type + ":" + strconv.Itoa(e.Version)
}

// OnceOptions are the settings of Once; all are required.
type OnceOptions struct {
	Key   DedupKey
	Lease time.Duration // how long a claim lasts if its holder dies; above any effect's duration
	TTL   time.Duration // how long the fast path remembers
}

// Once lets the effect of a message happen once, however often the message is
// delivered and to however many instances.
//
// The inbox row, in the effect's own transaction, decides. The claim in front
// only saves transactions: it answers for what is done, and makes a duplicate
// that arrives during the work step aside.
type Once[T Inbox] struct {
	store    Store[T]
	claims   Claims
	options  OnceOptions
	observer Observer
	log      *slog.Logger
}

// NewOnce returns a Once that runs effects in transactions of store.
func NewOnce[T Inbox](store Store[T], claims Claims, options OnceOptions, observer Observer, log *slog.Logger) *Once[T] {
	return &Once[T]{store, claims, options, observer, log}
}

// Do lets the handler have its effect for msg in a transaction, unless it had it
// before, and reports which. If another worker seems to be at it, Do returns
// errInProgress, unless insist is set: then the inbox makes it wait for the other's
// transaction.
func (o *Once[T]) Do(ctx context.Context, handler Handler[T], msg Envelope, insist bool) (fresh bool, err error) {
	key, owner := o.options.Key(msg), NewToken()
	claim := key + ":" + handler.Name // as in the inbox: another handler has its own effect
	switch o.claim(ctx, claim, owner) {
	case ClaimDone:
		o.observer.Deduplicated(LayerClaim)
		return false, nil
	case ClaimHeld:
		if !insist {
			return false, errInProgress
		}
	case Claimed:
	}
	err = o.store.Atomically(ctx, func(tx T) error {
		var err error
		if fresh, err = tx.Receive(handler.Name, key); err != nil || !fresh {
			return err
		}
		return handler.Handle(tx, msg)
	})
	if err != nil {
		o.ignore(ctx, "release", o.claims.Release(context.WithoutCancel(ctx), claim, owner))
		return false, err
	}
	if !fresh {
		o.observer.Deduplicated(LayerInbox)
	}
	o.ignore(ctx, "mark as done", o.claims.Done(context.WithoutCancel(ctx), claim, owner, o.options.TTL))
	return fresh, nil
}

func (o *Once[T]) claim(ctx context.Context, key, owner string) ClaimState {
	state, err := o.claims.Claim(ctx, key, owner, o.options.Lease)
	if err != nil {
		o.ignore(ctx, "claim", err)
		return Claimed
	}
	return state
}

// ignore makes a failure of the fast path visible, and nothing more.
func (o *Once[T]) ignore(ctx context.Context, action string, err error) {
	if err != nil {
		o.observer.ClaimFailed()
		o.log.WarnContext(ctx, "deduplication goes on without its fast path", "action", action, "error", err)
	}
}
