package redisstore

import (
	"context"
	"errors"
	"slices"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/simulation/conformance"
)

func TestClaims(t *testing.T) {
	_, client := setup(t)
	claims := NewClaims(client, "billing:event:", always("here"))
	conformance.Claims(t, claims)

	if n := client.Exists(timeout(t), "billing:event:two").Val(); n != 1 {
		t.Error("billing:event:two does not exist")
	}
	if err := client.FlushAll(timeout(t)).Err(); err != nil {
		t.Fatal(err)
	}
	if err := client.ScriptFlush(timeout(t)).Err(); err != nil {
		t.Fatal(err)
	}
	if state, err := claims.Claim(timeout(t), "two", "b", long); state != messaging.Claimed || err != nil {
		t.Errorf("after it was emptied: state %d, %v", state, err)
	}
	if err := claims.Release(timeout(t), "two", "b"); err != nil {
		t.Error(err)
	}
}

// fickle is a database that changes while it is worked on: its readings are these,
// one after the other. The last one stays.
func fickle(identities ...string) Database {
	return func(context.Context, time.Duration) (string, error) {
		identity := identities[0]
		if len(identities) > 1 {
			identities = identities[1:]
		}
		return identity, nil
	}
}

// What Redis remembers of one database says nothing of another: not that an effect
// is done, nor that someone is at it.
func TestClaimsOfAnotherDatabase(t *testing.T) {
	_, client := setup(t)
	here, there := NewClaims(client, "", always("here")), NewClaims(client, "", always("here-too"))
	claim := func(t *testing.T, c *Claims, key, owner string, want messaging.ClaimState) {
		t.Helper()
		if got, err := c.Claim(timeout(t), key, owner, long); err != nil || got != want {
			t.Errorf("%s claims %s: state %d, %v, want %d", owner, key, got, err, want)
		}
	}
	t.Run("a mark is not believed", func(t *testing.T) {
		claim(t, here, "done", "a", messaging.Claimed)
		if err := here.Done(timeout(t), "done", "a", long); err != nil {
			t.Fatal(err)
		}
		claim(t, here, "done", "a", messaging.ClaimDone)
		claim(t, there, "done", "b", messaging.Claimed)
	})
	t.Run("a claim does not block, and its owner leaves alone what replaced it", func(t *testing.T) {
		claim(t, here, "held", "a", messaging.Claimed)
		claim(t, there, "held", "a", messaging.Claimed)
		if err := errors.Join(here.Done(timeout(t), "held", "a", long), here.Release(timeout(t), "held", "a")); err != nil {
			t.Fatal(err)
		}
		claim(t, there, "held", "b", messaging.ClaimHeld)
	})
	t.Run("nor is what knows of no database", func(t *testing.T) {
		for _, value := range []string{"", "done", "here", "claim:a"} {
			if err := client.Set(timeout(t), "older", value, 0).Err(); err != nil {
				t.Fatal(err)
			}
			claim(t, here, "older", "a", messaging.Claimed)
		}
	})
}

// A database that is replaced between two steps leaves nothing behind that would be
// believed of either wrongly.
func TestDatabaseThatIsReplacedMeanwhile(t *testing.T) {
	t.Parallel()
	_, client := setup(t)
	known := func() string { return client.Get(timeout(t), "key").Val() }

	replaced := NewClaims(client, "", fickle("before", "after"))
	if _, err := replaced.Claim(timeout(t), "key", "me", long); err != nil {
		t.Fatal(err)
	}
	if err := replaced.Done(timeout(t), "key", "me", long); err != nil || known() != "before claim:me" {
		t.Errorf("done by a transaction on which one? %q, %v", known(), err)
	}

	if err := client.Set(timeout(t), "key", "before done", 0).Err(); err != nil {
		t.Fatal(err)
	}
	replaced = NewClaims(client, "", fickle("before", "after"))
	if state, err := replaced.Claim(timeout(t), "key", "me", long); !errors.Is(err, errAnotherDatabase) {
		t.Errorf("done before it was replaced: %d, %v", state, err)
	}
}

// What is found is believed only of the database as it is now; what is taken may
// be taken under an identity of a moment ago.
func TestIdentityIsReadAnewForWhatIsFound(t *testing.T) {
	t.Parallel()
	_, client := setup(t)
	var ages []time.Duration
	claims := NewClaims(client, "", func(_ context.Context, age time.Duration) (string, error) {
		ages = append(ages, age)
		return "here", nil
	})
	for _, owner := range []string{"a", "b"} {
		if _, err := claims.Claim(timeout(t), "key", owner, long); err != nil {
			t.Fatal(err)
		}
	}
	if want := []time.Duration{maxAge, maxAge, 0}; !slices.Equal(ages, want) {
		t.Errorf("readings no older than %v, want %v", ages, want)
	}
}

func TestWithoutAnIdentityNothingIsAsked(t *testing.T) {
	t.Parallel()
	_, client := setup(t)
	away := errors.New("away")
	database := func(context.Context, time.Duration) (string, error) { return "", away }
	for name, call := range calls(NewClaims(client, "", database)) {
		if err := call(timeout(t)); !errors.Is(err, away) {
			t.Errorf("%s: %v", name, err)
		}
	}
	if n := client.DBSize(timeout(t)).Val(); n != 0 {
		t.Errorf("%d keys", n)
	}
}
