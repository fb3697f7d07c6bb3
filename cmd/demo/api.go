package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"strings"
	"time"
)

// api is a client of the service.
type api struct {
	url           string
	client        *http.Client
	correlationID string // of all calls
}

func newAPI(url string) *api {
	return &api{url: strings.TrimSuffix(url, "/"), client: &http.Client{Timeout: 5 * time.Second}}
}

func (a *api) correlatedBy(id string) *api {
	return &api{a.url, a.client, id}
}

// answer is what the service said to a call.
type answer struct {
	status         string
	header         http.Header
	body           []byte
	sent, received time.Time
}

type invoice struct {
	ID         string   `json:"id"`
	Number     string   `json:"invoiceNumber"`
	Amount     int64    `json:"amount"` // in cents: the demo only uses EUR
	Currency   string   `json:"currency"`
	Status     string   `json:"status"`
	Version    int      `json:"version"`
	Receipt    document `json:"receipt"`
	CreditNote document `json:"creditNote"`
}

type document struct {
	ID     string `json:"id"`
	Number string `json:"number"`
}

func (a answer) invoice() (i invoice, err error) {
	if err := json.Unmarshal(a.body, &i); err != nil {
		return i, fmt.Errorf("the answer is no invoice: %w: %s", err, a.body)
	}
	return i, nil
}

// call fails when the answer is no success.
func (a *api) call(ctx context.Context, method, path, body string, header http.Header) (answer, error) {
	request, err := http.NewRequestWithContext(ctx, method, a.url+path, strings.NewReader(body))
	if err != nil {
		return answer{}, err
	}
	maps.Copy(request.Header, header)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	if a.correlationID != "" {
		request.Header.Set("X-Correlation-ID", a.correlationID)
	}
	sent := time.Now()
	response, err := a.client.Do(request)
	if err != nil {
		return answer{}, err
	}
	defer response.Body.Close()
	content, err := io.ReadAll(io.LimitReader(response.Body, 1<<20))
	if err != nil {
		return answer{}, fmt.Errorf("%s %s: %w", method, path, err)
	}
	result := answer{response.Status, response.Header, content, sent, time.Now()}
	if response.StatusCode >= http.StatusMultipleChoices {
		return result, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, content)
	}
	return result, nil
}

// ready returns what the service says about its dependencies.
func (a *api) ready(ctx context.Context) (string, error) {
	got, err := a.call(ctx, http.MethodGet, "/readyz", "", nil)
	if err != nil {
		return "", err
	}
	var state struct {
		Status string `json:"status"`
	}
	if err := json.Unmarshal(got.body, &state); err != nil {
		return "", fmt.Errorf("GET /readyz: %w: %.200s", err, got.body)
	}
	return cmp.Or(state.Status, "ready"), nil
}
