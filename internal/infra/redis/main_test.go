package redisstore

import (
	"context"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/devstack"
)

const (
	// patience is how long a test waits for what has to happen.
	patience = 10 * time.Second
	// long is a lease that does not run out during a test.
	long = time.Hour
)

// setup returns a server of the test's own and a client of it.
func setup(t *testing.T) (*devstack.Redis, *redis.Client) {
	t.Helper()
	server := devstack.RedisForTest(t)
	return server, open(t, server.URL())
}

// open returns a client of the server at the URL.
func open(t *testing.T, url string) *redis.Client {
	t.Helper()
	config, err := ParseURL(url)
	if err != nil {
		t.Fatal(err)
	}
	client := Open(config)
	t.Cleanup(func() {
		if err := client.Close(); err != nil {
			t.Error(err)
		}
	})
	return client
}

// always is a database that is never restored.
func always(identity string) Database {
	return func(context.Context, time.Duration) (string, error) { return identity, nil }
}

// timeout returns a context that ends when the test has waited too long.
func timeout(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

// eventually waits until done.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	ctx := timeout(t)
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
