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

// Options are the parts that the API is made of; all are required but Checks.
type Options struct {
	Commands *invoicing.Commands
	Queries  *invoicing.Queries
	Guard    *idempotency.Guard

	Checks   []Check          // what readiness depends on
	Draining func() bool      // whether the service is shutting down: no longer ready
	Metrics  http.Handler     // answers GET /metrics
	Docs     fs.FS            // openapi.yaml, asyncapi.yaml, schemas/ and ui/
	Observe  Observer         // is told of every request
	Log      *slog.Logger     // gets a line per request
	Now      func() time.Time // the clock that input is checked against

	RequestTimeout time.Duration // bounds the work on a request to /v1
	MaxInFlight    int           // bounds how many of them run side by side
}

// New returns the whole API.
func New(o Options) http.Handler {
	invoices := &invoices{o.Commands, o.Queries, o.Guard, o.Now}

	r := chi.NewRouter()
	r.Use(trace, report(o.Log, o.Observe), rescue, middleware.GetHead)
	r.NotFound(handle(notFound))
	r.MethodNotAllowed(handle(methodNotAllowed(r)))

	r.Group(func(r chi.Router) {
		r.Use(bound(o.MaxInFlight), deadline(o.RequestTimeout))

		r.Post("/v1/invoices", handle(invoices.issue))
		r.Get("/v1/invoices", handle(invoices.list))
		r.Get("/v1/invoices/{id}", handle(invoices.show))
		r.Post("/v1/invoices/{id}/pay", handle(invoices.pay))
		r.Post("/v1/invoices/{id}/cancel", handle(invoices.cancel))
	})

	docs := documents{o.Docs}
	r.Get("/docs", handle(docs.page))
	r.Get("/docs/{file}", handle(docs.asset))
	r.Get("/openapi.yaml", handle(docs.file("openapi.yaml")))
	r.Get("/asyncapi.yaml", handle(docs.file("asyncapi.yaml")))
	r.Get("/schemas/{file}", handle(docs.schema))
	r.Get("/problems", handle(listProblems))
	r.Get("/problems/{code}", handle(explainProblem))

	r.Get("/livez", handle(live))
	r.Get("/readyz", handle(ready(o.Checks, o.Draining)))
	r.Method(http.MethodGet, "/metrics", o.Metrics)
	return r
}
