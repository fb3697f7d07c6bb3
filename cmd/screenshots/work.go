package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"
	"net/http"
	"strings"
	"time"
)

// work keeps the service busy for the given time. What it does gives each plot a
// shape: commands in waves, a relay that pauses twice, messages that cannot be
// handled.
func work(ctx context.Context, url string, warm time.Duration) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	c := client{url: url}
	failed := make(chan error, 1)
	go func() { failed <- c.waves(ctx) }()

	events := []struct {
		at   float64 // part of warm
		path string
	}{
		{0.35, "/console/poison?kind=unknown-invoice"},
		{0.50, "/console/relay/pause"},
		{0.53, "/console/relay/resume"},
		{0.60, "/console/poison?kind=unknown-invoice"},
		{0.75, "/console/poison?kind=garbage"},
		{0.80, "/console/relay/pause"},
		{0.85, "/console/relay/resume"},
		{1, ""},
	}
	begin := time.Now()
	for _, e := range events {
		select {
		case <-time.After(time.Until(begin.Add(time.Duration(e.at * float64(warm))))):
		case err := <-failed:
			return err
		}
		if e.path == "" {
			break
		}
		if _, err := c.post(ctx, e.path, ""); err != nil {
			return err
		}
	}
	cancel()
	if err := <-failed; !errors.Is(err, context.Canceled) {
		return err
	}
	return nil
}

var customers = []string{"acme", "northwind", "contoso", "globex", "initech", "umbrella"}

// waves issues invoices, and pays or cancels most of them, now more, now less.
func (c client) waves(ctx context.Context) error {
	for n := 0; ; n++ {
		pause := time.Duration(float64(90*time.Millisecond) * (1.3 + math.Sin(float64(n)/25)))
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-time.After(pause):
		}
		draft := fmt.Sprintf(`{"customerId":%q,"amount":%d,"currency":%q}`,
			customers[n%len(customers)], 1900+(n*n*7919)%480_000, []string{"EUR", "EUR", "USD", "GBP"}[n%4])
		id, err := c.post(ctx, "/v1/invoices", draft)
		if err != nil {
			return err
		}
		switch {
		case n%5 == 2:
			_, err = c.post(ctx, "/v1/invoices/"+id+"/cancel", "")
		case n%7 != 3:
			_, err = c.post(ctx, "/v1/invoices/"+id+"/pay", "")
		}
		if err != nil {
			return err
		}
	}
}

// client calls the service.
type client struct{ url, traceparent string }

// post returns the id in the answer, if it has one.
func (c client) post(ctx context.Context, path, body string) (id string, err error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.url+path, strings.NewReader(body))
	if err != nil {
		return "", err
	}
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if c.traceparent != "" {
		request.Header.Set("traceparent", c.traceparent)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return "", err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(response.Body)
	if err != nil {
		return "", err
	}
	if response.StatusCode >= http.StatusBadRequest {
		return "", fmt.Errorf("%s: %s: %s", path, response.Status, content)
	}
	var answer struct {
		ID string `json:"id"`
	}
	_ = json.Unmarshal(content, &answer) // an answer without a body has no id
	return answer.ID, nil
}
