package console

import (
	"context"
	"encoding/json"
	"net/http"
	"strconv"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
)

// actionTimeout bounds what a button does.
const actionTimeout = 5 * time.Second

// pause is POST /console/relay/pause.
func (c *Console) pause(w http.ResponseWriter, _ *http.Request) error {
	c.relay.pause()
	return c.done(w)
}

// resume is POST /console/relay/resume.
func (c *Console) resume(w http.ResponseWriter, _ *http.Request) error {
	c.relay.resume()
	return c.done(w)
}

// replay is POST /console/letters/{sequence}/replay.
func (c *Console) replay(w http.ResponseWriter, r *http.Request) error {
	sequence, err := strconv.ParseUint(chi.URLParam(r, "sequence"), 10, 64)
	if err != nil || sequence == 0 {
		return errNoLetter
	}
	ctx, cancel := context.WithTimeout(r.Context(), actionTimeout)
	defer cancel()
	err = c.Letters.Replay(ctx, sequence)
	if fault.KindOf(err) == fault.NotFound {
		return fault.Wrap(err, fault.NotFound, errNoLetter.Code, errNoLetter.Message)
	}
	if err != nil {
		return natsAway(err)
	}
	return c.done(w)
}

func (c *Console) done(w http.ResponseWriter) error {
	c.feed.refresh.Notify() // so that people see at once what they did
	w.WriteHeader(http.StatusNoContent)
	return nil
}

// poison is POST /console/poison: it publishes a message that cannot be handled.
func (c *Console) poison(w http.ResponseWriter, r *http.Request) error {
	ctx, cancel := context.WithTimeout(r.Context(), actionTimeout)
	defer cancel()
	message, err := newPoison(ctx, r.URL.Query().Get("kind"))
	if err != nil {
		return err
	}
	if err := c.Publisher.Publish(ctx, []messaging.Message{message})[0]; err != nil {
		return natsAway(err)
	}
	body, err := json.Marshal(map[string]string{"eventId": message.ID})
	if err != nil {
		return err
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusAccepted)
	_, _ = w.Write(body) // it fails only if the client is gone
	return nil
}

func newPoison(ctx context.Context, kind string) (messaging.Message, error) {
	switch kind {
	case "garbage": // no redelivery can help: parked at once
		return messaging.Message{ID: messaging.NewID("evt_"), Subject: invoice.TypePaid, Payload: []byte("this is no event")}, nil
	case "unknown-invoice": // it may be there next time: retried, then parked
		now := time.Now()
		return messaging.Seal(messaging.TraceFrom(ctx), event.Event{
			Type:          invoice.TypePaid,
			AggregateType: invoice.AggregateType,
			AggregateID:   messaging.NewID("inv_"),
			Version:       2,
			OccurredAt:    now,
			Data:          invoice.Paid{InvoiceNumber: "INV-1999-0001", CustomerID: "nobody", Amount: 100, Currency: "EUR", PaidAt: now.UTC()},
		})
	default:
		return messaging.Message{}, fault.Validation(fault.Field{Name: "kind", Detail: "Must be garbage or unknown-invoice."})
	}
}

var errNoLetter = fault.New(fault.NotFound, "not-found", "There is no such dead letter.")

// natsAway gives an error of NATS the code that the API has for it.
func natsAway(err error) error {
	if fault.KindOf(err) != fault.Unavailable {
		return err
	}
	return fault.Wrap(err, fault.Unavailable, "dependency-unavailable", "NATS is not available right now.")
}

// denyCrossOrigin answers a browser that another site told to press a button.
// The API has no code for that, hence a problem of no type of its own (RFC 9457,
// 4.2.1).
func denyCrossOrigin(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusForbidden)
	_, _ = w.Write([]byte(`{"type":"about:blank","title":"Forbidden","status":403,"detail":"The request comes from another site."}`))
}
