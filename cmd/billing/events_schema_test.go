package main

import (
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/contract"
)

var eventSchemas = contract.MustLoadEvents()

// checkEvent holds an event against its schema. What a test publishes behind the
// outbox's back has another message id than event id, and may be wrong on
// purpose.
func (s *stack) checkEvent(e stored) {
	s.Helper()
	if e.raw.Header.Get(jetstream.MsgIDHeader) != e.ID {
		return
	}
	if err := eventSchemas.Check(e.raw.Subject, e.raw.Data); err != nil {
		s.Errorf("event %s: %v", e.ID, err)
	}
}

// checkLetter holds a dead letter against its schema.
func (s *stack) checkLetter(raw *jetstream.RawStreamMsg) {
	s.Helper()
	if err := eventSchemas.CheckDeadLetter(raw.Data); err != nil {
		s.Errorf("dead letter %d: %v", raw.Sequence, err)
	}
}
