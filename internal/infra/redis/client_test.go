package redisstore

import (
	"context"
	"errors"
	"net"
	"os"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/domain/fault"
)

// calls are all that the service asks of Redis.
func calls(claims *Claims) map[string]func(context.Context) error {
	return map[string]func(context.Context) error{
		"claim": func(ctx context.Context) error { _, err := claims.Claim(ctx, "key", "me", long); return err },
		"done":  func(ctx context.Context) error { return claims.Done(ctx, "key", "me", long) },
		"release": func(ctx context.Context) error {
			return claims.Release(ctx, "key", "me")
		},
	}
}

func TestServerThatStops(t *testing.T) {
	t.Parallel()
	server, client := setup(t)
	claims := NewClaims(client, "claim:", always("here"))
	if err := Ready(timeout(t), client, "claim:"); err != nil {
		t.Fatal(err)
	}
	if err := server.Stop(timeout(t)); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(claims) {
		if err := call(timeout(t)); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%s: %v, want an Unavailable error", name, err)
		}
	}
	if err := Ready(timeout(t), client, "claim:"); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("ready: %v, want an Unavailable error", err)
	}
	if err := server.Start(timeout(t)); err != nil {
		t.Fatal(err)
	}
	for name, call := range calls(claims) {
		eventually(t, name+" after the restart", func() bool { return call(timeout(t)) == nil })
	}
}

// A server that is there but never answers must not hold up what works without
// it: one call finds out, long before its caller would give up, and the others
// do not try.
func TestServerThatHangs(t *testing.T) {
	t.Parallel()
	listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	client := open(t, "redis://"+listener.Addr().String())
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if err := Ready(ctx, client, ""); fault.KindOf(err) != fault.Unavailable || ctx.Err() != nil {
		t.Errorf("%v, want an Unavailable error before ctx ends", err)
	}
	spared := 0
	for _, call := range calls(NewClaims(client, "", always("here"))) {
		if err := call(ctx); errors.Is(err, errOpen) && fault.KindOf(err) == fault.Unavailable {
			spared++
		}
	}
	if spared == 0 {
		t.Error("each call tried")
	}
}

func TestCircuitOpensOnlyWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	for _, err := range []error{nil, redis.Nil, context.Canceled, context.DeadlineExceeded} {
		c := new(circuit)
		c.ReportResult(err)
		if c.Allow() != nil {
			t.Errorf("opened by %v", err)
		}
	}
	_, dialed := (&net.Dialer{Timeout: time.Nanosecond}).DialContext(t.Context(), "tcp", "127.0.0.1:1")
	for _, err := range []error{os.ErrDeadlineExceeded, dialed} { // timeouts of a socket, and before there is one
		c := new(circuit)
		c.ReportResult(err)
		if !errors.Is(c.Allow(), errOpen) {
			t.Errorf("not opened by %v", err)
		}
		eventually(t, "the circuit closes", func() bool { return c.Allow() == nil })
	}
}
