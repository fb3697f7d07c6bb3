// Package simulation runs the plumbing of the service in virtual time: the relay,
// the consumer, its deduplication, the guard of commands and group commit, against
// a database, a stream and a cache that are as unreliable as real ones, and checks
// every promise against what is there in the end.
//
// The fakes of the ports are held to the same behaviour as the adapters by the
// suites of package conformance. What goes wrong, and when, follows from a seed.
package simulation

import (
	"context"
	"errors"
	"math/rand/v2"
	"sync"
	"sync/atomic"
	"time"

	"github.com/winaity/billing/internal/domain/fault"
)

// Faults decide what becomes of each call, by the seed and by which call it is: so
// the same calls meet the same fate again. It is safe for concurrent use.
type Faults struct {
	seed  uint64
	oneIn int // calls in trouble
	ended atomic.Bool

	mu    sync.Mutex
	calls map[string]uint64 // so far, by their name
}

// NewFaults returns the Faults of a seed: each has its own share of calls in
// trouble, and some have none.
func NewFaults(seed uint64) *Faults {
	shares := []int{0, 200, 50, 20, 8}
	return &Faults{seed: seed, oneIn: shares[seed%uint64(len(shares))], calls: map[string]uint64{}}
}

// End lets nothing go wrong any more.
func (f *Faults) End() { f.ended.Store(true) }

// fate is what becomes of one call.
type fate struct {
	there, back time.Duration // that it and its answer take
	lost        bool          // it does not arrive
	late        time.Duration // after which it arrives when nobody waits for it any more; zero: never
	mute        bool          // it is served, and its answer is lost
	amnesia     bool          // who serves it has forgotten what it may forget
	refused     bool          // who serves it does not take it
}

// of returns the fate of the next call of that name. Without Faults all goes well,
// at once.
func (f *Faults) of(name string) fate {
	if f == nil {
		return fate{}
	}
	dice := f.dice(name)
	fate := fate{there: dice.delay(false), back: dice.delay(false)}
	if f.ended.Load() || f.oneIn == 0 {
		return fate
	}
	fate.there, fate.back = dice.delay(dice.once(f.oneIn)), dice.delay(dice.once(f.oneIn))
	fate.lost, fate.mute = dice.once(f.oneIn), dice.once(f.oneIn)
	fate.amnesia, fate.refused = dice.once(f.oneIn), dice.once(4*f.oneIn)
	if dice.once(2) {
		fate.late = dice.upTo(40 * time.Second)
	}
	return fate
}

// dice returns the dice for the next call of that name.
func (f *Faults) dice(name string) dice {
	f.mu.Lock()
	f.calls[name]++
	n := f.calls[name]
	f.mu.Unlock()
	return newDice(f.seed, name, n)
}

// dice are random choices that follow from a seed.
type dice struct{ *rand.Rand }

func newDice(seed uint64, name string, n uint64) dice {
	// FNV-1a, and not a hash that differs from process to process.
	hash := uint64(14695981039346656037)
	for _, b := range []byte(name) {
		hash = (hash ^ uint64(b)) * 1099511628211
	}
	return dice{rand.New(rand.NewPCG(seed, hash+n*0x9e3779b97f4a7c15))}
}

func (d dice) once(in int) bool { return d.IntN(in) == 0 }

func (d dice) upTo(limit time.Duration) time.Duration {
	return 1 + time.Duration(d.Int64N(int64(limit)))
}

// delay is about what a network takes; if it is in trouble, up to some seconds.
func (d dice) delay(trouble bool) time.Duration {
	if !trouble {
		return d.upTo(2 * time.Millisecond)
	}
	return d.upTo([]time.Duration{50 * time.Millisecond, time.Second, 12 * time.Second}[d.IntN(3)])
}

// Process is a process of the service, as servers know it. All that it reaches
// them by ends with it.
type Process struct {
	name   string
	faults *Faults
	gone   <-chan struct{} // closed when it is killed
}

// NewProcess returns a process that lives until gone is closed. Nothing happens to
// the calls of one without Faults.
func NewProcess(name string, faults *Faults, gone <-chan struct{}) *Process {
	return &Process{name, faults, gone}
}

func (p *Process) isGone() bool {
	select {
	case <-p.gone:
		return true
	default:
		return false
	}
}

var (
	errConnection = errors.New("the connection is lost")
	errGone       = errors.New("this process was killed")
)

// ask lets a question travel to who answers it, and the answer back. After an error
// that is not that of serve, it may have been served all the same, or be later.
func ask[T any](ctx context.Context, p *Process, name string, serve func(fate) (T, error)) (answer T, err error) {
	if p.isGone() {
		return answer, errGone
	}
	fate := p.faults.of(p.name + " " + name)
	err = p.wait(ctx, fate.there)
	if err == nil && fate.lost {
		err = errConnection
	}
	if err != nil {
		if fate.late > 0 {
			time.AfterFunc(fate.late, func() { _, _ = serve(fate) })
		}
		return answer, err
	}
	served, err := serve(fate)
	if lost := p.wait(ctx, fate.back); lost != nil {
		return answer, lost
	}
	if fate.mute {
		return answer, errConnection
	}
	return served, err
}

// call is ask where the answer says nothing.
func (p *Process) call(ctx context.Context, name string, serve func(fate) error) error {
	_, err := ask(ctx, p, name, func(f fate) (struct{}, error) { return struct{}{}, serve(f) })
	return err
}

// wait lets time go by, unless nobody waits for its end.
func (p *Process) wait(ctx context.Context, d time.Duration) error {
	if d == 0 {
		return ctx.Err()
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-p.gone:
		return errGone
	}
}

// unavailable gives an error of a server that cannot be reached its kind.
func unavailable(err error) error {
	if _, ok := errors.AsType[*fault.Error](err); ok || err == nil {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "dependency-unavailable", "It is not available right now.")
}
