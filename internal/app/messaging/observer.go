package messaging

import "time"

// Outcome is how the handling of a delivery ended.
type Outcome string

// The outcomes.
const (
	Handled   Outcome = "handled"   // the effect is committed
	Duplicate Outcome = "duplicate" // the effect was there already
	Retried   Outcome = "retried"   // it failed and comes again
	Parked    Outcome = "parked"    // it is a dead letter now
	Abandoned Outcome = "abandoned" // not answered: it comes again after the ack wait
)

// Layer is what recognised a duplicate.
type Layer string

// The layers.
const (
	LayerClaim Layer = "claim" // the fast path
	LayerInbox Layer = "inbox" // the truth
)

// Backlog is the state of an outbox.
type Backlog struct {
	Events    int64         // that wait to be published
	OldestAge time.Duration // of those; zero if there is none
	Blocked   int64         // of those, that the stream refuses for good
}

// Observer is told what happens, so that it can be measured. Its methods return
// at once and are safe for concurrent use.
type Observer interface {
	// BatchPublished reports a batch of the relay with an outcome per message.
	BatchPublished(batch []Message, outcomes []error, took time.Duration)
	// Delivered reports a delivery, which took so long to handle.
	Delivered(subject string, attempt int, outcome Outcome, took time.Duration)
	// Deduplicated reports a duplicate and what recognised it.
	Deduplicated(layer Layer)
	// ClaimFailed reports that the fast path was away.
	ClaimFailed()
}

// NoObserver is an Observer that looks away.
type NoObserver struct{}

// BatchPublished implements Observer.
func (NoObserver) BatchPublished([]Message, []error, time.Duration) {}

// Delivered implements Observer.
func (NoObserver) Delivered(string, int, Outcome, time.Duration) {}

// Deduplicated implements Observer.
func (NoObserver) Deduplicated(Layer) {}

// ClaimFailed implements Observer.
func (NoObserver) ClaimFailed() {}
