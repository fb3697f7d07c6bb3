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
	Events    int64         // that wait to be published; a million may stand for more
	OldestAge time.Duration // of those; zero if there is none
	Blocked   int64         // of those, that the stream refuses for good
}

// Lag is how far a consumer is behind its stream.
type Lag struct {
	Pending    int // messages that were not delivered yet
	AckPending int // messages that were delivered, and wait for their answer or their next delivery
}

// DeliveryReport says what became of a delivery.
type DeliveryReport struct {
	Subject     string
	EventID     string // empty if the message is no event, as AggregateID then is
	AggregateID string
	Attempt     int // 1 for the first delivery of the message
	Outcome     Outcome
	Err         error         // why it was not handled, or not answered; nil if all went well
	At          time.Time     // when it was delivered
	Took        time.Duration // from then to its answer
}

// Observer is told what happens, so that it can be measured or shown. Its
// methods return at once, do not keep the slices that they are handed, and are
// safe for concurrent use.
type Observer interface {
	// BatchPublished reports a batch of the relay with an outcome per message.
	BatchPublished(batch []Message, outcomes []error, took time.Duration)
	// Delivered reports a delivery that was answered or given up.
	Delivered(r DeliveryReport)
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
func (NoObserver) Delivered(DeliveryReport) {}

// Deduplicated implements Observer.
func (NoObserver) Deduplicated(Layer) {}

// ClaimFailed implements Observer.
func (NoObserver) ClaimFailed() {}

// Observers is an Observer that tells each of several.
type Observers []Observer

// BatchPublished implements Observer.
func (all Observers) BatchPublished(batch []Message, outcomes []error, took time.Duration) {
	for _, o := range all {
		o.BatchPublished(batch, outcomes, took)
	}
}

// Delivered implements Observer.
func (all Observers) Delivered(r DeliveryReport) {
	for _, o := range all {
		o.Delivered(r)
	}
}

// Deduplicated implements Observer.
func (all Observers) Deduplicated(layer Layer) {
	for _, o := range all {
		o.Deduplicated(layer)
	}
}

// ClaimFailed implements Observer.
func (all Observers) ClaimFailed() {
	for _, o := range all {
		o.ClaimFailed()
	}
}
