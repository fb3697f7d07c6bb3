package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/domain/fault"
)

func TestErrorBecomesProblem(t *testing.T) {
	const secret = "postgres://billing:hunter2@10.1.2.3"
	cause := errors.New(secret)
	details := fault.New(fault.Conflict, "invalid-state-transition", "No.")
	details.Details = map[string]any{"currentStatus": "paid", "status": "cannot be replaced"}
	unencodable := fault.New(fault.Conflict, "invalid-state-transition", "No.")
	unencodable.Details = map[string]any{"f": func() {}}
	for name, test := range map[string]struct {
		err        error
		status     int
		code       string
		detail     string
		retryAfter string
	}{
		"a known code":             {details, 409, "invalid-state-transition", "No.", ""},
		"wrapped":                  {fmt.Errorf("%s: %w", secret, fault.Wrap(cause, fault.NotFound, "not-found", "No.")), 404, "not-found", "No.", ""},
		"in flight":                {fault.New(fault.Conflict, "idempotency-in-flight", "Wait."), 409, "idempotency-in-flight", "Wait.", "1"},
		"an unknown code, invalid": {fault.Wrap(cause, fault.Invalid, "new", "No."), 422, "new", "No.", ""},
		"… not found":              {fault.New(fault.NotFound, "new", "No."), 404, "new", "No.", ""},
		"… conflict":               {fault.New(fault.Conflict, "new", "No."), 409, "new", "No.", ""},
		"… unavailable":            {fault.Wrap(cause, fault.Unavailable, "new", "Later."), 503, "new", "Later.", "2"},
		"internal":                 {fault.Wrap(cause, fault.Internal, "anything", secret), 500, "internal", detailOfInternal, ""},
		"an error of any kind":     {cause, 500, "internal", detailOfInternal, ""},
		"deadline":                 {fmt.Errorf("%s: %w", secret, context.DeadlineExceeded), 503, "dependency-unavailable", detailOfTimeout, "2"},
		"cancelled":                {fmt.Errorf("%s: %w", secret, context.Canceled), 503, "dependency-unavailable", detailOfTimeout, "2"},
		"deadline, as internal":    {fault.Wrap(context.DeadlineExceeded, fault.Internal, "anything", secret), 503, "dependency-unavailable", detailOfTimeout, "2"},
		"details that do not fit":  {unencodable, 500, "internal", detailOfInternal, ""},
	} {
		t.Run(name, func(t *testing.T) {
			w := httptest.NewRecorder()
			writeProblem(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/", nil), test.err)
			var got struct {
				Type          string `json:"type"`
				Title         string `json:"title"`
				Status        int    `json:"status"`
				Detail        string `json:"detail"`
				Code          string `json:"code"`
				CurrentStatus string `json:"currentStatus"`
			}
			if err := json.Unmarshal(w.Body.Bytes(), &got); err != nil {
				t.Fatal(err)
			}
			if w.Code != test.status || got.Status != test.status || got.Code != test.code || got.Detail != test.detail ||
				got.Type != "/problems/"+test.code || got.Title == "" || w.Header().Get("Retry-After") != test.retryAfter {
				t.Errorf("got %d, Retry-After %q: %s", w.Code, w.Header().Get("Retry-After"), w.Body)
			}
			if strings.Contains(w.Body.String(), "hunter2") {
				t.Errorf("internals are out: %s", w.Body)
			}
			if errors.Is(test.err, details) && got.CurrentStatus != "paid" {
				t.Errorf("details are missing: %s", w.Body)
			}
		})
	}
}
