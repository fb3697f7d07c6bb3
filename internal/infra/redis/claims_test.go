package redisstore

import (
	"testing"

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
