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
	Recall(ctx context.Context, r Request) (*Answer, error)
	// Keep stores the answer with the transaction.
	Keep(ctx context.Context, r Request, a Answer) error
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

// Observer is told what happens, so that it can be measured. Its methods return
// at once and are safe for concurrent use.
type Observer interface {
	// Keyed reports how a keyed command ended.
	Keyed(o Outcome)
	// CacheFailed reports that the cache was away.
	CacheFailed()
}

// Guard runs keyed commands.
type Guard struct {
	cache    Cache
	lease    time.Duration
	newID    func() string
	observer Observer
	log      *slog.Logger
}

// NewGuard returns a Guard. A command must end before lease does; newID makes
// the tokens by which a guard knows its own claims.
func NewGuard(cache Cache, lease time.Duration, newID func() string, observer Observer, log *slog.Logger) *Guard {
	return &Guard{cache, lease, newID, observer, log}
}

// Do returns the cached answer for r, or runs the command. The command itself
// must call Tx.Recall and Tx.Keep in its transaction.
func (g *Guard) Do(ctx context.Context, r Request, command func(context.Context) (Answer, error)) (Answer, error) {
	if !r.Keyed() {
		return command(ctx)
	}
	answer, err := g.do(ctx, r, command)
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

func (g *Guard) do(ctx context.Context, r Request, command func(context.Context) (Answer, error)) (Answer, error) {
	owner := g.newID()
	known, err := g.cache.Begin(ctx, r, owner, g.lease)
	switch {
	case known != nil:
		known.Replayed = true
		return *known, nil
	case fault.KindOf(err) == fault.Conflict || fault.KindOf(err) == fault.Invalid:
		return Answer{}, err
	case err != nil:
		g.ignore(ctx, "begin", err)
	}
	answer, err := command(ctx)
	after := context.WithoutCancel(ctx)
	if err != nil {
		g.ignore(ctx, "abandon", g.cache.Abandon(after, r, owner))
		return Answer{}, err
	}
	g.ignore(ctx, "finish", g.cache.Finish(after, r, owner, answer, Retention))
	return answer, nil
}

func (g *Guard) ignore(ctx context.Context, action string, err error) {
	if err != nil {
		g.observer.CacheFailed()
		g.log.WarnContext(ctx, "idempotency goes on without its fast path", "action", action, "error", err)
	}
}
