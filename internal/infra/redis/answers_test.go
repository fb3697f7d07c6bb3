package redisstore

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
)

func TestAnswers(t *testing.T) {
	_, client := setup(t)
	answers := NewAnswers(client, "billing:idem:", always("here"))
	begin := func(t *testing.T, r idempotency.Request, owner string, want error) *idempotency.Answer {
		t.Helper()
		answer, err := answers.Begin(timeout(t), r, owner, long)
		if !errors.Is(err, want) {
			t.Fatalf("%s begins: %v, want %v", owner, err, want)
		}
		return answer
	}
	isNil := func(t *testing.T, err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
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
		isNil(t, answers.Finish(timeout(t), request("finished"), "a", answer, long))
		if got := begin(t, request("finished"), "b", nil); got == nil || !reflect.DeepEqual(*got, answer) {
			t.Errorf("answer %v, want %v", got, answer)
		}
		isNil(t, answers.Abandon(timeout(t), request("finished"), "a"))
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
		isNil(t, answers.Finish(timeout(t), request("reused"), "a", answer, long))
		begin(t, other, "b", idempotency.ErrReused)
	})
	t.Run("abandoned it is free", func(t *testing.T) {
		begin(t, request("abandoned"), "a", nil)
		isNil(t, answers.Abandon(timeout(t), request("abandoned"), "a"))
		begin(t, request("abandoned"), "b", nil)
	})
	t.Run("a stranger cannot abandon it", func(t *testing.T) {
		begin(t, request("stranger"), "a", nil)
		isNil(t, answers.Abandon(timeout(t), request("stranger"), "b"))
		begin(t, request("stranger"), "b", idempotency.ErrInFlight)
	})
	t.Run("nor finish it", func(t *testing.T) {
		isNil(t, answers.Finish(timeout(t), request("stranger"), "b", answer, long))
		begin(t, request("stranger"), "b", idempotency.ErrInFlight)
	})
	t.Run("the lease runs out", func(t *testing.T) {
		_, err := answers.Begin(timeout(t), request("lease"), "a", 20*time.Millisecond)
		isNil(t, err)
		eventually(t, "the lease runs out", func() bool {
			_, err := answers.Begin(timeout(t), request("lease"), "b", long)
			return err == nil
		})
	})
	t.Run("keys are hashed", func(t *testing.T) {
		key := strings.Repeat("k", 255)
		begin(t, request(key), "a", nil)
		for _, name := range client.Keys(timeout(t), "*").Val() {
			if !strings.HasPrefix(name, "billing:idem:") || len(name) != len("billing:idem:")+64 {
				t.Errorf("key %s", name)
			}
		}
	})
	t.Run("emptied it forgets", func(t *testing.T) {
		isNil(t, client.FlushAll(timeout(t)).Err())
		begin(t, request("finished"), "b", nil)
	})
}
