package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"time"
)

var scenes = []struct {
	title string
	play  func(*demo, context.Context) error
}{
	{"An invoice is issued and paid: a consumer issues its receipt", (*demo).pay},
	{"An invoice is issued and cancelled: nothing is deleted, it is credited", (*demo).cancel},
	{"A command is sent twice with one Idempotency-Key: it has one effect", (*demo).repeat},
	{"A message is no JSON: it ends in the dead letter queue", (*demo).poison},
}

// demo is what a scene plays on.
type demo struct {
	api    *api
	stream *stream
	screen *screen
	id     string // the correlation id of the scene, and of its customer
}

func (d *demo) pay(ctx context.Context) error {
	return d.loop(ctx, "pay", `{"paymentReference":"demo transfer"}`, "billing.invoice.paid", "billing.receipt.issued",
		func(i invoice) document { return i.Receipt })
}

func (d *demo) cancel(ctx context.Context) error {
	return d.loop(ctx, "cancel", `{"reason":"demo"}`, "billing.invoice.cancelled", "billing.creditnote.issued",
		func(i invoice) document { return i.CreditNote })
}

// loop issues an invoice, commands it, and waits for the document that the
// consumer issues.
func (d *demo) loop(ctx context.Context, verb, body, changed, effect string, result func(invoice) document) error {
	issued, _, err := d.issue(ctx, nil)
	if err != nil {
		return err
	}
	answer, err := d.command(ctx, "/v1/invoices/"+issued.ID+"/"+verb, body, nil)
	if err != nil {
		return err
	}
	cause, err := d.follows(ctx, answer, changed, "")
	if err != nil {
		return err
	}
	last, err := d.follows(ctx, answer, effect, cause.ID)
	if err != nil {
		return err
	}
	now, err := d.api.call(ctx, http.MethodGet, "/v1/invoices/"+issued.ID, "", nil)
	if err != nil {
		return err
	}
	got, err := now.invoice()
	if err != nil {
		return err
	}
	if result(got).ID != last.AggregateID {
		return fmt.Errorf("%s announced %s, but the invoice shows %q", effect, last.AggregateID, result(got).ID)
	}
	d.screen.success("%s belongs to %s. The loop took %s, from the command to the event of its effect.",
		result(got).Number, got.Number, milliseconds(last.seen.Sub(answer.sent)))
	return nil
}

func (d *demo) repeat(ctx context.Context) error {
	header := http.Header{"Idempotency-Key": {d.id}}
	_, first, err := d.issue(ctx, header)
	if err != nil {
		return err
	}
	second, err := d.command(ctx, "/v1/invoices", d.draft(), header)
	if err != nil {
		return err
	}
	if replayed := second.header.Get("Idempotent-Replayed"); replayed != "true" || !bytes.Equal(first.body, second.body) {
		return fmt.Errorf("the second answer is not the first: Idempotent-Replayed is %q, the body %s", replayed, second.body)
	}
	listed, err := d.api.call(ctx, http.MethodGet, "/v1/invoices?customerId="+url.QueryEscape(d.id), "", nil)
	if err != nil {
		return err
	}
	var page struct {
		Data []invoice `json:"data"`
	}
	if err := json.Unmarshal(listed.body, &page); err != nil {
		return err
	}
	if len(page.Data) != 1 {
		return fmt.Errorf("the customer has %d invoices instead of one", len(page.Data))
	}
	d.screen.success("The same answer, byte for byte (Idempotent-Replayed: true), and one invoice: %s.", page.Data[0].Number)
	return nil
}

func (d *demo) poison(ctx context.Context) error {
	payload := "this is no JSON (" + d.id + ")"
	published, err := d.stream.publish(ctx, "billing.invoice.paid", d.id, payload)
	if err != nil {
		return fmt.Errorf("publish: %w", err)
	}
	d.screen.published(published, payload)
	letter, err := d.stream.letter(ctx, published.sequence)
	if err != nil {
		return fmt.Errorf("message %d of the stream should have ended in the dead letter queue, but %w", published.sequence, err)
	}
	d.screen.letter(letter, letter.seen.Sub(published.at))
	var original string
	if err := json.Unmarshal(letter.OriginalEvent, &original); err != nil || original != payload {
		return fmt.Errorf("the letter does not hold the payload, but %s", letter.OriginalEvent)
	}
	if letter.Error == "" {
		return errors.New("the letter does not say why")
	}
	d.screen.success("It is kept with payload and reason, and blocks no other: `billing dlq list`, `show`, `replay`.")
	return nil
}

func (d *demo) draft() string {
	return fmt.Sprintf(`{"customerId":%q,"amount":15000,"currency":"EUR"}`, d.id)
}

// issue issues an invoice and waits for its event.
func (d *demo) issue(ctx context.Context, header http.Header) (invoice, answer, error) {
	a, err := d.command(ctx, "/v1/invoices", d.draft(), header)
	if err != nil {
		return invoice{}, a, err
	}
	_, err = d.follows(ctx, a, "billing.invoice.issued", "")
	if err != nil {
		return invoice{}, a, err
	}
	i, err := a.invoice()
	return i, a, err
}

func (d *demo) command(ctx context.Context, path, body string, header http.Header) (answer, error) {
	a, err := d.api.call(ctx, http.MethodPost, path, body, header)
	if err != nil {
		return a, err
	}
	i, err := a.invoice()
	if err != nil {
		return a, err
	}
	d.screen.command(path, body, header, a, i)
	return a, nil
}

// follows waits for the scene's next event, which must be of the given type and
// cause.
func (d *demo) follows(ctx context.Context, to answer, eventType, cause string) (event, error) {
	e, err := d.stream.next(ctx, d.id)
	if err != nil {
		return e, fmt.Errorf("%s should have followed, but %w\nWhere it waits: GET %s/readyz, `billing outbox status`, `billing dlq list`; NATS_URL must be the service's", eventType, err, d.api.url)
	}
	d.screen.event(e, e.seen.Sub(to.received))
	if e.Type != eventType || e.CausationID != cause {
		return e, fmt.Errorf("%s, caused by %q, should have followed", eventType, cause)
	}
	return e, nil
}

// milliseconds shows d so that a person can compare.
func milliseconds(d time.Duration) string {
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}
