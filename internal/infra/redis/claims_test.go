package redisstore

import (
	"strconv"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
)

func TestClaims(t *testing.T) {
	_, client := setup(t)
	claims := NewClaims(client, "billing:event:", always("here"))
	claim := func(t *testing.T, key, owner string, lease time.Duration, want messaging.ClaimState) {
		t.Helper()
		got, err := claims.Claim(timeout(t), key, owner, lease)
		if err != nil {
			t.Fatal(err)
		}
		if got != want {
			t.Errorf("%s claims %s: state %d, want %d", owner, key, got, want)
		}
	}
	isNil := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}

	t.Run("one of two gets it", func(t *testing.T) {
		claim(t, "two", "a", long, messaging.Claimed)
		claim(t, "two", "b", long, messaging.ClaimHeld)
		claim(t, "two", "a", long, messaging.ClaimHeld)
		claim(t, "three", "b", long, messaging.Claimed)
	})
	t.Run("released it is free", func(t *testing.T) {
		claim(t, "release", "a", long, messaging.Claimed)
		isNil(t, claims.Release(timeout(t), "release", "a"))
		claim(t, "release", "b", long, messaging.Claimed)
	})
	t.Run("a stranger cannot release it", func(t *testing.T) {
		claim(t, "stranger", "a", long, messaging.Claimed)
		isNil(t, claims.Release(timeout(t), "stranger", "b"))
		claim(t, "stranger", "b", long, messaging.ClaimHeld)
	})
	t.Run("the lease runs out", func(t *testing.T) {
		claim(t, "lease", "a", 20*time.Millisecond, messaging.Claimed)
		eventually(t, "the lease runs out", func() bool {
			state, err := claims.Claim(timeout(t), "lease", "b", long)
			return err == nil && state == messaging.Claimed
		})
		isNil(t, claims.Release(timeout(t), "lease", "a")) // it is a stranger now
		claim(t, "lease", "c", long, messaging.ClaimHeld)
	})
	t.Run("done it stays", func(t *testing.T) {
		claim(t, "done", "a", long, messaging.Claimed)
		isNil(t, claims.Done(timeout(t), "done", "a", long))
		claim(t, "done", "b", long, messaging.ClaimDone)
		isNil(t, claims.Release(timeout(t), "done", "a"))
		isNil(t, claims.Release(timeout(t), "done", "done"))
		claim(t, "done", "b", long, messaging.ClaimDone)
	})
	t.Run("who does not hold it does not mark it", func(t *testing.T) {
		isNil(t, claims.Done(timeout(t), "unmarked", "a", long))
		claim(t, "unmarked", "a", long, messaging.Claimed)
		isNil(t, claims.Done(timeout(t), "unmarked", "b", long))
		claim(t, "unmarked", "b", long, messaging.ClaimHeld)
	})
	t.Run("done it is forgotten in the end", func(t *testing.T) {
		claim(t, "ttl", "a", long, messaging.Claimed)
		isNil(t, claims.Done(timeout(t), "ttl", "a", 20*time.Millisecond))
		eventually(t, "the mark runs out", func() bool {
			state, err := claims.Claim(timeout(t), "ttl", "b", long)
			return err == nil && state == messaging.Claimed
		})
	})
	t.Run("an owner is never taken for the mark", func(t *testing.T) {
		claim(t, "owner", "done", long, messaging.Claimed)
		claim(t, "owner", "b", long, messaging.ClaimHeld)
	})
	t.Run("keys have the prefix", func(t *testing.T) {
		if n := client.Exists(timeout(t), "billing:event:two").Val(); n != 1 {
			t.Error("billing:event:two does not exist")
		}
	})
	t.Run("emptied it forgets", func(t *testing.T) {
		isNil(t, client.FlushAll(timeout(t)).Err())
		isNil(t, client.ScriptFlush(timeout(t)).Err())
		claim(t, "two", "b", long, messaging.Claimed)
		isNil(t, claims.Release(timeout(t), "two", "b"))
	})
}

func TestClaimByManyAtOnce(t *testing.T) {
	t.Parallel()
	_, client := setup(t)
	claims := NewClaims(client, "", always("here"))
	var got atomic.Int32
	var claimants sync.WaitGroup
	for i := range 50 {
		claimants.Go(func() {
			state, err := claims.Claim(timeout(t), "key", strconv.Itoa(i), long)
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
}
