package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	httpapi "github.com/winaity/billing/internal/http"
)

func TestCorrelationIDIsTakenOrMade(t *testing.T) {
	api := newAPI(nil)
	for _, taken := range []string{"a", "corr_01HXYZ", "A.b_c:d-1", strings.Repeat("x", 128)} {
		if got := call(t, api, "GET", "/livez", "", "X-Correlation-ID: "+taken).Header.Get("X-Correlation-ID"); got != taken {
			t.Errorf("%s became %s", taken, got)
		}
	}
	for _, replaced := range [][]string{
		nil, {"X-Correlation-ID: "}, {"X-Correlation-ID: a b"}, {"X-Correlation-ID: é"}, {`X-Correlation-ID: "a"`},
		{"X-Correlation-ID: " + strings.Repeat("x", 129)}, {"X-Correlation-ID: a", "X-Correlation-ID: b"},
	} {
		got := call(t, api, "GET", "/livez", "", replaced...).Header.Values("X-Correlation-ID")
		if len(got) != 1 || !strings.HasPrefix(got[0], "corr_") || len(got[0]) != len("corr_")+26 {
			t.Errorf("%s became %s", replaced, got)
		}
	}
}

func TestTraceReachesTheWork(t *testing.T) {
	var got messaging.Trace
	api := newAPI(func(o *httpapi.Options) {
		o.Queries = invoicing.NewQueries(readerFunc(func(ctx context.Context) error {
			got = messaging.TraceFrom(ctx)
			return invoicing.ErrInvoiceNotFound
		}))
	})
	const trace, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	const taken = "00-" + trace + "-" + parent + "-01"
	res := call(t, api, "GET", "/v1/invoices/"+anID, "", "X-Correlation-ID: mine", "traceparent: "+taken)
	if got.CorrelationID != "mine" || got.Traceparent != taken || got.CausationID != "" {
		t.Errorf("got %+v", got)
	}
	if p := wantProblem(t, res, 404, "invoice-not-found"); p.TraceID != trace || res.Header.Get("Traceresponse") != taken {
		t.Errorf("answered %s, %v", res.body, res.Header)
	}
	seen := map[string]bool{"": true}
	for _, made := range []string{
		"", "x", "00-" + trace + "-" + parent, "ff-" + trace + "-" + parent + "-01", taken + "-x", "00-" + strings.ToUpper(trace) + "-" + parent + "-01",
		"00-" + strings.Repeat("0", 32) + "-" + parent + "-01", "00-" + trace + "-" + strings.Repeat("0", 16) + "-01",
	} {
		call(t, api, "GET", "/v1/invoices/"+anID, "", "traceparent: "+made)
		if got.Traceparent == made || seen[got.Traceparent] || len(got.Traceparent) != len(taken) {
			t.Errorf("%q became %q", made, got.Traceparent)
		}
		seen[got.Traceparent] = true
	}
}

func TestPanicIsAProblemAndIsLogged(t *testing.T) {
	var log bytes.Buffer
	api := newAPI(func(o *httpapi.Options) {
		o.Log = slog.New(slog.NewJSONHandler(&log, nil))
		o.Metrics = http.HandlerFunc(func(http.ResponseWriter, *http.Request) { panic("password: hunter2") })
	})
	res := call(t, api, "GET", "/metrics", "")
	wantProblem(t, res, 500, "internal")
	if strings.Contains(res.body, "hunter2") || !strings.Contains(log.String(), "hunter2") || !strings.Contains(log.String(), "goroutine") {
		t.Errorf("answer: %s\nlog: %s", res.body, log.String())
	}
}

// A client must not take half an answer for a whole one.
func TestPanicInHalfAnAnswerBreaksTheConnection(t *testing.T) {
	var log bytes.Buffer
	api := newAPI(func(o *httpapi.Options) {
		o.Log = slog.New(slog.NewJSONHandler(&log, nil))
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			_, _ = io.WriteString(w, "half")
			panic("oops")
		})
	})
	defer func() {
		if err, ok := recover().(error); !ok || !errors.Is(err, http.ErrAbortHandler) {
			t.Errorf("got %v", err)
		}
		if !strings.Contains(log.String(), `"ERROR"`) || !strings.Contains(log.String(), "oops") {
			t.Errorf("logged %s", log.String())
		}
	}()
	call(t, api, "GET", "/metrics", "")
}

func TestRequestTimeoutIsUnavailable(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		hangs := func(ctx context.Context) error {
			<-ctx.Done()
			return fmt.Errorf("query: %w", ctx.Err())
		}
		api := newAPI(func(o *httpapi.Options) {
			o.RequestTimeout = 5 * time.Second
			o.Guard = newGuard(storeFunc(hangs))
			o.Queries = invoicing.NewQueries(readerFunc(hangs))
		})
		for _, res := range []response{
			call(t, api, "GET", "/v1/invoices", ""),
			call(t, api, "POST", "/v1/invoices/"+anID+"/pay", ""),
			call(t, api, "POST", "/v1/invoices/"+anID+"/pay", "", "Idempotency-Key: k"),
		} {
			wantProblem(t, res, 503, "dependency-unavailable")
			if res.Header.Get("Retry-After") == "" {
				t.Error("no Retry-After")
			}
		}
	})
}

func TestRequestsInFlightAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		release := make(chan struct{})
		api := newAPI(func(o *httpapi.Options) {
			o.MaxInFlight = 2
			o.Queries = invoicing.NewQueries(readerFunc(func(context.Context) error {
				<-release
				return invoicing.ErrInvoiceNotFound
			}))
		})
		var running sync.WaitGroup
		for range 2 {
			running.Go(func() { call(t, api, "GET", "/v1/invoices/"+anID, "") })
		}
		synctest.Wait()

		res := call(t, api, "POST", "/v1/invoices", "{}")
		wantProblem(t, res, 429, "too-many-requests")
		if res.Header.Get("Retry-After") == "" {
			t.Error("no Retry-After")
		}
		decode[health](t, call(t, api, "GET", "/livez", ""), 200) // a busy service is alive
		decode[health](t, call(t, api, "GET", "/readyz", ""), 200)

		close(release)
		running.Wait()
		wantProblem(t, call(t, api, "POST", "/v1/invoices", "{}"), 422, "validation-failed")
	})
}

// A place is for work: neither who sends slowly nor who reads slowly has one. How
// many of them there are is bounded, too.
func TestSlowClientsTakeNoPlace(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		api := newAPI(func(o *httpapi.Options) { o.MaxInFlight = 1 })
		body, rest := io.Pipe()
		answered := make(chan struct{})
		var slow sync.WaitGroup
		for n := range 16 {
			r := httptest.NewRequestWithContext(t.Context(), "GET", "/v1/invoices/"+anID, nil)
			if n%2 == 0 {
				r = httptest.NewRequestWithContext(t.Context(), "POST", "/v1/invoices", body)
			}
			slow.Go(func() { api.ServeHTTP(slowReader{httptest.NewRecorder(), answered}, r) })
			synctest.Wait()
			if n < 15 {
				wantProblem(t, call(t, api, "POST", "/v1/invoices", "{}"), 422, "validation-failed")
			}
		}
		wantProblem(t, call(t, api, "POST", "/v1/invoices", "{}"), 429, "too-many-requests")

		close(answered)
		if err := rest.Close(); err != nil {
			t.Fatal(err)
		}
		slow.Wait()
		wantProblem(t, call(t, api, "POST", "/v1/invoices", "{}"), 422, "validation-failed")
	})
}

// slowReader takes the beginning of an answer, and the rest when it may.
type slowReader struct {
	http.ResponseWriter
	rest chan struct{}
}

func (r slowReader) Write(p []byte) (int, error) {
	<-r.rest
	return r.ResponseWriter.Write(p)
}

func TestEveryRequestIsLoggedAndObservedOnce(t *testing.T) {
	type observation struct {
		method, route string
		status        int
	}
	for request, want := range map[string]struct {
		observation
		level string
	}{
		"GET /v1/invoices/" + anID + "?x=1":  {observation{"GET", "/v1/invoices/{id}", 503}, "WARN"},
		"HEAD /v1/invoices/x":                {observation{"HEAD", "/v1/invoices/{id}", 404}, "INFO"},
		"POST /v1/invoices/" + anID + "/pay": {observation{"POST", "/v1/invoices/{id}/pay", 503}, "WARN"},
		"GET /nothing/here":                  {observation{"GET", "none", 404}, "INFO"},
		"DELETE /v1/invoices":                {observation{"DELETE", "none", 405}, "INFO"},
		"BREW /livez":                        {observation{"OTHER", "none", 405}, "INFO"},
		"GET /livez":                         {observation{"GET", "/livez", 200}, "DEBUG"},
	} {
		var observed []observation
		var log bytes.Buffer
		api := newAPI(func(o *httpapi.Options) {
			o.Log = slog.New(slog.NewJSONHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
			o.Observe = func(method, route string, status int, _ time.Duration) {
				observed = append(observed, observation{method, route, status})
			}
		})
		method, target, _ := strings.Cut(request, " ")
		send(t, api, httptest.NewRequestWithContext(t.Context(), method, target, nil))
		if len(observed) != 1 || observed[0] != want.observation {
			t.Errorf("%s: observed %v", request, observed)
		}
		var line struct {
			Level  string `json:"level"`
			Method string `json:"method"`
			Route  string `json:"route"`
			Status int    `json:"status"`
			Error  string `json:"error"`
		}
		if err := json.Unmarshal(log.Bytes(), &line); err != nil {
			t.Fatalf("%s: %v: %s", request, err, log.String())
		}
		if line.Level != want.level || line.Method != method || line.Route != want.route || line.Status != want.status {
			t.Errorf("%s: logged %s", request, log.String())
		}
		if want.status == http.StatusServiceUnavailable && !strings.Contains(line.Error, "10.1.2.3") {
			t.Errorf("%s: the log does not have the cause: %s", request, log.String())
		}
	}
}
