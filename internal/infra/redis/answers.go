package redisstore

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/app/idempotency"
)

// record is the value of a key: a request that is running, which has an owner,
// or one that is answered.
type record struct {
	Fingerprint string              `json:"fingerprint"`
	Owner       string              `json:"owner,omitempty"`
	Answer      *idempotency.Answer `json:"answer,omitempty"`
}

// Answers is an idempotency.Cache. Its errors are Unavailable, besides those of
// idempotency. It is safe for concurrent use.
type Answers struct {
	client *redis.Client
	prefix string
}

var _ idempotency.Cache = (*Answers)(nil)

// NewAnswers returns the Answers whose keys start with prefix.
func NewAnswers(client *redis.Client, prefix string) *Answers { return &Answers{client, prefix} }

// Begin takes the key for owner, or returns its answer.
func (a *Answers) Begin(ctx context.Context, r idempotency.Request, owner string, lease time.Duration) (*idempotency.Answer, error) {
	value, err := encode(record{Fingerprint: r.Fingerprint, Owner: owner})
	if err != nil {
		return nil, err
	}
	held, err := claim.Run(ctx, a.client, []string{a.key(r)}, value, lease.Milliseconds()).Text()
	if err != nil {
		return nil, unavailable("begin keyed request", err)
	}
	if held == "" {
		return nil, nil
	}
	var known record
	switch err := json.Unmarshal([]byte(held), &known); {
	case err != nil:
		return nil, unavailable("decode answer", err)
	case known.Fingerprint != r.Fingerprint:
		return nil, idempotency.ErrReused
	case known.Answer == nil:
		return nil, idempotency.ErrInFlight
	}
	return known.Answer, nil
}

// Finish keeps the answer. Like a claim's Done it does not ask who has the key.
func (a *Answers) Finish(ctx context.Context, r idempotency.Request, answer idempotency.Answer, ttl time.Duration) error {
	value, err := encode(record{Fingerprint: r.Fingerprint, Answer: &answer})
	if err != nil {
		return err
	}
	if err := a.client.Set(ctx, a.key(r), value, ttl).Err(); err != nil {
		return unavailable("finish keyed request", err)
	}
	return nil
}

// Abandon frees the key, if owner still has it.
func (a *Answers) Abandon(ctx context.Context, r idempotency.Request, owner string) error {
	value, err := encode(record{Fingerprint: r.Fingerprint, Owner: owner})
	if err != nil {
		return err
	}
	if err := release.Run(ctx, a.client, []string{a.key(r)}, value).Err(); err != nil {
		return unavailable("abandon keyed request", err)
	}
	return nil
}

// key hides the caller's key, whatever its length and characters.
func (a *Answers) key(r idempotency.Request) string {
	sum := sha256.Sum256([]byte(r.Key))
	return a.prefix + hex.EncodeToString(sum[:])
}

func encode(r record) ([]byte, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return nil, fmt.Errorf("encode answer: %w", err)
	}
	return value, nil
}
