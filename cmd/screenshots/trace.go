package main

import (
	"bytes"
	"context"
	"crypto/rand"
	_ "embed"
	"encoding/hex"
	"errors"
	"fmt"
	"html/template"
	"slices"
	"strings"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"

	"github.com/winaity/billing/internal/browser"
)

//go:embed trace.html
var traceHTML string

var tracePage = template.Must(template.New("trace").Parse(traceHTML))

// takeTrace issues an invoice and pays it in one trace, and takes pictures of the
// spans that the service has exported of it.
func takeTrace(ctx context.Context, page *browser.Page, url string, spans *collector, dir string) error {
	id, parent := make([]byte, 16), make([]byte, 8)
	_, _ = rand.Read(id) // it never fails
	_, _ = rand.Read(parent)
	c := client{url: url, traceparent: fmt.Sprintf("00-%x-%x-01", id, parent)}
	invoice, err := c.post(ctx, "/v1/invoices", `{"customerId":"acme","amount":15000,"currency":"EUR"}`)
	if err != nil {
		return err
	}
	if _, err := c.post(ctx, "/v1/invoices/"+invoice+"/pay", ""); err != nil {
		return err
	}
	trace, err := spans.awaitLoop(ctx, id)
	if err != nil {
		return err
	}

	var html bytes.Buffer
	if err := tracePage.Execute(&html, draw(trace)); err != nil {
		return err
	}
	spans.mu.Lock()
	spans.page = html.Bytes()
	spans.mu.Unlock()
	for _, scheme := range []string{"light", "dark"} {
		height := int64(150 + 34*len(trace))
		if err := page.View(1200, height, 1, scheme); err != nil {
			return err
		}
		if err := page.Visit(spans.url + "/"); err != nil {
			return err
		}
		if err := save(page, dir, "trace-"+scheme+".png"); err != nil {
			return err
		}
	}
	return nil
}

// awaitLoop waits until all spans of the loop are there: the last to end are
// those that announce the receipt, and the consumer's that caused it.
func (c *collector) awaitLoop(ctx context.Context, id []byte) ([]*tracepb.Span, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the spans of the loop did not come"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		spans := c.trace(id)
		names := make([]string, len(spans))
		for i, s := range spans {
			names[i] = s.GetName()
		}
		if slices.Contains(names, "publish billing.receipt.issued") && slices.Contains(names, "process billing.invoice.paid") {
			return spans, nil
		}
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("%w: %q", context.Cause(ctx), names)
		case <-tick.C:
		}
	}
}

// drawing is a trace as the page shows it.
type drawing struct {
	ID       string
	Duration string
	Ticks    []string // of its quarters
	Rows     []row
}

// row is a span. Left and Width are percentages of the trace.
type row struct {
	Name, Kind, Note, Duration string
	Indent                     int // in pixels
	Left, Width                float64
}

// draw orders the spans by cause.
func draw(spans []*tracepb.Span) drawing {
	begin, end := spans[0].GetStartTimeUnixNano(), uint64(0)
	for _, s := range spans {
		end = max(end, s.GetEndTimeUnixNano())
	}
	whole := end - begin
	d := drawing{ID: hex.EncodeToString(spans[0].GetTraceId()), Duration: milliseconds(whole)}
	for quarter := range uint64(4) {
		d.Ticks = append(d.Ticks, milliseconds(whole*quarter/4))
	}
	var add func(parent []byte, depth int)
	add = func(parent []byte, depth int) {
		for _, s := range spans {
			if !bytes.Equal(s.GetParentSpanId(), parent) {
				continue
			}
			percent := func(nanos uint64) float64 { return 100 * float64(nanos) / float64(whole) }
			d.Rows = append(d.Rows, row{
				Name:     s.GetName(),
				Kind:     strings.ToLower(strings.TrimPrefix(s.GetKind().String(), "SPAN_KIND_")),
				Note:     note(s.GetAttributes()),
				Duration: milliseconds(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()),
				Indent:   22 * depth,
				Left:     percent(s.GetStartTimeUnixNano() - begin),
				Width:    percent(s.GetEndTimeUnixNano() - s.GetStartTimeUnixNano()),
			})
			add(s.GetSpanId(), depth+1)
		}
	}
	add(spans[0].GetParentSpanId(), 0) // that is the client's, which is not exported
	return d
}

func milliseconds(nanos uint64) string {
	return fmt.Sprintf("%.2f ms", float64(nanos)/float64(time.Millisecond))
}

// note is the attribute that says most.
func note(attributes []*commonpb.KeyValue) string {
	for _, key := range []string{"http.response.status_code", "delivery.outcome", "messaging.system", "db.system.name"} {
		for _, a := range attributes {
			if a.GetKey() != key {
				continue
			}
			if text := a.GetValue().GetStringValue(); text != "" {
				return text
			}
			return fmt.Sprint(a.GetValue().GetIntValue())
		}
	}
	return ""
}
