package simulation

import (
	"context"
	"errors"
	"slices"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/numbering"
)

const (
	lockTimeout     = 4 * time.Second
	deadlockTimeout = time.Second
)

// What a database says.
var (
	errDeadlock    = errors.New("deadlock")
	errLockTimeout = errors.New("lock timeout")
	errConstraint  = errors.New("a constraint does not allow this")
	errUnstorable  = fault.New(fault.Invalid, fault.CodeValidation, "The database cannot hold a value of the request.")
)

// Database is a database in memory. Each statement sees what was committed before
// it; what a transaction writes is there with its commit, or not at all; and what
// it has locked stays locked until it ends. It is safe for concurrent use.
type Database struct {
	mu       sync.Mutex
	away     bool
	skew     time.Duration // of its clock
	sessions map[*session]struct{}
	locks    map[string]*lock
	tables   tables
}

// tables are what is committed.
type tables struct {
	answers map[string]kept
	inbox   map[string]struct{}
	things  map[string]Thing
	notes   []Note
	series  map[numbering.Series]numbering.Number
	outbox  []row // by their seq
	nextSeq int64
}

// row is a row of the outbox.
type row struct {
	seq          int64
	message      messaging.Message
	published    bool
	blockedUntil time.Time
}

type kept struct {
	request  idempotency.Request
	answer   idempotency.Answer
	inFlight bool // another transaction has the key: the rest is not known
}

// NewDatabase returns an empty Database.
func NewDatabase() *Database {
	return &Database{
		sessions: map[*session]struct{}{},
		locks:    map[string]*lock{},
		tables: tables{
			answers: map[string]kept{},
			inbox:   map[string]struct{}{},
			things:  map[string]Thing{},
			series:  map[numbering.Series]numbering.Number{},
		},
	}
}

// session is what one transaction has.
type session struct {
	process  *Process
	holds    []string
	waitsFor *lock
	over     bool
}

// lock is held by a session, and by the next in the queue after it.
type lock struct {
	holder *session
	queue  []*waiter
}

type waiter struct {
	session *session
	turn    chan struct{} // closed when the lock is its own, or its session is over
}

func (d *Database) open(p *Process) *session {
	s := &session{process: p}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.sessions[s] = struct{}{}
	return s
}

// end rolls back what the session has not committed.
func (d *Database) end(s *session) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.endLocked(s)
}

func (d *Database) endLocked(s *session) {
	if s.over {
		return
	}
	s.over = true
	delete(d.sessions, s)
	if l := s.waitsFor; l != nil {
		l.queue = slices.DeleteFunc(l.queue, func(w *waiter) bool {
			if w.session == s {
				close(w.turn)
			}
			return w.session == s
		})
	}
	for _, name := range s.holds {
		l := d.locks[name]
		if len(l.queue) == 0 {
			delete(d.locks, name)
			continue
		}
		next := l.queue[0]
		l.queue = l.queue[1:]
		l.holder = next.session
		next.session.holds, next.session.waitsFor = append(next.session.holds, name), nil
		close(next.turn)
	}
}

// Disconnect ends the sessions of a process, as when the server notices its end.
func (d *Database) Disconnect(p *Process) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for s := range d.sessions {
		if s.process == p {
			d.endLocked(s)
		}
	}
}

// SetAway lets the database crash, or brings it back with what was committed and a
// clock of its own.
func (d *Database) SetAway(away bool, skew time.Duration) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.away, d.skew = away, skew
	for s := range d.sessions {
		d.endLocked(s)
	}
}

// serve runs a statement of a session, which sees what is committed.
func (d *Database) serve(s *session, statement func(*tables) error) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away || s.over {
		return errConnection
	}
	return statement(&d.tables)
}

// try locks name for the session, unless another has it.
func (d *Database) try(s *session, name string) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	return !s.over && d.tryLocked(s, name)
}

func (d *Database) tryLocked(s *session, name string) bool {
	l, isHeld := d.locks[name]
	if isHeld {
		return l.holder == s
	}
	d.locks[name] = &lock{holder: s}
	s.holds = append(s.holds, name)
	return true
}

// lock locks name for the session. It waits in line for another that has it.
func (d *Database) lock(ctx context.Context, s *session, name string) error {
	w := &waiter{s, make(chan struct{})}
	if got, err := d.enqueue(w, name); got || err != nil {
		return err
	}
	deadlock, timeout := time.NewTimer(deadlockTimeout), time.NewTimer(lockTimeout)
	defer deadlock.Stop()
	defer timeout.Stop()
	for {
		select {
		case <-w.turn:
			return d.serve(s, func(*tables) error { return nil })
		case <-deadlock.C:
			if d.inCircle(s) {
				return d.giveUp(s, errDeadlock)
			}
		case <-timeout.C:
			return d.giveUp(s, errLockTimeout)
		case <-ctx.Done():
			return d.giveUp(s, context.Cause(ctx))
		}
	}
}

func (d *Database) enqueue(w *waiter, name string) (got bool, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.away || w.session.over {
		return false, errConnection
	}
	if d.tryLocked(w.session, name) {
		return true, nil
	}
	l := d.locks[name]
	l.queue = append(l.queue, w)
	w.session.waitsFor = l
	return false, nil
}

// inCircle reports whether the session waits for itself in the end.
func (d *Database) inCircle(s *session) bool {
	d.mu.Lock()
	defer d.mu.Unlock()
	seen := map[*session]bool{}
	for at := s; at.waitsFor != nil && !seen[at]; {
		seen[at] = true
		if at = at.waitsFor.holder; at == s {
			return true
		}
	}
	return false
}

// giveUp ends a session that waits: after an error there is nothing else to do.
func (d *Database) giveUp(s *session, why error) error {
	d.end(s)
	return why
}

func (d *Database) now() time.Time { return time.Now().Add(d.skew) }
