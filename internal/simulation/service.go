package simulation

import (
	"encoding/json"
	"errors"
	"slices"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/numbering"
	"github.com/winaity/billing/internal/domain/version"
)

// Tx is what the transactions of a toy service work on: one that makes numbered
// things, changes them, and writes a numbered note about each change.
type Tx interface {
	// Thing returns the thing and locks it, or fails with ErrNoThing.
	Thing(id string) (Thing, error)
	// Put stores the thing.
	Put(thing Thing) error
	// Write stores a note.
	Write(n Note) error
	// Publish adds an event to the outbox.
	Publish(e event.Event) error
	// NextNumber takes the next number of the series.
	NextNumber(s numbering.Series) (numbering.Number, error)

	messaging.Inbox
	idempotency.Tx
}

// Thing is an aggregate.
type Thing struct {
	ID         string
	Number     numbering.Number
	Changes    []string // the commands that made its versions
	Closed     bool
	Unstorable bool
}

// Version is the thing's version.
func (t Thing) Version() int { return len(t.Changes) }

// Note is the effect of an event.
type Note struct {
	ID      string
	EventID string
	Number  numbering.Number
}

// The series of numbers, and the types of events.
const (
	thingSeries numbering.Series = "THING"
	noteSeries  numbering.Series = "NOTE"

	typeOpened  = "sim.thing.opened"
	typeChanged = "sim.thing.changed"
	typeWritten = "sim.note.written"
)

// The errors of the toy service.
var (
	ErrNoThing  = fault.New(fault.NotFound, "no-thing", "There is no such thing.")
	errClosed   = fault.New(fault.Conflict, "closed", "The thing is closed.")
	errUnwanted = fault.New(fault.Invalid, "unwanted", "Nobody wants such a thing.")
	errPoison   = fault.New(fault.Invalid, "poison", "The event cannot be handled.")
	errFlawed   = errors.New("the event cannot be handled yet")
)

// data is that of every event.
type data struct {
	Command string `json:"command"`
	Trouble string `json:"trouble,omitempty"` // that its handler is to have
}

// The troubles that a handler may have with an event.
const (
	poison   = "poison"
	panicky  = "panic"
	flawed   = "flawed"
	harmless = ""
)

// command is what a client wants.
type command struct {
	id, kind string
	thing    string // to change
	beside   string // another one, to lock before that
	expect   version.Precondition
	trouble  string
	request  idempotency.Request
}

// The kinds of commands.
const (
	open       = "open"
	unwanted   = "unwanted"   // takes a number, and is refused then
	unstorable = "unstorable" // the database refuses it
	regretted  = "regretted"  // is refused when all is done
	breaking   = "breaking"   // panics after it has taken a number
	change     = "change"
	finish     = "finish" // a change, the last one
	look       = "look"   // changes nothing
)

// result is the body of an answer.
type result struct {
	Thing   string `json:"thing"`
	Number  string `json:"number"`
	Version int    `json:"version"`
}

func (c command) build() idempotency.Command[Tx] {
	run := c.change
	if c.thing == "" {
		run = c.open
	}
	return idempotency.Command[Tx]{Name: c.kind, Request: c.request, Run: run}
}

func (c command) open(tx Tx) (idempotency.Answer, error) {
	number, err := tx.NextNumber(thingSeries)
	if err != nil {
		return idempotency.Answer{}, err
	}
	switch c.kind {
	case unwanted:
		return idempotency.Answer{}, errUnwanted
	case breaking:
		panic("a bug in " + c.id)
	}
	thing := Thing{ID: messaging.NewID("thing_"), Number: number, Changes: []string{c.id}, Unstorable: c.kind == unstorable}
	return c.save(tx, thing, typeOpened)
}

func (c command) change(tx Tx) (idempotency.Answer, error) {
	if c.beside != "" {
		if _, err := tx.Thing(c.beside); err != nil {
			return idempotency.Answer{}, err
		}
	}
	thing, err := tx.Thing(c.thing)
	switch {
	case err != nil:
		return idempotency.Answer{}, err
	case c.kind == look:
		return answer(thing), nil
	case thing.Closed:
		return idempotency.Answer{}, errClosed
	}
	if err := c.expect.Check(thing.Version()); err != nil {
		return idempotency.Answer{}, err
	}
	thing.Changes = append(slices.Clip(thing.Changes), c.id)
	thing.Closed = c.kind == finish
	return c.save(tx, thing, typeChanged)
}

func (c command) save(tx Tx, thing Thing, eventType string) (idempotency.Answer, error) {
	if err := tx.Put(thing); err != nil {
		return idempotency.Answer{}, err
	}
	err := tx.Publish(event.Event{
		Type: eventType, AggregateType: "Thing", AggregateID: thing.ID, Version: thing.Version(),
		OccurredAt: time.Now(), Data: data{c.id, c.trouble},
	})
	if c.kind == regretted {
		err = errUnwanted
	}
	return answer(thing), err
}

func answer(t Thing) idempotency.Answer {
	body, _ := json.Marshal(result{t.ID, t.Number.String(), t.Version()}) // always marshals
	return idempotency.Answer{Status: 200, Header: map[string]string{"Location": t.ID}, Body: body}
}

// handlers are the effects of events. Those that some events trouble share a
// transaction with others all the same.
var handlers = map[string]messaging.Handler[Tx]{
	typeChanged: {Name: "write-note", Handle: writeNote},
}

func writeNote(tx Tx, msg messaging.Envelope) error {
	var about data
	if err := json.Unmarshal(msg.Data, &about); err != nil {
		return errPoison
	}
	if _, err := tx.Thing(msg.AggregateID); err != nil {
		return err
	}
	number, err := tx.NextNumber(noteSeries)
	if err != nil {
		return err
	}
	switch about.Trouble {
	case poison:
		return errPoison
	case panicky:
		panic("a bug in a handler")
	case flawed:
		return errFlawed
	}
	note := Note{ID: messaging.NewID("note_"), EventID: msg.ID, Number: number}
	if err := tx.Write(note); err != nil {
		return err
	}
	return tx.Publish(event.Event{
		Type: typeWritten, AggregateType: "Note", AggregateID: note.ID, Version: 1,
		OccurredAt: number.TakenAt, Data: data{Command: msg.ID},
	})
}
