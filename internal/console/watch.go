package console

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/fault"
	httpapi "github.com/winaity/billing/internal/http"
)

const (
	refreshInterval = 300 * time.Millisecond
	probeInterval   = time.Second // of the dependencies
	lookTimeout     = time.Second // for all that one look asks
	shownInvoices   = 25
)

// snapshot is what the last look has found. What cannot be read at the moment
// stays as it was: the dependencies say why.
type snapshot struct {
	invoices     []httpapi.InvoiceJSON
	letters      []Letter
	dependencies []dependency
	probed       time.Time
	histories    map[string]history // by invoice id
}

// watch looks at the service while somebody looks at the page.
func (c *Console) watch(ctx context.Context) {
	tick := time.NewTicker(refreshInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		case <-c.feed.refresh:
		}
		if invoices, watched := c.feed.wanted(); watched {
			c.look(ctx, invoices)
		}
	}
}

// look tells the feed how things are. What is away holds up nothing else.
func (c *Console) look(ctx context.Context, invoices []string) {
	ctx, cancel := context.WithTimeout(ctx, lookTimeout)
	defer cancel()
	var all sync.WaitGroup
	all.Go(func() { c.lookAtInvoices(ctx) })
	all.Go(func() { c.lookAtLetters(ctx) })
	all.Go(func() { c.probe(ctx) })
	all.Go(func() { c.lookAtTimelines(ctx, invoices) })
	all.Wait()
	c.feed.setState(state{
		Mode:         c.Mode,
		Relay:        c.relay.String(),
		Dependencies: c.watched.dependencies,
		Invoices:     c.watched.invoices,
		DeadLetters:  c.watched.letters,
	})
}

func (c *Console) lookAtInvoices(ctx context.Context) {
	page, err := c.Queries.List(ctx, invoicing.Filter{}, nil, shownInvoices)
	if err != nil {
		return
	}
	c.watched.invoices = make([]httpapi.InvoiceJSON, len(page.Invoices))
	for i, view := range page.Invoices {
		c.watched.invoices[i] = httpapi.NewInvoiceJSON(view)
	}
}

func (c *Console) lookAtLetters(ctx context.Context) {
	if letters, _, err := c.Letters.Look(ctx); err == nil {
		c.watched.letters = letters
	}
}

// probe asks the dependencies whether they are there, now and then.
func (c *Console) probe(ctx context.Context) {
	if time.Since(c.watched.probed) < probeInterval {
		return
	}
	found := make([]dependency, len(c.Dependencies))
	var all sync.WaitGroup
	for i, d := range c.Dependencies {
		all.Go(func() { found[i] = dependency{d.Name, true, ""}.after(d.Probe(ctx)) })
	}
	all.Wait()
	c.watched.dependencies, c.watched.probed = found, time.Now()
}

// after returns the dependency as the error of a probe has it. The log knows more
// than people are shown.
func (d dependency) after(err error) dependency {
	if err == nil {
		return d
	}
	d.Up, d.Detail = false, "It does not answer."
	if known, ok := errors.AsType[*fault.Error](err); ok {
		d.Detail = known.Message
	}
	return d
}
