// Package console is a page on which people watch the service work: the loop of
// one invoice step by step, live numbers, the dead letters; and, if they may,
// break and mend it.
package console

import (
	"context"
	"net/http"
	"sync"
	"time"

	"github.com/go-chi/chi/v5"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
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

// History knows the events of an invoice.
type History interface {
	// History returns the events of an invoice and its documents that the outbox
	// still has, in the order in which they were recorded.
	History(ctx context.Context, of invoicing.View) ([]invoicing.Recorded, error)
}

// Stream is where events are published to.
type Stream interface {
	// Position returns where the stream has an event that it stored soon after
	// since. If there is none, the error is NotFound.
	Position(ctx context.Context, subject, id string, since time.Time) (sequence uint64, storedAt time.Time, err error)
	// Lag returns how far the service is behind.
	Lag(ctx context.Context) (messaging.Lag, error)
}

// Letters are the dead letters.
type Letters interface {
	// Look returns the newest, newest first, and how many of all wait to be
	// replayed. Looking often must be cheap.
	Look(ctx context.Context) (newest []Letter, waiting int, err error)
	// Replay publishes the message of a letter again. If there is no such letter
	// the error is NotFound.
	Replay(ctx context.Context, sequence uint64) error
}

// Options are the parts that a Console is made of; all are required.
type Options struct {
	Mode         Mode // Read or Demo
	Queries      *invoicing.Queries
	History      History
	Stream       Stream
	Letters      Letters
	Backlog      func(context.Context) (messaging.Backlog, error)
	Publisher    messaging.Publisher // of poison
	Wake         messaging.Signal    // wakes the relay
	Dependencies []httpapi.Check
	Consumed     []string // the types of events that the service handles
}

// Console has the handlers of the page, and watches the service for it: it is a
// messaging.Observer. It is safe for concurrent use.
type Console struct {
	Options
	messaging.NoObserver // of what the page does not show

	meter      meter
	deliveries deliveries
	positions  positions
	relay      gate
	feed       *feed
	watched    snapshot // of the watch's goroutine
}

var _ messaging.Observer = (*Console)(nil)

// New returns a Console. Run it.
func New(o Options) *Console {
	return &Console{
		Options:   o,
		positions: positions{stream: o.Stream, known: make(map[string]lookup)},
		relay:     gate{wake: o.Wake},
		feed:      newFeed(),
		watched:   snapshot{invoices: []httpapi.InvoiceJSON{}, letters: []Letter{}},
	}
}

// Routes adds the console to the routes of the API.
func (c *Console) Routes(r chi.Router) {
	for _, a := range assets() {
		r.Method(http.MethodGet, a.path, a)
	}
	r.Get("/console/stream", httpapi.Handle(c.stream))
	if c.Mode != Demo {
		return
	}
	r.Group(func(r chi.Router) {
		// The buttons work on our page only, not on one that somebody else made.
		protection := http.NewCrossOriginProtection()
		protection.SetDenyHandler(http.HandlerFunc(denyCrossOrigin))
		r.Use(protection.Handler)

		r.Post("/console/letters/{sequence}/replay", httpapi.Handle(c.replay))
		r.Post("/console/poison", httpapi.Handle(c.poison))
		r.Post("/console/relay/pause", httpapi.Handle(c.pause))
		r.Post("/console/relay/resume", httpapi.Handle(c.resume))
	})
}

// Run watches the service until ctx ends.
func (c *Console) Run(ctx context.Context) {
	var both sync.WaitGroup
	both.Go(func() { c.takeSamples(ctx) })
	both.Go(func() { c.watch(ctx) })
	both.Wait()
}

// End ends all streams, so that a server that shuts down need not wait for them.
func (c *Console) End() { c.feed.end() }
