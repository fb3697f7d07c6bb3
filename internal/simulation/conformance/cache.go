package conformance

import (
	"errors"
	"reflect"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
)

// Claims tests a messaging.Claims that knows no claim yet.
func Claims(t *testing.T, claims messaging.Claims) {
	t.Helper()
	claim := func(t *testing.T, key, owner string, lease time.Duration, want messaging.ClaimState) {
		t.Helper()
		got, err := claims.Claim(within(t), key, owner, lease)
		must(t, err)
		if got != want {
			t.Errorf("%s claims %s: state %d, want %d", owner, key, got, want)
		}
	}
	t.Run("one of two gets it", func(t *testing.T) {
		claim(t, "two", "a", long, messaging.Claimed)
		claim(t, "two", "b", long, messaging.ClaimHeld)
		claim(t, "two", "a", long, messaging.ClaimHeld)
		claim(t, "three", "b", long, messaging.Claimed)
	})
	t.Run("one of many gets it", func(t *testing.T) {
		var got atomic.Int32
		var claimants sync.WaitGroup
		for i := range 50 {
			claimants.Go(func() {
				state, err := claims.Claim(within(t), "many", strconv.Itoa(i), long)
				if err != nil {
					t.Error(err)
				}
				if state == messaging.Claimed && err == nil {
					got.Add(1)
				}
			})
		}
		claimants.Wait()
		if n := got.Load(); n != 1 {
			t.Errorf("%d got the claim, want 1", n)
		}
	})
	t.Run("released it is free", func(t *testing.T) {
		claim(t, "release", "a", long, messaging.Claimed)
		must(t, claims.Release(within(t), "release", "a"))
		claim(t, "release", "b", long, messaging.Claimed)
	})
	t.Run("a stranger cannot release it", func(t *testing.T) {
		claim(t, "stranger", "a", long, messaging.Claimed)
		must(t, claims.Release(within(t), "stranger", "b"))
		claim(t, "stranger", "b", long, messaging.ClaimHeld)
	})
	t.Run("the lease runs out", func(t *testing.T) {
		claim(t, "lease", "a", short, messaging.Claimed)
		eventually(t, "the lease runs out", func() bool {
			state, err := claims.Claim(within(t), "lease", "b", long)
			return err == nil && state == messaging.Claimed
		})
		must(t, claims.Release(within(t), "lease", "a")) // it is a stranger now
		must(t, claims.Done(within(t), "lease", "a", long))
		claim(t, "lease", "c", long, messaging.ClaimHeld)
	})
	t.Run("done it stays", func(t *testing.T) {
		claim(t, "done", "a", long, messaging.Claimed)
		must(t, claims.Done(within(t), "done", "a", long))
		claim(t, "done", "b", long, messaging.ClaimDone)
		must(t, claims.Release(within(t), "done", "a"))
		must(t, claims.Release(within(t), "done", "done"))
		claim(t, "done", "b", long, messaging.ClaimDone)
	})
	t.Run("who does not hold it does not mark it", func(t *testing.T) {
		must(t, claims.Done(within(t), "unmarked", "a", long))
		claim(t, "unmarked", "a", long, messaging.Claimed)
		must(t, claims.Done(within(t), "unmarked", "b", long))
		claim(t, "unmarked", "b", long, messaging.ClaimHeld)
	})
	t.Run("done it is forgotten in the end", func(t *testing.T) {
		claim(t, "ttl", "a", long, messaging.Claimed)
		must(t, claims.Done(within(t), "ttl", "a", short))
		eventually(t, "the mark runs out", func() bool {
			state, err := claims.Claim(within(t), "ttl", "b", long)
			return err == nil && state == messaging.Claimed
		})
	})
	t.Run("an owner is never taken for the mark", func(t *testing.T) {
		claim(t, "owner", "done", long, messaging.Claimed)
		claim(t, "owner", "b", long, messaging.ClaimHeld)
	})
}

// Cache tests an idempotency.Cache that knows no key yet.
func Cache(t *testing.T, cache idempotency.Cache) {
	t.Helper()
	begin := func(t *testing.T, r idempotency.Request, owner string, want error) *idempotency.Answer {
		t.Helper()
		answer, err := cache.Begin(within(t), r, owner, long)
		if !errors.Is(err, want) {
			t.Fatalf("%s begins: %v, want %v", owner, err, want)
		}
		return answer
	}
	request := func(key string) idempotency.Request { return idempotency.Request{Key: key, Fingerprint: "print"} }
	answer := idempotency.Answer{
		Status: 201,
		Header: map[string]string{"Location": "/v1/things/1"},
		Body:   []byte("{\"id\":\"<1>\"}\n\xff"),
	}
	t.Run("a finished request has its answer", func(t *testing.T) {
		if got := begin(t, request("finished"), "a", nil); got != nil {
			t.Fatalf("answer %v before there is one", got)
		}
		must(t, cache.Finish(within(t), request("finished"), "a", answer, long))
		for range 2 { // what its caller does to it is not kept
			got := begin(t, request("finished"), "b", nil)
			if got == nil || !reflect.DeepEqual(*got, answer) {
				t.Fatalf("answer %v, want %v", got, answer)
			}
			got.Replayed, got.Body[0], got.Header["Location"] = true, 'x', ""
		}
		must(t, cache.Abandon(within(t), request("finished"), "a"))
		if got := begin(t, request("finished"), "b", nil); got == nil {
			t.Error("the answer is gone")
		}
	})
	t.Run("a running request is in flight", func(t *testing.T) {
		begin(t, request("running"), "a", nil)
		begin(t, request("running"), "b", idempotency.ErrInFlight)
	})
	t.Run("another request with the key is refused", func(t *testing.T) {
		other := idempotency.Request{Key: "reused", Fingerprint: "other"}
		begin(t, request("reused"), "a", nil)
		begin(t, other, "b", idempotency.ErrReused)
		must(t, cache.Finish(within(t), request("reused"), "a", answer, long))
		begin(t, other, "b", idempotency.ErrReused)
	})
	t.Run("abandoned it is free", func(t *testing.T) {
		begin(t, request("abandoned"), "a", nil)
		must(t, cache.Abandon(within(t), request("abandoned"), "a"))
		begin(t, request("abandoned"), "b", nil)
	})
	t.Run("a stranger cannot abandon it", func(t *testing.T) {
		begin(t, request("stranger"), "a", nil)
		must(t, cache.Abandon(within(t), request("stranger"), "b"))
		begin(t, request("stranger"), "b", idempotency.ErrInFlight)
	})
	t.Run("nor finish it", func(t *testing.T) {
		must(t, cache.Finish(within(t), request("stranger"), "b", answer, long))
		begin(t, request("stranger"), "b", idempotency.ErrInFlight)
	})
	t.Run("the lease runs out", func(t *testing.T) {
		_, err := cache.Begin(within(t), request("lease"), "a", short)
		must(t, err)
		eventually(t, "the lease runs out", func() bool {
			_, err := cache.Begin(within(t), request("lease"), "b", long)
			return err == nil
		})
	})
}
