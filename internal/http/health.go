package httpapi

import (
	"context"
	"net/http"
	"sync"
	"time"
)

// Check looks after something that the service depends on.
type Check struct {
	Name     string
	Required bool // without it the service is of no use
	Probe    func(context.Context) error
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

// ready says whether requests should come here, and what is away.
func ready(checks []Check, draining func() bool) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		report := health{Status: "ok", Checks: make(map[string]string, len(checks))}
		status := http.StatusOK
		passed := run(r.Context(), checks)
		for i, check := range checks {
			switch {
			case passed[i]:
				report.Checks[check.Name] = "ok"
				continue
			case check.Required:
				report.Status, status = "unavailable", http.StatusServiceUnavailable
			case status == http.StatusOK:
				report.Status = "degraded"
			}
			report.Checks[check.Name] = "unreachable"
		}
		if draining() {
			report.Status, status = "shutting down", http.StatusServiceUnavailable
		}
		return writeJSON(w, status, report)
	}
}

// run runs the checks side by side and reports which of them passed.
func run(ctx context.Context, checks []Check) []bool {
	passed := make([]bool, len(checks))
	var all sync.WaitGroup
	for i, check := range checks {
		all.Go(func() { passed[i] = check.passes(ctx) })
	}
	all.Wait()
	return passed
}

// passes does not wait for a probe that forgets its context.
func (c Check) passes(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	result := make(chan error, 1)
	go func() { result <- c.Probe(ctx) }()
	select {
	case err := <-result:
		return err == nil
	case <-ctx.Done():
		return false
	}
}
