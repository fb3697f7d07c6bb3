// Package event holds what an aggregate needs to say what happened to it.
package event

import "time"

// Event is a fact about one aggregate, in the past tense. It carries no
// identifiers of its own: those belong to the message that will carry it.
type Event struct {
	Type          string    // <context>.<aggregate>.<past participle>, lower case
	AggregateType string    // for example "Order"
	AggregateID   string    //
	Version       int       // the aggregate's version after this event, from 1
	OccurredAt    time.Time // UTC
	Data          any       // the payload, a struct that marshals to a JSON object
}

// Recorder collects the events of an aggregate until it is saved. Embed it; the
// zero value is ready. It is not safe for concurrent use, as no aggregate is.
type Recorder struct {
	pending []Event
}

// Record appends an event.
func (r *Recorder) Record(e Event) { r.pending = append(r.pending, e) }

// Pending returns the events recorded since the last Flush, oldest first.
func (r *Recorder) Pending() []Event { return r.pending }

// Flush returns the pending events and forgets them.
func (r *Recorder) Flush() []Event {
	events := r.pending
	r.pending = nil
	return events
}
