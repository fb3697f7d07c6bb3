// Package idempotency gives a command that is sent again with the same key the
// answer of the first time, instead of a second effect.
//
// The answer is stored in the command's own transaction, which decides. A cache
// in front of it answers repetitions, and turns away a request whose twin is
// still running.
package idempotency

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// Request identifies a keyed command. A zero Request stands for a command
// without a key.
type Request struct {
	Key         string
	Fingerprint string // differs for any other method, path or body
}

// Keyed reports whether the request has a key.
func (r Request) Keyed() bool { return r.Key != "" }

// Answer is what the caller of the command got.
type Answer struct {
	Status int               `json:"status"`
	Header map[string]string `json:"header"`
	Body   []byte            `json:"body"`
	// Replayed is set on an answer that was given before.
	Replayed bool `json:"-"`
}

// Tx is the part of a transaction that keeps answers: the truth.
type Tx interface {
	// Recall returns the answer that was committed for the key, or nil if there
	// is none. From then on the key is this transaction's. It fails with
	// ErrInFlight while it is another's, and with ErrReused if the key was used
	// for another request.
	Recall(r Request) (*Answer, error)
	// Keep stores the answer with the transaction.
	Keep(r Request, a Answer) error
	// Changed reports whether the transaction has changed anything so far.
	Changed() bool
}

// Cache is the fast path. It may forget or be away.
type Cache interface {
	// Begin takes the key for owner until the lease runs out. If it has the
	// answer already it returns that; it fails with ErrInFlight and ErrReused
	// as Tx.Recall does.
	Begin(ctx context.Context, r Request, owner string, lease time.Duration) (*Answer, error)
	// Finish keeps the answer for ttl, if owner still has the key.
	Finish(ctx context.Context, r Request, owner string, a Answer, ttl time.Duration) error
	// Abandon frees the key, if owner still has it.
	Abandon(ctx context.Context, r Request, owner string) error
}

// Retention is how long answers are kept at least.
const Retention = 24 * time.Hour

// The errors of a keyed command.
var (
	ErrInFlight = fault.New(fault.Conflict, "idempotency-in-flight", "A request with this Idempotency-Key is still being processed.")
	ErrReused   = fault.New(fault.Invalid, "idempotency-key-reused", "This Idempotency-Key was used for another request.")
)

// Outcome is how a keyed command ended.
type Outcome string

// The outcomes.
const (
	Fresh    Outcome = "fresh"     // it had its effect, and the answer is kept
	Replayed Outcome = "replayed"  // it got the answer of the first time
	InFlight Outcome = "in_flight" // turned away: ErrInFlight
	Reused   Outcome = "reused"    // turned away: ErrReused
	Failed   Outcome = "failed"    // it failed, and nothing is kept
)

// The outcomes of a command that was run, besides the kinds of its errors. Unlike
// an Outcome, they are the same for a command without a key.
const (
	changed   = "changed"
	unchanged = "unchanged" // it asked for what was so already
	replayed  = "replayed"  // the answer was kept for its key
)

// CommandOutcomes are what an Observer hears of a command that did not fail.
var CommandOutcomes = []string{changed, unchanged, replayed}

// Observer is told what happens, so that it can be measured. Its methods return
// at once and are safe for concurrent use.
type Observer interface {
	// Command reports how a command ended that was run: by one of
	// CommandOutcomes, or by the kind of its error.
	Command(name, outcome string)
	// Keyed reports how a keyed command ended.
	Keyed(o Outcome)
	// CacheFailed reports that the cache was away.
	CacheFailed()
}

// Guard runs commands, each in a transaction: the change, its events and the kept
// answer are committed together or not at all. It is to commands what
// messaging.Once is to effects.
type Guard[T Tx] struct {
	store    messaging.Store[T]
	cache    Cache
	lease    time.Duration
	observer Observer
	log      *slog.Logger
}

// NewGuard returns a Guard that runs commands in transactions of store. A command
// must end before lease does.
func NewGuard[T Tx](store messaging.Store[T], cache Cache, lease time.Duration, observer Observer, log *slog.Logger) *Guard[T] {
	return &Guard[T]{store, cache, lease, observer, log}
}

// Command is what a Guard runs.
type Command[T any] struct {
	Name    string
	Request Request
	// Run has its effects through tx only, asks nothing but tx, and may be run
	// several times. It makes the answer in the transaction, which keeps it.
	Run func(tx T) (Answer, error)
}

// Do runs the command, or returns the answer that was kept for its key.
func (g *Guard[T]) Do(ctx context.Context, c Command[T]) (Answer, error) {
	if !c.Request.Keyed() {
		return g.run(ctx, c)
	}
	answer, err := g.once(ctx, c)
	g.observer.Keyed(outcomeOf(answer, err))
	return answer, err
}

func outcomeOf(a Answer, err error) Outcome {
	switch {
	case errors.Is(err, ErrInFlight):
		return InFlight
	case errors.Is(err, ErrReused):
		return Reused
	case err != nil:
		return Failed
	case a.Replayed:
		return Replayed
	default:
		return Fresh
	}
}

// once runs a keyed command, if the cache does not know better.
func (g *Guard[T]) once(ctx context.Context, c Command[T]) (Answer, error) {
	owner := messaging.NewToken()
	known, err := g.cache.Begin(ctx, c.Request, owner, g.lease)
	switch {
	case known != nil:
		known.Replayed = true
		return *known, nil
	case fault.KindOf(err) == fault.Conflict || fault.KindOf(err) == fault.Invalid:
		return Answer{}, err
	case err != nil:
		g.ignore(ctx, "begin", err)
	}
	answer, err := g.run(ctx, c)
	after := context.WithoutCancel(ctx)
	if err != nil {
		g.ignore(ctx, "abandon", g.cache.Abandon(after, c.Request, owner))
		return Answer{}, err
	}
	g.ignore(ctx, "finish", g.cache.Finish(after, c.Request, owner, answer, Retention))
	return answer, nil
}

// run runs the command in a transaction, unless that finds its answer there.
func (g *Guard[T]) run(ctx context.Context, c Command[T]) (Answer, error) {
	var answer Answer
	var outcome string
	err := g.store.Atomically(ctx, func(tx T) (err error) {
		if c.Request.Keyed() {
			known, err := tx.Recall(c.Request)
			if err != nil {
				return err
			}
			if known != nil {
				answer, outcome = *known, replayed
				answer.Replayed = true
				return nil
			}
		}
		if answer, err = c.Run(tx); err != nil {
			return err
		}
		if outcome = unchanged; tx.Changed() {
			outcome = changed
		}
		if c.Request.Keyed() {
			return tx.Keep(c.Request, answer)
		}
		return nil
	})
	if err != nil {
		g.observer.Command(c.Name, fault.KindOf(err).String())
		return Answer{}, err
	}
	g.observer.Command(c.Name, outcome)
	return answer, nil
}

func (g *Guard[T]) ignore(ctx context.Context, action string, err error) {
	if err != nil {
		g.observer.CacheFailed()
		g.log.WarnContext(ctx, "idempotency goes on without its fast path", "action", action, "error", err)
	}
}
