package httpapi

import (
	"context"
	"errors"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/singleflight"

	"github.com/winaity/billing/internal/domain/fault"
)

// Check looks after something that the service depends on.
type Check struct {
	Name     string
	Required bool // without it the service is of no use
	// Probe says what is wrong. Everybody may read the message of a fault.Error.
	Probe func(context.Context) error
}

// probeTimeout is how long a probe may take.
const probeTimeout = time.Second

// live answers as long as the process can answer at all.
func live(w http.ResponseWriter, _ *http.Request) error {
	return writeJSON(w, http.StatusOK, health{Status: "ok"})
}

type health struct {
	Status string            `json:"status"`
	Checks map[string]string `json:"checks,omitempty"`
}

// ready says whether requests should come here, and what is wrong. However many
// ask, a probe runs once at a time.
func ready(checks []Check, draining func() bool) handler {
	var probes singleflight.Group
	return func(w http.ResponseWriter, r *http.Request) error {
		report := health{Status: "ok", Checks: make(map[string]string, len(checks))}
		status := http.StatusOK
		for i, err := range run(r.Context(), &probes, checks) {
			switch {
			case err == nil:
			case checks[i].Required:
				report.Status, status = "unavailable", http.StatusServiceUnavailable
			case status == http.StatusOK:
				report.Status = "degraded"
			}
			report.Checks[checks[i].Name] = found(err)
		}
		if draining() {
			report.Status, status = "shutting down", http.StatusServiceUnavailable
		}
		return writeJSON(w, status, report)
	}
}

// found says for everybody what a check has found.
func found(err error) string {
	if err == nil {
		return "ok"
	}
	if known, ok := errors.AsType[*fault.Error](err); ok {
		return known.Message
	}
	return "unreachable"
}

// run runs the checks side by side and returns what they have found.
func run(ctx context.Context, probes *singleflight.Group, checks []Check) []error {
	errs := make([]error, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { errs[i] = check.ask(ctx, probes) })
	}
	all.Wait()
	return errs
}

var errNoAnswer = fault.New(fault.Unavailable, codeUnavailable, "no answer in time")

// ask waits for the probe, also for one that runs already, but for none that
// forgets its context.
func (c Check) ask(ctx context.Context, probes *singleflight.Group) error {
	result := probes.DoChan(c.Name, func() (any, error) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), probeTimeout)
		defer cancel()
		err := c.Probe(ctx)
		if ctx.Err() != nil {
			err = errNoAnswer
		}
		return nil, err
	})
	select {
	case r := <-result:
		return r.Err
	case <-time.After(probeTimeout):
		return errNoAnswer
	}
}
