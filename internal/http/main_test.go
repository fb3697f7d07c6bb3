package httpapi_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/winaity/billing/docs"
	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/contract"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/fault"
	httpapi "github.com/winaity/billing/internal/http"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

func TestMain(m *testing.M) { os.Exit(devstack.Run(m)) }

// document is what every answer has to be like.
var document = contract.MustLoadAPI()

var silent = slog.New(slog.DiscardHandler)

// newAPI returns the real API on parts that are away, for tests that do not get
// as far as the database, or that want it away. Each test puts what it needs.
func newAPI(change func(*httpapi.Options)) http.Handler {
	o := httpapi.Options{
		Guard:    newGuard(storeFunc(func(context.Context) error { return errAway })),
		Queries:  invoicing.NewQueries(readerFunc(func(context.Context) error { return errAway })),
		Checks:   []httpapi.Check{{Name: "postgres", Required: true, Probe: up}},
		Draining: func() bool { return false },
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/plain")
		}),
		Docs:           docs.Files,
		Observe:        func(string, string, int, time.Duration) {},
		Log:            silent,
		Now:            time.Now,
		RequestTimeout: time.Minute,
		MaxInFlight:    100,
	}
	if change != nil {
		change(&o)
	}
	return httpapi.New(o)
}

// newAPIOnPostgres returns the API on an empty database of the test's own.
func newAPIOnPostgres(t *testing.T, change func(*httpapi.Options)) http.Handler {
	t.Helper()
	config, err := postgres.ParseURL(devstack.DatabaseForTest(t, nil))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := postgres.Migrate(t.Context(), config, sql.Migrations()); err != nil {
		t.Fatal(err)
	}
	db, err := postgres.Open(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(db.Close)
	return newAPI(func(o *httpapi.Options) {
		o.Guard = newGuard(postgres.NewStore(postgres.StoreOptions{DB: db, Alone: db, Appended: messaging.NewSignal()}))
		o.Queries = invoicing.NewQueries(postgres.NewReader(db))
		if change != nil {
			change(o)
		}
	})
}

var errAway = fault.Wrap(errors.New("dial tcp 10.1.2.3:5432: refused"), fault.Unavailable, "dependency-unavailable", "The database is not available right now.")

// storeFunc is a store that no transaction gets through.
type storeFunc func(ctx context.Context) error

func (f storeFunc) Atomically(ctx context.Context, _ func(invoicing.Tx) error) error { return f(ctx) }

// readerFunc is a reader that finds nothing but errors.
type readerFunc func(ctx context.Context) error

func (f readerFunc) View(ctx context.Context, _ string) (invoicing.View, error) {
	return invoicing.View{}, f(ctx)
}

func (f readerFunc) List(ctx context.Context, _ invoicing.Filter, _ *invoicing.Position, _ int) ([]invoicing.View, error) {
	return nil, f(ctx)
}

func newGuard(store invoicing.Store) *idempotency.Guard[invoicing.Tx] {
	return idempotency.NewGuard(store, noObserver{})
}

type noObserver struct{}

func (noObserver) Command(string, string)    {}
func (noObserver) Keyed(idempotency.Outcome) {}

// response is an answer that was read.
type response struct {
	*http.Response
	body string
}

// call sends a request. A body is declared as JSON. Headers are "Name: value".
func call(t *testing.T, api http.Handler, method, target, body string, headers ...string) response {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, strings.NewReader(body))
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	for _, header := range headers {
		name, value, _ := strings.Cut(header, ": ")
		if name == "Content-Type" {
			r.Header.Del(name)
		}
		r.Header.Add(name, value)
	}
	return send(t, api, r)
}

func send(t *testing.T, api http.Handler, r *http.Request) response {
	t.Helper()
	var sent bytes.Buffer
	r.Body = io.NopCloser(io.TeeReader(r.Body, &sent))
	w := httptest.NewRecorder()
	api.ServeHTTP(w, r)
	res := read(t, w.Result())
	if err := document.Check(r, sent.Bytes(), res.Response, []byte(res.body)); err != nil {
		t.Error(err)
	}
	return res
}

func read(t *testing.T, res *http.Response) response {
	t.Helper()
	body, err := io.ReadAll(res.Body)
	if err := errors.Join(err, res.Body.Close()); err != nil {
		t.Fatal(err)
	}
	return response{res, string(body)}
}

// problem is a problem document.
type problem struct {
	Type           string `json:"type"`
	Title          string `json:"title"`
	Status         int    `json:"status"`
	Detail         string `json:"detail"`
	Code           string `json:"code"`
	CorrelationID  string `json:"correlationId"`
	TraceID        string `json:"traceId"`
	CurrentStatus  string `json:"currentStatus"`
	CurrentVersion int    `json:"currentVersion"`
	Errors         []struct {
		Pointer string `json:"pointer"`
		Detail  string `json:"detail"`
	} `json:"errors"`
}

// pointers returns the pointers of all field errors, in their order.
func (p problem) pointers() string {
	list := make([]string, len(p.Errors))
	for i, e := range p.Errors {
		list[i] = e.Pointer
	}
	return strings.Join(list, " ")
}

// wantProblem checks everything that all problem documents have in common.
func wantProblem(t *testing.T, res response, status int, code string) problem {
	t.Helper()
	var p problem
	if err := json.Unmarshal([]byte(res.body), &p); err != nil {
		t.Fatalf("status %d, no problem document: %v: %q", res.StatusCode, err, res.body)
	}
	if res.StatusCode != status || p.Code != code {
		t.Fatalf("got %d %s, want %d %s: %s", res.StatusCode, p.Code, status, code, res.body)
	}
	if p.Type != "/problems/"+code || p.Status != status || p.Title == "" || p.Detail == "" {
		t.Errorf("incomplete: %s", res.body)
	}
	if p.CorrelationID == "" || p.CorrelationID != res.Header.Get("X-Correlation-ID") {
		t.Errorf("correlation id %q, but X-Correlation-ID %q", p.CorrelationID, res.Header.Get("X-Correlation-ID"))
	}
	if trace := res.Header.Get("Traceresponse"); len(p.TraceID) != 32 || trace != "" && trace[3:35] != p.TraceID {
		t.Errorf("trace id %q, but traceresponse %q", p.TraceID, trace)
	}
	for name, want := range map[string]string{
		"Content-Type": "application/problem+json", "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
	} {
		if got := res.Header.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	for i, e := range p.Errors {
		if !strings.HasPrefix(e.Pointer, "/") || e.Detail == "" {
			t.Errorf("error %d: %+v", i, e)
		}
	}
	return p
}

// decode reads a JSON answer with the given status.
func decode[T any](t *testing.T, res response, status int) (v T) {
	t.Helper()
	if res.StatusCode != status {
		t.Fatalf("got %d, want %d: %s", res.StatusCode, status, res.body)
	}
	if got := res.Header.Get("Content-Type"); got != "application/json" {
		t.Errorf("Content-Type %q", got)
	}
	if err := json.Unmarshal([]byte(res.body), &v); err != nil {
		t.Fatalf("%v: %s", err, res.body)
	}
	return v
}
