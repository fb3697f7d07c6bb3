// Package messaging is the plumbing between a committed event and its effect:
// the relay that publishes the outbox, the consumer's policy, and the guard that
// lets an effect happen once. It knows no business and no driver.
package messaging

import (
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
)

// Envelope is an event as the world sees it. Its JSON is a published contract.
type Envelope struct {
	ID            string          `json:"id"`
	Type          string          `json:"type"`
	Timestamp     time.Time       `json:"timestamp"`
	CorrelationID string          `json:"correlationId"`
	CausationID   string          `json:"causationId,omitempty"`
	AggregateID   string          `json:"aggregateId"`
	AggregateType string          `json:"aggregateType"`
	Version       int             `json:"version"` // the aggregate's, after the event
	Data          json.RawMessage `json:"data"`
}

// Message is an event ready to be published.
type Message struct {
	ID            string // the event's id; the stream stores an id once
	Subject       string // the event's type
	AggregateType string
	AggregateID   string // messages of one aggregate are published in order
	Payload       []byte // the Envelope as JSON
	Traceparent   string // empty if none
	RecordedAt    time.Time
}

// Seal gives the event an id, puts it in an Envelope with the Trace of the work
// that recorded it, and returns the message that carries it.
func Seal(trace Trace, e event.Event) (Message, error) {
	if trace.CorrelationID == "" {
		trace.CorrelationID = NewCorrelationID()
	}
	// Together with the data in one go: this Data hides the Envelope's.
	envelope := struct {
		Envelope
		Data any `json:"data"`
	}{Envelope{
		ID:            NewID("evt_"),
		Type:          e.Type,
		Timestamp:     e.OccurredAt.UTC(),
		CorrelationID: trace.CorrelationID,
		CausationID:   trace.CausationID,
		AggregateID:   e.AggregateID,
		AggregateType: e.AggregateType,
		Version:       e.Version,
	}, e.Data}
	payload, err := json.Marshal(envelope)
	if err != nil {
		return Message{}, fmt.Errorf("encode %s: %w", e.Type, err)
	}
	return Message{
		ID:            envelope.ID,
		Subject:       envelope.Type,
		AggregateType: envelope.AggregateType,
		AggregateID:   envelope.AggregateID,
		Payload:       payload,
		Traceparent:   trace.Traceparent,
	}, nil
}

// CodeNotAnEvent is the code of a payload that is no Envelope.
const CodeNotAnEvent = "not-an-event"

// Open parses a payload that was received on subject. What is no complete
// Envelope of that subject's type is an Invalid error; members that it does not
// know are ignored, so that producers can add some.
func Open(subject string, payload []byte) (Envelope, error) {
	var e Envelope
	if err := json.Unmarshal(payload, &e); err != nil {
		return Envelope{}, fault.Wrap(err, fault.Invalid, CodeNotAnEvent, "The payload is no event envelope.")
	}
	if err := e.check(subject); err != nil {
		return Envelope{}, fault.Wrap(err, fault.Invalid, CodeNotAnEvent, "The payload is no complete event envelope.")
	}
	return e, nil
}

func (e Envelope) check(subject string) error {
	for name, value := range map[string]string{
		"id": e.ID, "type": e.Type, "correlationId": e.CorrelationID,
		"aggregateId": e.AggregateID, "aggregateType": e.AggregateType,
	} {
		if value == "" {
			return errors.New(name + " is missing")
		}
	}
	switch {
	case e.Type != subject:
		return fmt.Errorf("type %q came on subject %q", e.Type, subject)
	case e.Timestamp.IsZero():
		return errors.New("timestamp is missing")
	case e.Version < 1:
		return errors.New("version is not positive")
	case len(e.Data) == 0 || e.Data[0] != '{':
		return errors.New("data is no object")
	}
	return nil
}
