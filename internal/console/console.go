// Package console is a page on which people watch the service work: the loop of
// one invoice step by step, live numbers, the dead letters; and, if they may,
// break and mend it.
package console

import (
	"github.com/go-chi/chi/v5"

	"github.com/winaity/billing/internal/domain/fault"
	httpapi "github.com/winaity/billing/internal/http"
)

// Mode says what people may do.
type Mode string

// The modes.
const (
	Off  Mode = "off"  // there is no console
	Read Mode = "read" // all is shown, nothing can be done
	Demo Mode = "demo" // for a service whose data is nobody's
)

// Console has the handlers of the page.
type Console struct{ assets map[string]asset }

// New returns a Console.
func New() *Console { return &Console{assets: assets()} }

// Routes adds the console to the routes of the API.
func (c *Console) Routes(r chi.Router) {
	r.Get("/", httpapi.Handle(c.page))
	r.Get("/console/{file}", httpapi.Handle(c.file))
}

var errNotFound = fault.New(fault.NotFound, "not-found", "There is nothing at this path.")
