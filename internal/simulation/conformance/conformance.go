// Package conformance holds every implementation of a port to the same behaviour:
// the adapters, and the fakes that the simulation runs on.
package conformance

import (
	"context"
	"errors"
	"testing"
	"time"
)

const (
	// patience is how long a test waits for what has to happen.
	patience = 20 * time.Second
	// long is a lease that does not run out during a test, short one that does.
	long, short = time.Hour, 20 * time.Millisecond
)

var errChangedMind = errors.New("changed my mind")

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

// within returns a context that ends when the test has waited too long.
func within(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx := within(t)
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
