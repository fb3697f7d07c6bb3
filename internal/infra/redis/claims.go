package redisstore

import (
	"context"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/app/messaging"
)

// A key holds either done or "claim:" and the owner of the claim, so no owner
// can be taken for the mark.
const (
	done        = "done"
	claimPrefix = "claim:"
)

// claim answers for KEYS[1] in one round trip: its value if it has one, or else
// it becomes ARGV[1] for ARGV[2] milliseconds.
var claim = redis.NewScript(`
local held = redis.call('GET', KEYS[1])
if held then return held end
redis.call('SET', KEYS[1], ARGV[1], 'PX', ARGV[2])
return ''
`)

// release deletes KEYS[1] if its value is still ARGV[1]. A GET and a DEL from
// here could delete what another has claimed in between.
var release = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

// Claims is a messaging.Claims. Its errors are Unavailable. It is safe for
// concurrent use.
type Claims struct {
	client *redis.Client
	prefix string
}

var _ messaging.Claims = (*Claims)(nil)

// NewClaims returns the Claims whose keys start with prefix.
func NewClaims(client *redis.Client, prefix string) *Claims { return &Claims{client, prefix} }

// Claim takes key for owner. An owner's second claim finds the key held.
func (c *Claims) Claim(ctx context.Context, key, owner string, lease time.Duration) (messaging.ClaimState, error) {
	held, err := claim.Run(ctx, c.client, []string{c.prefix + key}, claimPrefix+owner, lease.Milliseconds()).Text()
	switch {
	case err != nil:
		return 0, unavailable(fmt.Sprintf("claim %q", key), err)
	case held == "":
		return messaging.Claimed, nil
	case held == done:
		return messaging.ClaimDone, nil
	default:
		return messaging.ClaimHeld, nil
	}
}

// Done marks key as done. It does not ask who holds the key: the effect is
// committed, so the mark is true even if the claim has run out.
func (c *Claims) Done(ctx context.Context, key string, ttl time.Duration) error {
	if err := c.client.Set(ctx, c.prefix+key, done, ttl).Err(); err != nil {
		return unavailable(fmt.Sprintf("mark %q as done", key), err)
	}
	return nil
}

// Release gives key back, if owner still holds it.
func (c *Claims) Release(ctx context.Context, key, owner string) error {
	if err := release.Run(ctx, c.client, []string{c.prefix + key}, claimPrefix+owner).Err(); err != nil {
		return unavailable(fmt.Sprintf("release %q", key), err)
	}
	return nil
}
