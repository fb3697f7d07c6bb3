package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/app/messaging"
)

// A key has the value done or "claim:" and the owner of the claim, so no owner can
// be taken for the mark.
const (
	done        = "done"
	claimPrefix = "claim:"
)

// Claims is a messaging.Claims. Its errors are those of Redis, which are
// Unavailable, and of the Database. It is safe for concurrent use.
type Claims struct{ keys bound }

var _ messaging.Claims = (*Claims)(nil)

// NewClaims returns the Claims whose keys start with prefix. They speak of the
// given database.
func NewClaims(client *redis.Client, prefix string, database Database) *Claims {
	return &Claims{newBound(client, prefix, database)}
}

// Claim takes key for owner. An owner's second claim finds the key held.
func (c *Claims) Claim(ctx context.Context, key, owner string, lease time.Duration) (messaging.ClaimState, error) {
	held, err := c.keys.take(ctx, key, claimPrefix+owner, lease)
	switch {
	case err != nil:
		return 0, fmt.Errorf("claim %q: %w", key, err)
	case held == "":
		return messaging.Claimed, nil
	case held == done:
		return messaging.ClaimDone, nil
	default:
		return messaging.ClaimHeld, nil
	}
}

// Done marks key as done, if owner still holds it.
func (c *Claims) Done(ctx context.Context, key, owner string, ttl time.Duration) error {
	if err := c.keys.replace(ctx, key, claimPrefix+owner, done, ttl); err != nil {
		return fmt.Errorf("mark %q as done: %w", key, err)
	}
	return nil
}

// Release gives key back, if owner still holds it.
func (c *Claims) Release(ctx context.Context, key, owner string) error {
	if err := c.keys.release(ctx, key, claimPrefix+owner); err != nil {
		return fmt.Errorf("release %q: %w", key, err)
	}
	return nil
}
