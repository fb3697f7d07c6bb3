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

// Answers is an idempotency.Cache. Its errors, besides those of idempotency, are
// those of Redis, which are Unavailable, and of the Database. It is safe for
// concurrent use.
type Answers struct{ keys bound }

var _ idempotency.Cache = (*Answers)(nil)

// NewAnswers returns the Answers whose keys start with prefix. They speak of the
// given database.
func NewAnswers(client *redis.Client, prefix string, database Database) *Answers {
	return &Answers{newBound(client, prefix, database)}
}

// Begin takes the key for owner, or returns its answer.
func (a *Answers) Begin(ctx context.Context, r idempotency.Request, owner string, lease time.Duration) (*idempotency.Answer, error) {
	running, err := encode(record{Fingerprint: r.Fingerprint, Owner: owner})
	if err != nil {
		return nil, err
	}
	held, err := a.keys.take(ctx, key(r), running, lease)
	if err != nil {
		return nil, fmt.Errorf("begin keyed request: %w", err)
	}
	if held == "" {
		return nil, nil
	}
	var known record
	switch err := json.Unmarshal([]byte(held), &known); {
	case err != nil:
		return nil, fmt.Errorf("decode answer: %w", err)
	case known.Fingerprint != r.Fingerprint:
		return nil, idempotency.ErrReused
	case known.Answer == nil:
		return nil, idempotency.ErrInFlight
	}
	return known.Answer, nil
}

// Finish keeps the answer, if owner still has the key.
func (a *Answers) Finish(ctx context.Context, r idempotency.Request, owner string, answer idempotency.Answer, ttl time.Duration) error {
	running, err := encode(record{Fingerprint: r.Fingerprint, Owner: owner})
	if err != nil {
		return err
	}
	answered, err := encode(record{Fingerprint: r.Fingerprint, Answer: &answer})
	if err != nil {
		return err
	}
	if err := a.keys.replace(ctx, key(r), running, answered, ttl); err != nil {
		return fmt.Errorf("finish keyed request: %w", err)
	}
	return nil
}

// Abandon frees the key, if owner still has it.
func (a *Answers) Abandon(ctx context.Context, r idempotency.Request, owner string) error {
	running, err := encode(record{Fingerprint: r.Fingerprint, Owner: owner})
	if err != nil {
		return err
	}
	if err := a.keys.release(ctx, key(r), running); err != nil {
		return fmt.Errorf("abandon keyed request: %w", err)
	}
	return nil
}

// key hides the caller's key, whatever its length and characters.
func key(r idempotency.Request) string {
	sum := sha256.Sum256([]byte(r.Key))
	return hex.EncodeToString(sum[:])
}

func encode(r record) (string, error) {
	value, err := json.Marshal(r)
	if err != nil {
		return "", fmt.Errorf("encode answer: %w", err)
	}
	return string(value), nil
}
