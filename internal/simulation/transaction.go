package simulation

import (
	"context"
	"errors"
	"slices"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/numbering"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
)

// Connection is a groupcommit.Database: a Database as a process reaches it.
type Connection struct {
	db       *Database
	process  *Process
	appended messaging.Signal
}

var _ groupcommit.Database[Tx] = (*Connection)(nil)

// Connect returns the database as the process reaches it. Appended is notified
// after each commit that added events to the outbox.
func (d *Database) Connect(p *Process, appended messaging.Signal) *Connection {
	return &Connection{d, p, appended}
}

// commitError says that it is unknown whether the transaction was committed.
type commitError struct{ err error }

func (e *commitError) Error() string { return "commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// Transact implements groupcommit.Database.
func (c *Connection) Transact(_ context.Context, waits bool, f func(groupcommit.Transaction[Tx]) error) error {
	t := c.begin(waits)
	defer c.db.end(t.session)
	if err := f(t); err != nil {
		return err
	}
	if len(t.outbox.Entries()) > 0 {
		c.appended.Notify()
	}
	return nil
}

// Judge implements groupcommit.Database.
func (c *Connection) Judge(err error) groupcommit.Verdict {
	if _, unknown := errors.AsType[*commitError](err); unknown {
		return groupcommit.Final
	}
	switch {
	case errors.Is(err, errConnection), errors.Is(err, errDeadlock):
		return groupcommit.Again
	case errors.Is(err, errLockTimeout):
		return groupcommit.Disband
	case errors.Is(err, errConstraint), errors.Is(err, errUnstorable):
		return groupcommit.Divide
	default:
		return groupcommit.Final
	}
}

// Ready returns nil if the database answers.
func (c *Connection) Ready(ctx context.Context) error {
	return c.process.call(ctx, "ready", func(fate) error {
		s := c.db.open(c.process)
		defer c.db.end(s)
		return c.db.serve(s, func(*tables) error { return nil })
	})
}

// Store is a messaging.Store of a groupcommit.Database.
type Store struct{ group *groupcommit.Group[Tx] }

var _ messaging.Store[Tx] = (*Store)(nil)

// NewStore returns a Store whose transactions are shared by so many.
func NewStore(db groupcommit.Database[Tx], size groupcommit.Size) *Store {
	return &Store{groupcommit.New(db, size)}
}

// Atomically implements messaging.Store.
func (s *Store) Atomically(ctx context.Context, f func(Tx) error) error {
	err := s.group.Atomically(ctx, f)
	_, unknown := errors.AsType[*commitError](err)
	for _, passes := range []error{errConnection, errGone, errDeadlock, errLockTimeout, context.DeadlineExceeded} {
		unknown = unknown || errors.Is(err, passes)
	}
	if unknown {
		return unavailable(err)
	}
	return err
}

// transaction is a groupcommit.Transaction.
type transaction struct {
	*Connection
	session *session
	waits   bool // for locks

	unit    *groupcommit.Unit
	answers *groupcommit.Rows[string, kept]
	inbox   *groupcommit.Rows[string, string]
	things  *groupcommit.Rows[string, Thing]
	series  *groupcommit.Rows[numbering.Series, counter]
	notes   *groupcommit.Log[Note]
	outbox  *groupcommit.Log[messaging.Message]
}

// counter is where a series has got to.
type counter struct {
	last numbering.Number
	now  time.Time // when it was locked
}

func (c *Connection) begin(waits bool) *transaction {
	u := &groupcommit.Unit{}
	return &transaction{
		Connection: c, session: c.db.open(c.process), waits: waits,
		unit:    u,
		answers: groupcommit.NewRows[string, kept](u),
		inbox:   groupcommit.NewRows[string, string](u),
		things:  groupcommit.NewRows[string, Thing](u),
		series:  groupcommit.NewRows[numbering.Series, counter](u),
		notes:   groupcommit.NewLog[Note](u),
		outbox:  groupcommit.NewLog[messaging.Message](u),
	}
}

// Unit implements groupcommit.Transaction.
func (t *transaction) Unit() *groupcommit.Unit { return t.unit }

// As implements groupcommit.Transaction.
func (t *transaction) As(ctx context.Context) Tx { return tx{t, messaging.TraceFrom(ctx)} }

// Load implements groupcommit.Transaction.
func (t *transaction) Load(ctx context.Context) error {
	return t.process.call(ctx, "load", func(fate) error {
		if err := t.serve(func(*tables) error { return nil }); err != nil {
			return err
		}
		for _, load := range []func(context.Context) error{t.loadAnswers, t.loadInbox, t.loadThings, t.loadSeries} {
			if err := load(ctx); err != nil {
				return err
			}
		}
		return nil
	})
}

func (t *transaction) serve(statement func(*tables) error) error {
	return t.db.serve(t.session, statement)
}

func (t *transaction) loadAnswers(context.Context) error {
	asked := t.answers.Asked()
	for _, key := range asked {
		if !t.db.try(t.session, "key "+key) {
			t.answers.Loaded(key, kept{inFlight: true})
		}
	}
	return t.serve(func(committed *tables) error {
		for _, key := range asked {
			if k, ok := committed.answers[key]; ok {
				t.answers.Loaded(key, k)
			}
		}
		return nil
	})
}

func (t *transaction) loadInbox(ctx context.Context) error {
	asked := t.inbox.Asked()
	for _, received := range asked {
		if t.waits {
			if err := t.db.lock(ctx, t.session, "message "+received); err != nil {
				return err
			}
		} else if !t.db.try(t.session, "message "+received) {
			t.inbox.Locked(received)
		}
	}
	return t.serve(func(committed *tables) error {
		for _, received := range asked {
			if _, ok := committed.inbox[received]; ok {
				t.inbox.Loaded(received, received)
			}
		}
		return nil
	})
}

func (t *transaction) loadThings(ctx context.Context) error {
	for _, id := range t.things.Asked() {
		exists := false
		if err := t.serve(func(committed *tables) error { _, exists = committed.things[id]; return nil }); err != nil {
			return err
		}
		switch {
		case t.waits && exists:
			if err := t.db.lock(ctx, t.session, "thing "+id); err != nil {
				return err
			}
		case t.waits:
			continue
		case !exists, !t.db.try(t.session, "thing "+id):
			t.things.Locked(id) // or it does not exist: whoever waits for it will see
			continue
		}
		// After the lock was granted: who had it may have changed the row.
		if err := t.serve(func(committed *tables) error { t.things.Loaded(id, committed.things[id]); return nil }); err != nil {
			return err
		}
	}
	return nil
}

func (t *transaction) loadSeries(ctx context.Context) error {
	for _, name := range t.series.Asked() {
		asked := time.Now()
		if err := t.db.lock(ctx, t.session, "series "+string(name)); err != nil {
			return err
		}
		t.unit.HeldUp(time.Since(asked))
		err := t.serve(func(committed *tables) error {
			last, ok := committed.series[name]
			if !ok {
				last = numbering.Number{Series: name, TakenAt: time.Unix(0, 0).UTC()}
			}
			t.series.Loaded(name, counter{last, t.db.now()})
			return nil
		})
		if err != nil {
			return err
		}
	}
	return nil
}

// Commit implements groupcommit.Transaction.
func (t *transaction) Commit(ctx context.Context) error {
	err := t.process.call(ctx, "commit", func(f fate) error {
		var first int64
		// A row gets its seq when it is written, and is seen when that is committed.
		if err := t.serve(func(committed *tables) error { first = t.reserve(committed); return t.check(committed) }); err != nil {
			return err
		}
		if err := t.process.wait(ctx, f.back/2); err != nil {
			return err
		}
		return t.serve(func(committed *tables) error { t.write(committed, first); return nil })
	})
	if err == nil || errors.Is(err, errConstraint) || errors.Is(err, errUnstorable) {
		return err
	}
	return &commitError{err}
}

func (t *transaction) reserve(committed *tables) (first int64) {
	first = committed.nextSeq
	committed.nextSeq += int64(len(t.outbox.Entries()))
	return first
}

// check fails for what the database does not take.
func (t *transaction) check(committed *tables) error {
	for _, k := range t.answers.Changed() {
		if _, exists := committed.answers[k.request.Key]; exists {
			return errConstraint
		}
	}
	for _, received := range t.inbox.Changed() {
		if _, exists := committed.inbox[received]; exists {
			return errConstraint
		}
	}
	for _, thing := range t.things.Changed() {
		if thing.Unstorable {
			return errUnstorable
		}
	}
	return nil
}

func (t *transaction) write(committed *tables, firstSeq int64) {
	for _, k := range t.answers.Changed() {
		committed.answers[k.request.Key] = k
	}
	for _, received := range t.inbox.Changed() {
		committed.inbox[received] = struct{}{}
	}
	for _, thing := range t.things.Changed() {
		committed.things[thing.ID] = thing
	}
	for _, c := range t.series.Changed() {
		committed.series[c.last.Series] = c.last
	}
	committed.notes = append(committed.notes, t.notes.Entries()...)
	for i, message := range t.outbox.Entries() {
		message.RecordedAt = t.db.now()
		committed.outbox = append(committed.outbox, row{seq: firstSeq + int64(i), message: message})
	}
	slices.SortFunc(committed.outbox, func(a, b row) int { return int(a.seq - b.seq) })
}
