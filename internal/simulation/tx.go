package simulation

import (
	"maps"
	"slices"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/numbering"
)

// tx implements Tx, for one member of a group.
type tx struct {
	*transaction
	trace messaging.Trace
}

// Receive implements messaging.Inbox.
func (t tx) Receive(handler, key string) (bool, error) {
	received := handler + " " + key
	_, known, err := t.inbox.Get(received)
	if err == nil && !known {
		t.inbox.Set(received, received)
	}
	return !known, nil
}

// Recall implements idempotency.Tx.
func (t tx) Recall(r idempotency.Request) (*idempotency.Answer, error) {
	k, known, err := t.answers.Get(r.Key)
	switch {
	case err != nil || !known:
		return nil, nil //nolint:nilerr // until it is loaded, there is no answer
	case k.inFlight:
		return nil, idempotency.ErrInFlight
	case k.request.Fingerprint != r.Fingerprint:
		return nil, idempotency.ErrReused
	}
	answer := clone(k.answer)
	return &answer, nil
}

// Keep implements idempotency.Tx.
func (t tx) Keep(r idempotency.Request, a idempotency.Answer) error {
	t.answers.Set(r.Key, kept{request: r, answer: clone(a)})
	return nil
}

func clone(a idempotency.Answer) idempotency.Answer {
	return idempotency.Answer{Status: a.Status, Header: maps.Clone(a.Header), Body: slices.Clone(a.Body)}
}

// Changed implements idempotency.Tx.
func (t tx) Changed() bool { return t.unit.Changed() }

// NextNumber implements Tx.
func (t tx) NextNumber(s numbering.Series) (numbering.Number, error) {
	c, _, err := t.series.Get(s)
	if err != nil {
		return numbering.Number{}, err
	}
	c.last = c.last.Next(c.now)
	t.series.Set(s, c)
	return c.last, nil
}

// Thing implements Tx.
func (t tx) Thing(id string) (Thing, error) {
	thing, exists, err := t.things.Get(id)
	if err == nil && !exists {
		err = ErrNoThing
	}
	return thing, err
}

// Put implements Tx.
func (t tx) Put(thing Thing) error {
	if thing.Version() > 1 {
		current, _, err := t.things.Get(thing.ID)
		if err != nil {
			return err
		}
		if current.Version() != thing.Version()-1 {
			return fault.New(fault.Conflict, "version-mismatch", "The thing was changed by someone else.")
		}
	}
	t.things.Set(thing.ID, thing)
	return nil
}

// Write implements Tx.
func (t tx) Write(n Note) error {
	t.notes.Add(n)
	return nil
}

// Publish implements Tx.
func (t tx) Publish(e event.Event) error {
	message, err := messaging.Seal(t.trace, e)
	if err != nil {
		return err
	}
	t.outbox.Add(message)
	return nil
}
