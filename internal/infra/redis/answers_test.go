package redisstore

import (
	"strings"
	"testing"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/simulation/conformance"
)

func TestAnswers(t *testing.T) {
	_, client := setup(t)
	answers := NewAnswers(client, "billing:idem:", always("here"))
	conformance.Cache(t, answers)

	r := idempotency.Request{Key: strings.Repeat("k", 255), Fingerprint: "print"}
	begin := func() {
		t.Helper()
		if answer, err := answers.Begin(timeout(t), r, "a", long); answer != nil || err != nil {
			t.Fatalf("got %v, %v", answer, err)
		}
	}
	begin()
	for _, name := range client.Keys(timeout(t), "*").Val() {
		if !strings.HasPrefix(name, "billing:idem:") || len(name) != len("billing:idem:")+64 {
			t.Errorf("key %s", name)
		}
	}
	if err := client.FlushAll(timeout(t)).Err(); err != nil {
		t.Fatal(err)
	}
	begin()
}
