// Package httpapi is the service's HTTP API: JSON in and out, and every error a
// problem document (RFC 9457).
package httpapi

import (
	"io/fs"
	"log/slog"
	"net/http"
	"time"

	"github.com/go-chi/chi/v5"
	"github.com/go-chi/chi/v5/middleware"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/invoicing"
)

// Options are the parts that the API is made of; all are required but Checks,
// Console and Trace.
type Options struct {
	Guard   *idempotency.Guard[invoicing.Tx] // runs the commands
	Queries *invoicing.Queries

	Checks   []Check          // what readiness depends on
	Draining func() bool      // whether the service is shutting down: no longer ready
	Metrics  http.Handler     // answers GET /metrics
	Docs     fs.FS            // openapi.yaml, asyncapi.yaml, schemas/ and ui/
	Console  func(chi.Router) // adds the routes of the console; nil if there is none
	Observe  Observer         // is told of every request
	Trace    Tracer           // opens a span around each request to /v1; nil: none
	Log      *slog.Logger     // gets a line per request
	Now      func() time.Time // the clock that input is checked against

	RequestTimeout time.Duration // bounds a request to /v1: its body and the work on it
	MaxInFlight    int           // bounds how many of them are worked on side by side
}

// openPerPlace bounds how many requests to /v1 are there, sent and answered as
// slowly as their clients like, for each that may be worked on: a body that waits
// takes up to 64 KiB of memory.
const openPerPlace = 16

// New returns the whole API.
func New(o Options) http.Handler {
	invoices := &invoices{o.Guard, o.Queries, o.Now}

	r := chi.NewRouter()
	r.Use(report(o.Log, o.Observe, o.Trace), rescue, middleware.GetHead)
	r.NotFound(Handle(notFound))
	r.MethodNotAllowed(Handle(methodNotAllowed(r)))

	r.Group(func(r chi.Router) {
		r.Use(bound(openPerPlace*o.MaxInFlight), deadline(o.RequestTimeout))
		place := bound(o.MaxInFlight)

		r.Post("/v1/invoices", withBody(place, invoices.issue))
		r.With(place).Get("/v1/invoices", Handle(invoices.list))
		r.With(place).Get("/v1/invoices/{id}", Handle(invoices.show))
		r.Post("/v1/invoices/{id}/pay", withBody(place, invoices.pay))
		r.Post("/v1/invoices/{id}/cancel", withBody(place, invoices.cancel))
	})

	docs := documents{o.Docs}
	r.Get("/docs", Handle(docs.page))
	r.Get("/docs/{file}", Handle(docs.asset))
	r.Get("/openapi.yaml", Handle(docs.file("openapi.yaml")))
	r.Get("/asyncapi.yaml", Handle(docs.file("asyncapi.yaml")))
	r.Get("/schemas/{file}", Handle(docs.schema))
	r.Get("/problems", Handle(listProblems))
	r.Get("/problems/{code}", Handle(explainProblem))

	r.Get("/livez", Handle(live))
	r.Get("/readyz", Handle(ready(o.Checks, o.Draining)))
	r.Method(http.MethodGet, "/metrics", o.Metrics)
	if o.Console != nil {
		o.Console(r)
	}
	return r
}
