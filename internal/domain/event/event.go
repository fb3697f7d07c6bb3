// Package event holds what an aggregate needs to say what happened to it.
package event

import "time"

// Event is a fact about one aggregate, in the past tense. It carries no
// identifier of its own: that belongs to the message that will carry it.
type Event struct {
	Type          string    // <context>.<aggregate>.<past participle>, lower case
	AggregateType string    // for example "Order"
	AggregateID   string    //
	Version       int       // the aggregate's version after this event, from 1
	OccurredAt    time.Time // UTC
	Data          any       // the payload, a struct that marshals to a JSON object
}

// Recorder counts the version of an aggregate, and collects its events until they
// are saved. It is not safe for concurrent use, as no aggregate is.
type Recorder struct {
	aggregateType, aggregateID string
	saved                      int // version
	pending                    []Event
}

// NewRecorder returns the Recorder of an aggregate whose version is the given one;
// 0 if nothing has happened to it yet.
func NewRecorder(aggregateType, aggregateID string, version int) Recorder {
	return Recorder{aggregateType: aggregateType, aggregateID: aggregateID, saved: version}
}

// Record adds an event, with which the aggregate has its next version.
func (r *Recorder) Record(eventType string, at time.Time, data any) {
	r.pending = append(r.pending, Event{
		Type:          eventType,
		AggregateType: r.aggregateType,
		AggregateID:   r.aggregateID,
		Version:       r.Version() + 1,
		OccurredAt:    at,
		Data:          data,
	})
}

// Version returns the aggregate's version, with its pending events.
func (r *Recorder) Version() int { return r.saved + len(r.pending) }

// Pending returns the events recorded since the last Flush, oldest first.
func (r *Recorder) Pending() []Event { return r.pending }

// Flush returns the pending events and takes them for saved.
func (r *Recorder) Flush() []Event {
	events := r.pending
	r.saved, r.pending = r.Version(), nil
	return events
}
