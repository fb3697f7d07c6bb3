package check

import (
	"time"
)

// stream checks that the stream has every event of the outbox and no other, in
// the order of versions, and that each repetition is explained.
func (c *checker) stream() {
	recorded := map[string]Event{}
	for _, e := range c.snapshot.Outbox {
		recorded[e.ID] = e
	}
	type place struct {
		first Message
		last  time.Time // when its last copy was stored
	}
	places := map[string]place{}
	version := map[string]int{} // aggregate → the last version that arrived
	for _, m := range c.snapshot.Messages {
		at, repeated := places[m.Envelope.ID]
		if repeated {
			c.repetition(at.first, m, at.last)
			places[m.Envelope.ID] = place{at.first, m.StoredAt}
			continue
		}
		places[m.Envelope.ID] = place{m, m.StoredAt}
		e, known := recorded[m.Envelope.ID]
		switch {
		case !known:
			c.Violate(Contradiction, "message %d, event %s, is not from the outbox", m.Sequence, m.Envelope.ID)
		case e.Payload != m.Payload:
			c.Violate(Contradiction, "message %d is not event %s as it was recorded:\n    %s\n    %s", m.Sequence, e.ID, m.Payload, e.Payload)
		case m.ID != e.ID:
			c.Violate(Contradiction, "message %d of event %s has the id %s", m.Sequence, e.ID, m.ID)
		}
		if m.Version <= version[m.AggregateID] {
			c.Violate(Reordered, "version %d of %s came after version %d, in message %d", m.Version, m.AggregateID, version[m.AggregateID], m.Sequence)
		}
		version[m.AggregateID] = max(version[m.AggregateID], m.Version)
	}
	for _, e := range c.snapshot.Outbox {
		if _, there := places[e.ID]; !there {
			c.Violate(Lost, "event %s (%s of %s) is not in the stream", e.ID, e.Type, e.AggregateID)
		}
	}
}

// repetition checks a message whose event the stream had already. The stream
// may forget an id after its window, and when its server is started again; and a
// dead letter that is replayed is a repetition on purpose.
func (c *checker) repetition(first, again Message, last time.Time) {
	if again.Payload != first.Payload {
		c.Violate(Contradiction, "message %d is not the same as message %d of event %s", again.Sequence, first.Sequence, first.Envelope.ID)
	}
	forgotten := again.StoredAt.Sub(last) >= duplicateWindow || c.replayed[first.Envelope.ID]
	for _, restart := range c.snapshot.Restarts {
		forgotten = forgotten || restart.After(last) && restart.Before(again.StoredAt)
	}
	if !forgotten {
		c.Violate(Doubled, "event %s was stored again as message %d, %s after message %d", first.Envelope.ID, again.Sequence, again.StoredAt.Sub(last), first.Sequence)
		return
	}
	c.Duplicates++
}

// quiet checks that nothing is left to do.
func (c *checker) quiet() {
	for _, e := range c.snapshot.Outbox {
		if !e.Published {
			c.Violate(Stuck, "event %s (%s of %s) is not marked as published", e.ID, e.Type, e.AggregateID)
		}
	}
	if n := c.snapshot.Unsettled; n > 0 {
		c.Violate(Stuck, "%d deliveries are not settled", n)
	}
	for _, l := range c.snapshot.Letters {
		if !l.Replayed {
			c.Violate(DeadLetter, "event %s: %s", l.EventID, l.Error)
		}
	}
}
