package console

import (
	"context"
	"encoding/json"
	"slices"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	httpapi "github.com/winaity/billing/internal/http"
)

// lookAtTimelines makes the timelines of the given invoices.
func (c *Console) lookAtTimelines(ctx context.Context, invoices []string) {
	known := c.watched.histories
	c.watched.histories = make(map[string]history, len(invoices))
	for _, id := range invoices {
		t, err := c.timeline(ctx, id, known[id])
		if err == nil {
			c.feed.setTimeline(id, t)
		}
	}
}

// timeline puts together what is known of an invoice.
func (c *Console) timeline(ctx context.Context, id string, known history) (timeline, error) {
	view, err := c.Queries.Invoice(ctx, id)
	if err != nil {
		if fault.KindOf(err) == fault.NotFound {
			err = nil
		}
		return timeline{}, err
	}
	if !known.isOf(view) {
		if known, err = c.readHistory(ctx, view); err != nil {
			return timeline{}, err
		}
	}
	c.watched.histories[id] = known
	shown := httpapi.NewInvoiceJSON(view)
	t := timeline{Invoice: &shown}
	for _, r := range known.events {
		e := c.newStep(ctx, r, view)
		if e.TraceID != "" && !slices.Contains(t.TraceIDs, e.TraceID) {
			t.TraceIDs = append(t.TraceIDs, e.TraceID)
		}
		t.Events = append(t.Events, e)
	}
	return t, nil
}

// history is what was read of the outbox, which is not for free: once all events
// are published, there is nothing new until the invoice changes.
type history struct {
	readAt    time.Time
	version   int
	documents invoicing.Documents
	events    []invoicing.Recorded
	published bool // all of them
}

// maxHistoryAge bounds how long it takes until it shows that events were purged,
// or are to be published again.
const maxHistoryAge = 5 * time.Second

func (c *Console) readHistory(ctx context.Context, of invoicing.View) (history, error) {
	events, err := c.History.History(ctx, of)
	if err != nil {
		return history{}, err
	}
	waits := func(r invoicing.Recorded) bool { return r.PublishedAt.IsZero() }
	return history{time.Now(), of.Version, of.Documents, events, !slices.ContainsFunc(events, waits)}, nil
}

func (h history) isOf(view invoicing.View) bool {
	return h.published && time.Since(h.readAt) < maxHistoryAge && h.version == view.Version &&
		(h.documents.Receipt == nil) == (view.Receipt == nil) && (h.documents.CreditNote == nil) == (view.CreditNote == nil)
}

func (c *Console) newStep(ctx context.Context, r invoicing.Recorded, of invoicing.View) step {
	var envelope messaging.Envelope
	_ = json.Unmarshal(r.Payload, &envelope) // we have written it
	e := step{
		ID:            r.ID,
		Type:          r.Subject,
		AggregateID:   r.AggregateID,
		Version:       envelope.Version,
		CorrelationID: envelope.CorrelationID,
		CausationID:   envelope.CausationID,
		TraceID:       traceID(r.Traceparent),
		RecordedAt:    Instant(r.RecordedAt),
		PublishedAt:   Instant(r.PublishedAt),
		Blocked:       truncate(r.Blocked, maxError),
		Deliveries:    c.deliveries.of(r.ID),
		Consumed:      slices.Contains(c.Consumed, r.Subject),
	}
	if !r.PublishedAt.IsZero() {
		e.Stream = c.positions.of(ctx, r)
	}
	switch r.Subject {
	case invoice.TypePaid:
		e.Effect = newEffect("receipt", of.Receipt)
	case invoice.TypeCancelled:
		e.Effect = newEffect("creditNote", of.CreditNote)
	}
	return e
}

func newEffect(kind string, d *document.Snapshot) *effect {
	if d == nil {
		return nil
	}
	return &effect{kind, d.ID, d.Number, Instant(d.IssuedAt)}
}

// traceID returns the trace of an event; empty if it has none.
func traceID(traceparent string) string {
	if !messaging.WellFormedTraceparent(traceparent) {
		return ""
	}
	return messaging.Trace{Traceparent: traceparent}.TraceID()
}

// positions remembers where the stream has events. Only the watch uses it.
type positions struct {
	stream Stream
	known  map[string]lookup // by event id
}

// lookup is what became of looking for an event.
type lookup struct {
	found *position
	tries int
	again time.Time // when to look again, if it was not found
}

const (
	maxPositions    = 4096
	positionTimeout = 200 * time.Millisecond
	lookAgain       = 2 * time.Second
)

// publishSkews are by how much an event may be in the stream before Postgres says
// that it was published: by as much as their clocks differ, or longer if its mark
// was lost. Each try looks from further back, which takes longer.
var publishSkews = []time.Duration{20 * time.Millisecond, 200 * time.Millisecond, 2 * time.Second}

// of returns where the stream has a published event; nil if that is not known.
func (p *positions) of(ctx context.Context, r invoicing.Recorded) *position {
	known := p.known[r.ID]
	if known.found != nil || time.Now().Before(known.again) {
		return known.found
	}
	ctx, cancel := context.WithTimeout(ctx, positionTimeout)
	defer cancel()
	since := r.PublishedAt.Add(-publishSkews[known.tries%len(publishSkews)])
	sequence, storedAt, err := p.stream.Position(ctx, r.Subject, r.ID, since)
	if err == nil {
		known.found = &position{sequence, Instant(storedAt)}
	} else {
		known.tries, known.again = known.tries+1, time.Now().Add(lookAgain)
	}
	if len(p.known) >= maxPositions {
		clear(p.known)
	}
	p.known[r.ID] = known
	return known.found
}
