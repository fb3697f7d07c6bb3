package groupcommit

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"
)

// Unit is the unit of work of a group: what its transaction has loaded, and what
// its members have changed so far. Each member sees the changes of those before
// it, and only the changes of one whose work succeeds stay. The zero value is
// ready. It is not safe for concurrent use: members work one after the other.
type Unit struct {
	missing bool          // the member at work asked for what is not loaded yet
	locked  bool          // or for what another transaction has locked
	undo    []func()      // takes back what the member at work has changed
	changes int           // that stay
	heldUp  time.Duration // at the most by one lock
}

// What work gets instead of a row that it cannot have. It returns with an error
// then, and is run again: neither reaches anybody.
var (
	errMissing = errors.New("not loaded yet")
	errLocked  = errors.New("locked by another transaction")
)

// progress is how far a member's work has come.
type progress uint8

const (
	done    progress = iota // with or without an error of its own
	missing                 // once what is missing is loaded, it starts again
	locked                  // it has to wait for a lock
)

// try runs the work of one member.
func (u *Unit) try(work func() error) (_ progress, err error) {
	u.missing, u.locked, u.undo = false, false, u.undo[:0]
	stays := false
	defer func() { // also when work panics
		if stays {
			u.changes += len(u.undo)
			return
		}
		for _, undo := range slices.Backward(u.undo) {
			undo()
		}
	}()
	err = work()
	switch {
	case u.missing:
		return missing, nil
	case u.locked:
		return locked, nil
	}
	stays = err == nil
	return done, err
}

// Changed reports whether the member at work has changed anything so far.
func (u *Unit) Changed() bool { return len(u.undo) > 0 }

// HeldUp says that the transaction has waited that long for a lock which most
// groups need.
func (u *Unit) HeldUp(waited time.Duration) { u.heldUp = max(u.heldUp, waited) }

// Rows are the rows of one kind, by their keys, as a group sees them.
type Rows[K cmp.Ordered, V any] struct {
	unit    *Unit
	known   map[K]row[V]
	asked   map[K]struct{}
	changed []K
}

type row[V any] struct {
	value           V
	exists, changed bool
	locked          bool
}

// NewRows returns the Rows of a kind, none of which is loaded.
func NewRows[K cmp.Ordered, V any](u *Unit) *Rows[K, V] {
	return &Rows[K, V]{unit: u, known: map[K]row[V]{}, asked: map[K]struct{}{}}
}

// Get returns a row and whether it exists. It fails if the row is not loaded or
// locked: then the work is run again later, whatever it returns.
func (r *Rows[K, V]) Get(key K) (value V, exists bool, err error) {
	known, loaded := r.known[key]
	switch {
	case !loaded:
		r.asked[key], r.unit.missing = struct{}{}, true
		return value, false, errMissing
	case known.locked:
		r.unit.locked = true
		return value, false, errLocked
	}
	return known.value, known.exists, nil
}

// Set makes a row what it shall be.
func (r *Rows[K, V]) Set(key K, value V) {
	before, was := r.known[key]
	length := len(r.changed)
	r.unit.undo = append(r.unit.undo, func() {
		r.changed = r.changed[:length]
		if was {
			r.known[key] = before
		} else {
			delete(r.known, key)
		}
	})
	if !before.changed {
		r.changed = append(r.changed, key)
	}
	r.known[key] = row[V]{value: value, exists: true, changed: true}
}

// Asked returns the keys of the rows that are to be loaded, in order, so that
// all transactions lock in the same order. None of them is there until Loaded or
// Locked says otherwise.
func (r *Rows[K, V]) Asked() []K {
	keys := slices.Sorted(maps.Keys(r.asked))
	clear(r.asked)
	for _, key := range keys {
		r.known[key] = row[V]{}
	}
	return keys
}

// Loaded says that a row is there.
func (r *Rows[K, V]) Loaded(key K, value V) { r.known[key] = row[V]{value: value, exists: true} }

// Locked says that a row may be there, and another transaction has it.
func (r *Rows[K, V]) Locked(key K) { r.known[key] = row[V]{locked: true} }

// AskAgain has the row of a key loaded once more.
func (r *Rows[K, V]) AskAgain(key K) error {
	delete(r.known, key)
	_, _, err := r.Get(key)
	return err
}

// Changed returns the rows that were changed, in the order of their first change.
func (r *Rows[K, V]) Changed() []V {
	values := make([]V, len(r.changed))
	for i, key := range r.changed {
		values[i] = r.known[key].value
	}
	return values
}

// Log collects what is only ever added, in order.
type Log[V any] struct {
	unit    *Unit
	entries []V
}

// NewLog returns an empty Log.
func NewLog[V any](u *Unit) *Log[V] { return &Log[V]{unit: u} }

// Add appends an entry.
func (l *Log[V]) Add(entry V) {
	length := len(l.entries)
	l.unit.undo = append(l.unit.undo, func() { l.entries = l.entries[:length] })
	l.entries = append(l.entries, entry)
}

// Entries returns what was added.
func (l *Log[V]) Entries() []V { return l.entries }
