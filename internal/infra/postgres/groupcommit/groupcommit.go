// Package groupcommit lets transactions that would wait for each other share one:
// its round trips, its locks, and the fsync of its commit.
//
// A member of a group is a function over the transaction, which knows nothing of
// others. The members of a group work one after the other, in memory: each on what
// was loaded and on what those before it have changed. One that asks for what is
// not loaded starts again once that was loaded, for all of them at once. In the
// end all that they changed is written at once, and committed.
//
// So a member that is refused leaves no trace, and a number that it took is the
// next one's. One for which the database refuses the group is found by halves. One
// that has to wait for a lock does so in a transaction of its own, and holds up
// nobody.
package groupcommit

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"runtime/debug"
	"slices"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/batch"
)

const (
	// attempts bounds how often a transaction is run that had no effect.
	attempts = 4
	// maxTime bounds a transaction whose members have no deadline, or a later one.
	maxTime = 30 * time.Second
	// patience is how long a group may wait for a lock that most groups need, without
	// a pause. maxPause bounds the pause after one that has waited longer.
	patience, maxPause = 5 * time.Millisecond, 50 * time.Millisecond
)

// Transaction is one transaction of the database, for one group.
type Transaction[T any] interface {
	// Unit returns its unit of work.
	Unit() *Unit
	// As returns the transaction as a member sees it that has the given context.
	As(ctx context.Context) T
	// Load loads all that its unit of work misses, in one round trip.
	Load(ctx context.Context) error
	// Commit writes all that was changed and commits, in one round trip.
	Commit(ctx context.Context) error
}

// Verdict says what becomes of a group whose transaction has failed.
type Verdict uint8

// The verdicts.
const (
	Final   Verdict = iota // each member gets the error
	Again                  // the transaction had no effect, and may have it at once
	Divide                 // the database refused something: one of the members is to blame
	Disband                // it had to wait for somebody's lock: one of them does so by itself
)

// Database runs the transactions of groups. It is safe for concurrent use.
type Database[T any] interface {
	// Transact runs f with a new transaction, and rolls back what f does not
	// commit. One that waits takes its time for locks that others hold; for any
	// other their rows are Locked.
	Transact(ctx context.Context, waits bool, f func(Transaction[T]) error) error
	// Judge says what an error of Transact means.
	Judge(err error) Verdict
}

// Group is a Database whose transactions are shared. It is safe for concurrent
// use.
type Group[T any] struct {
	db    Database[T]
	queue *batch.Queue[*member[T]] // nil: each has a transaction to itself
}

// Size says how much is done at once; its zero value shares nothing.
type Size struct {
	Groups  int // side by side
	Members int // of a group, at most
}

// New returns a Group on db.
func New[T any](db Database[T], size Size) *Group[T] {
	g := &Group[T]{db: db}
	if size.Groups > 0 {
		g.queue = batch.NewQueue(size.Groups, size.Members, func(members []*member[T]) { g.run(members, false) })
	}
	return g
}

// member is work that waits for its commit.
type member[T any] struct {
	ctx  context.Context //nolint:containedctx // it is the caller's call, handed over
	work func(T) error
	end  chan struct{} // closed when it is over

	mu     sync.Mutex // held while work runs
	sealed bool       // it is too late to leave
	over   bool
	err    error
	panics *panicked
}

// panicked is a panic of a member's work, for the goroutine that wanted it done.
type panicked struct {
	value any
	stack []byte
}

func (p *panicked) Error() string { return fmt.Sprintf("%v\n%s", p.value, p.stack) }

// errLeft says that a member has left whose work was done already.
var errLeft = errors.New("a member of the group has left")

// errUnknown wraps why a caller went before it could be told of the commit.
var errUnknown = errors.New("the outcome of the commit is not known")

// Atomically runs work in a transaction and commits it if work returns nil. Work
// has no effects but through tx, asks nothing but tx, and may be run several
// times: its last run counts. When ctx ends before the commit, work has no effect.
func (g *Group[T]) Atomically(ctx context.Context, work func(tx T) error) error {
	m := &member[T]{ctx: ctx, work: work, end: make(chan struct{})}
	if g.queue != nil {
		g.queue.Add(m)
	} else {
		g.run([]*member[T]{m}, true)
	}
	select {
	case <-m.end:
	case <-ctx.Done():
		m.leave()
	}
	if m.panics != nil {
		panic(m.panics)
	}
	return m.err
}

// Waiting returns how many members wait for a group.
func (g *Group[T]) Waiting() int { return g.queue.Len() }

// run commits the work of the members, or ends them with an error. If waits is
// set there is one, which takes its time for locks.
func (g *Group[T]) run(members []*member[T], waits bool) {
	attempt := 1
	for len(members) > 0 && g.try(members, waits, &attempt) {
		members = slices.DeleteFunc(members, (*member[T]).isOver)
	}
}

// try runs a transaction for the members. It reports whether it has to be tried
// again, for those that are not over.
func (g *Group[T]) try(members []*member[T], waits bool, attempt *int) (again bool) {
	ctx, cancel := deadline(members)
	defer cancel()
	t := turn[T]{members: members}
	err := g.db.Transact(ctx, waits, func(tx Transaction[T]) error { return t.take(ctx, tx) })
	switch {
	case err == nil:
		t.tell()
		g.each(t.locked)
		if t.heldUp >= patience && len(members) > 1 {
			// Groups of other processes are in turn. Those that were told come back
			// meanwhile and are in the next group: half as many turns, twice the size.
			<-time.After(min(t.heldUp/2, maxPause))
		}
		return false
	case errors.Is(err, errLeft):
		return true // without it
	}
	switch verdict := g.db.Judge(err); {
	case verdict == Again && *attempt < attempts:
		*attempt++
		select {
		case <-ctx.Done():
		case <-time.After(rand.N(time.Duration(*attempt) * 20 * time.Millisecond)):
		}
		return true
	case verdict == Divide && len(members) > 1:
		half := len(members) / 2
		g.run(members[:half:half], waits)
		g.run(members[half:], waits)
	case verdict == Disband && !waits:
		g.each(members)
	default:
		for _, m := range members {
			m.finish(err)
		}
	}
	return false
}

// each gives members a transaction to themselves.
func (g *Group[T]) each(members []*member[T]) {
	for _, m := range members {
		go g.run([]*member[T]{m}, true)
	}
}

// deadline returns a context that lasts as long as one of the members waits.
func deadline[T any](members []*member[T]) (context.Context, context.CancelFunc) {
	if len(members) == 1 {
		return context.WithTimeout(members[0].ctx, maxTime)
	}
	var latest time.Time
	limit := time.Now().Add(maxTime)
	for _, m := range members {
		end, bounded := m.ctx.Deadline()
		if !bounded || end.After(limit) {
			latest = limit
			break
		}
		if end.After(latest) {
			latest = end
		}
	}
	return context.WithDeadline(context.Background(), latest)
}

// turn is one attempt at a group.
type turn[T any] struct {
	members []*member[T]
	done    []outcome[T]
	locked  []*member[T]
	heldUp  time.Duration
}

// outcome is what a member gets to hear once the group is committed: also its
// refusal may be due to what another member has changed.
type outcome[T any] struct {
	member *member[T]
	err    error
}

// take runs the members, loads what they miss until they miss nothing, and
// commits.
func (t *turn[T]) take(ctx context.Context, tx Transaction[T]) error {
	for left := t.members; len(left) > 0; {
		var again []*member[T]
		for _, m := range left {
			switch progress, err := m.try(tx); progress {
			case missing:
				again = append(again, m)
			case locked:
				t.locked = append(t.locked, m)
			case done:
				t.done = append(t.done, outcome[T]{m, err})
			}
		}
		if left = again; len(left) > 0 {
			if err := tx.Load(ctx); err != nil {
				return err
			}
		}
	}
	t.heldUp = tx.Unit().heldUp
	if tx.Unit().changes == 0 {
		return nil
	}
	for _, o := range t.done {
		if o.err == nil && !o.member.seal() {
			return errLeft
		}
	}
	return tx.Commit(ctx)
}

// tell ends the members that are done.
func (t *turn[T]) tell() {
	for _, o := range t.done {
		o.member.finish(o.err)
	}
}

// try runs the member's work on the transaction, unless it has left.
func (m *member[T]) try(tx Transaction[T]) (_ progress, err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over || m.ctx.Err() != nil {
		return done, context.Cause(m.ctx)
	}
	m.sealed, m.panics = false, nil
	defer func() {
		if value := recover(); value != nil {
			m.panics = &panicked{value, debug.Stack()}
			err = m.panics
		}
	}()
	as := tx.As(m.ctx)
	return tx.Unit().try(func() error { return m.work(as) })
}

// leave ends the member because its context has ended.
func (m *member[T]) leave() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.over {
		return
	}
	m.over, m.err = true, context.Cause(m.ctx)
	if m.sealed {
		m.err = fmt.Errorf("%w: %w", errUnknown, m.err)
	}
}

// seal makes the member stay until the commit, if it is still there and in time.
func (m *member[T]) seal() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.sealed = !m.over && m.ctx.Err() == nil
	return m.sealed
}

func (m *member[T]) finish(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if !m.over {
		m.over, m.err = true, err
		close(m.end)
	}
}

func (m *member[T]) isOver() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.over
}
