package conformance

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

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
