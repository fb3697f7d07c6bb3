package main

import (
	"context"
	"encoding/json"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/console"
	"github.com/winaity/billing/internal/domain/invoice"
	httpapi "github.com/winaity/billing/internal/http"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// audience is who is told of what happens.
type audience struct {
	events   messaging.Observers
	requests httpapi.Observer
}

// addConsole makes the console, lets it watch, and returns its routes; nil if
// there is to be none.
func (s *service) addConsole(options console.Options, p *ports, told *audience) func(chi.Router) {
	if options.Mode == console.Off {
		return nil
	}
	c := console.New(options)
	p.outbox = c.Pausable(p.outbox)
	told.events = append(told.events, c)
	others := told.requests
	told.requests = func(method, route string, status int, took time.Duration) {
		others(method, route, status, took)
		c.Request(method, route, status, took)
	}
	s.watchers = append(s.watchers, c.Run)
	s.onShutdown = append(s.onShutdown, c.End)
	return c.Routes
}

// shownLetters are the dead letters as the console has them.
type shownLetters struct {
	*natsbus.DeadLetters
	desk *natsbus.Desk
}

// Look implements console.Letters.
func (l shownLetters) Look(ctx context.Context) ([]console.Letter, int, error) {
	newest, waiting, err := l.desk.Look(ctx)
	if err != nil {
		return nil, 0, err
	}
	shown := make([]console.Letter, len(newest))
	for i, letter := range newest {
		shown[i] = console.Letter{
			Sequence:   letter.Sequence,
			FailedAt:   console.Instant(letter.FailedAt),
			Subject:    letter.Subject,
			EventID:    letter.EventID,
			InvoiceID:  invoiceOf(letter.Payload),
			Error:      console.Excerpt(letter.Error),
			Deliveries: letter.Deliveries,
			Payload:    console.Excerpt(string(letter.Payload)),
			Replayed:   !letter.ReplayedAt.IsZero(),
		}
	}
	return shown, waiting, nil
}

// invoiceOf returns the id of the invoice that an event is about; empty if it is
// about none.
func invoiceOf(payload []byte) string {
	var e messaging.Envelope
	if json.Unmarshal(payload, &e) != nil || e.AggregateType != invoice.AggregateType {
		return ""
	}
	return e.AggregateID
}
