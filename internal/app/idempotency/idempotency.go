// Package idempotency gives a command that is sent again with the same key the
// answer of the first time, instead of a second effect.
//
// The answer is stored in the command's own transaction, which decides. There is no
// cache in front: it would cost each first request more than it spares a
// repetition, and whoever writes to it could forge answers.
package idempotency

import (
	"context"
	"errors"
	"sync"
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
	Status   int
	Header   map[string]string
	Body     []byte
	Replayed bool // it was given before
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
}

// Guard runs commands, each in a transaction: the change, its events and the kept
// answer are committed together or not at all. It is to commands what
// messaging.Once is to effects. It is safe for concurrent use.
type Guard[T Tx] struct {
	store    messaging.Store[T]
	observer Observer

	mu      sync.Mutex
	running map[string]Request // in this process, by their keys
}

// NewGuard returns a Guard that runs commands in transactions of store.
func NewGuard[T Tx](store messaging.Store[T], observer Observer) *Guard[T] {
	return &Guard[T]{store: store, observer: observer, running: map[string]Request{}}
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

// once runs a keyed command, unless one with its key is running: to wait for that
// one's end would take the place of others.
func (g *Guard[T]) once(ctx context.Context, c Command[T]) (Answer, error) {
	if err := g.begin(c.Request); err != nil {
		return Answer{}, err
	}
	defer g.end(c.Request)
	return g.run(ctx, c)
}

func (g *Guard[T]) begin(r Request) error {
	g.mu.Lock()
	defer g.mu.Unlock()
	twin, runs := g.running[r.Key]
	switch {
	case !runs:
		g.running[r.Key] = r
		return nil
	case twin != r:
		return ErrReused
	default:
		return ErrInFlight
	}
}

func (g *Guard[T]) end(r Request) {
	g.mu.Lock()
	defer g.mu.Unlock()
	delete(g.running, r.Key)
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
