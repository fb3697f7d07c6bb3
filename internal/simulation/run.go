package simulation

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/version"
)

const (
	trouble  = 15 * time.Second // for how long things go wrong
	patience = 20 * time.Minute // until all is done after that
)

// Run runs one schedule, in a bubble of testing/synctest, and returns the promises
// that were broken.
func Run(seed uint64, wraps Wraps) (violations []string) {
	w := newWorld(seed, wraps)
	if w.dice.once(3) { // across a new year
		newYear := time.Date(time.Now().Year()+1, 1, 1, 0, 0, 0, 0, time.UTC)
		pause(time.Until(newYear) - w.dice.upTo(trouble))
	}
	for _, i := range w.instances {
		i.start()
	}
	var clients, accidents sync.WaitGroup
	many := 1 + w.dice.IntN(6)
	if w.dice.once(12) {
		many = 40 // at once: enough for batches that are published as one
	}
	for n := range many {
		clients.Go(func() { w.client(n) })
	}
	w.plan(&accidents)
	accidents.Wait()
	w.faults.End()
	clients.Wait()
	if !w.rest() {
		violations = append(violations, fmt.Sprintf("not all was done %v after the last fault: %+v", patience, w.stream.Lag()))
	}
	var ending sync.WaitGroup
	for _, i := range w.instances {
		ending.Go(i.drain)
	}
	ending.Wait()
	return append(violations, w.check()...)
}

// pause lets virtual time go by.
func pause(d time.Duration) { <-time.After(d) }

// plan lets processes and servers fail at some instants. All are back in the end.
func (w *world) plan(accidents *sync.WaitGroup) {
	at := func(do func(d dice)) {
		d := newDice(w.dice.Uint64(), "accident", 0)
		accidents.Go(func() { pause(d.upTo(trouble)); do(d) })
	}
	for _, i := range w.instances {
		if w.dice.once(2) {
			at(func(d dice) {
				if d.once(4) {
					i.drain()
				} else {
					i.crash(time.Duration(d.IntN(2)) * d.upTo(6*time.Second))
				}
				pause(d.upTo(3 * time.Second))
				i.start()
			})
		}
	}
	if w.dice.once(4) {
		at(func(d dice) {
			w.db.SetAway(true, 0)
			pause(d.upTo(5 * time.Second))
			w.db.SetAway(false, d.upTo(2*time.Second)-time.Second)
		})
	}
	if w.dice.once(4) {
		at(func(d dice) {
			w.stream.SetAway(true)
			pause(d.upTo(10 * time.Second))
			w.stream.SetAway(false)
		})
	}
	if w.dice.once(4) {
		at(func(d dice) {
			w.cache.SetAway(true)
			pause(d.upTo(10 * time.Second))
			w.cache.SetAway(false)
		})
	}
	if w.dice.once(8) {
		at(func(dice) { w.stream.Put(typeChanged, "no event") })
	}
	at(func(dice) {})
}

// rest waits until everything is published and handled.
func (w *world) rest() bool {
	for deadline := time.Now().Add(patience); time.Now().Before(deadline); pause(5 * time.Second) {
		if lag := w.stream.Lag(); lag.Pending == 0 && lag.AckPending == 0 && w.db.waiting() == 0 {
			return true
		}
	}
	return false
}

// record is a command with all that its client was told.
type record struct {
	command
	answers  []idempotency.Answer
	refusals []error
	unknown  int  // attempts of which it was told nothing that it can rely on
	reuses   bool // the key of another command
	inVain   bool // it was repeated for long, and its client still does not know
}

// client issues some commands, one after the other.
func (w *world) client(n int) {
	d := newDice(w.seed, fmt.Sprint("client ", n), 0)
	pause(d.upTo(time.Second))
	for i := range 1 + d.IntN(5) {
		if d.once(2) { // else at once
			pause(d.upTo(5 * time.Second))
		}
		r := &record{command: w.invent(d, fmt.Sprintf("%d-%d", n, i))}
		w.note(r)
		if !r.request.Keyed() {
			w.attempt(d, r)
			continue
		}
		var twins sync.WaitGroup
		if d.once(4) {
			other := newDice(w.seed, fmt.Sprint("twin of ", r.id), 0)
			twins.Go(func() { w.insist(other, r) })
		}
		w.insist(d, r)
		twins.Wait()
		for d.once(4) { // to hear it again
			w.insist(d, r)
		}
		if d.once(6) && len(r.answers) > 0 {
			w.reuse(d, r.command)
		}
	}
}

func (w *world) note(r *record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.commands = append(w.commands, r)
}

// reuse sends another command with a key that was answered.
func (w *world) reuse(d dice, c command) {
	c.id, c.request.Fingerprint = c.id+" reused", c.request.Fingerprint+" reused"
	r := &record{command: c, reuses: true}
	w.note(r)
	w.insist(d, r)
}

// invent makes a command up.
func (w *world) invent(d dice, id string) command {
	w.mu.Lock()
	defer w.mu.Unlock()
	c := command{id: id, kind: open}
	if !d.once(3) {
		c.request = idempotency.Request{Key: "key " + id, Fingerprint: id}
	}
	if d.once(5) {
		c.kind = []string{unwanted, regretted, unstorable, breaking}[d.IntN(4)]
		return c
	}
	if len(w.things) == 0 || d.once(4) {
		return c
	}
	c.kind, c.thing = change, w.things[d.IntN(len(w.things))]
	switch d.IntN(10) {
	case 0:
		c.kind = finish
	case 1:
		c.kind = look
	case 2:
		c.trouble = []string{poison, panicky, flawed}[d.IntN(3)]
	}
	if d.once(4) {
		c.beside = w.things[d.IntN(len(w.things))]
	}
	if d.once(3) {
		c.expect.In = &version.Set{Of: []int{1 + d.IntN(3)}}
	}
	return c
}

// insist repeats a command until it is told what became of it.
func (w *world) insist(d dice, r *record) {
	for deadline := time.Now().Add(patience); !w.attempt(d, r); pause(d.upTo(2 * time.Second)) {
		if time.Now().After(deadline) {
			w.mu.Lock()
			defer w.mu.Unlock()
			r.inVain = true
			return
		}
	}
}

var (
	errUnknown = errors.New("the client does not know")
	errTooLate = errors.New("the time was up before the commit")
)

// attempt sends a command once and reports whether that told what became of it.
func (w *world) attempt(d dice, r *record) bool {
	ctx, cancel := context.WithTimeout(context.Background(), requestTime)
	if d.once(4) {
		ctx, cancel = context.WithTimeout(context.Background(), d.upTo(20*time.Millisecond))
	}
	defer cancel()
	answer, err := w.send(ctx, w.instances[d.IntN(len(w.instances))], r.command)
	kind := fault.KindOf(err)
	w.mu.Lock()
	defer w.mu.Unlock()
	switch {
	case err == nil:
		r.answers = append(r.answers, answer)
		if r.thing == "" {
			w.things = append(w.things, answer.Header["Location"])
		}
	case kind == fault.Conflict || kind == fault.Invalid || kind == fault.NotFound:
		if errors.Is(err, idempotency.ErrInFlight) {
			return false
		}
		r.refusals = append(r.refusals, err)
	case r.kind == breaking && !errors.Is(err, errUnknown) && !errors.Is(err, errTooLate):
		r.refusals = append(r.refusals, err)
	case errors.Is(err, errTooLate):
		return false
	default:
		r.unknown++
		return false
	}
	return true
}

// send runs a command in a process. Its client hears nothing of one that is killed
// meanwhile; but of a panic, which is an answer of its own.
func (w *world) send(ctx context.Context, i *instance, c command) (answer idempotency.Answer, err error) {
	guard, process := i.current()
	if guard == nil {
		return answer, errUnknown
	}
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
		switch {
		case process.isGone():
			err = errUnknown
		case isTooLate(err):
			err = errTooLate
		case fault.KindOf(err) == fault.Unavailable:
			err = errUnknown
		}
	}()
	return guard.Do(ctx, c.build())
}

// isTooLate reports whether err says that the time was up, and not that the commit
// had begun by then.
func isTooLate(err error) bool {
	_, unknown := errors.AsType[*commitError](err)
	return errors.Is(err, context.DeadlineExceeded) && !unknown && !strings.Contains(err.Error(), "the commit is not known")
}
