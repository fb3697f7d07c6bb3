package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/app/messaging"
)

// Database returns the identity that the database had maxAge ago or later, without
// a space: a restored or another database has another one.
//
// Redis knows nothing of a restore, so each value begins with the identity of the
// database that it speaks of. One that begins with another counts as absent.
type Database func(ctx context.Context, maxAge time.Duration) (string, error)

// maxAge is how old the identity may be under which a key is claimed. A key that
// was claimed under one that is over is no longer found by who is done with it.
const maxAge = time.Second

var errAnotherDatabase = errors.New("the database is another one than a moment ago")

// After the identity and a space, a key's value is done, or "claim:" and the owner
// of the claim: so no owner can be taken for the mark.
const (
	done        = "done"
	claimPrefix = "claim:"
)

// take answers for KEYS[1] in one round trip: what follows ARGV[1] in its value, or
// else it becomes ARGV[1] and ARGV[2], for ARGV[3] milliseconds.
var take = redis.NewScript(`
local held = redis.call('GET', KEYS[1])
if held and string.sub(held, 1, #ARGV[1]) == ARGV[1] then return string.sub(held, #ARGV[1] + 1) end
redis.call('SET', KEYS[1], ARGV[1] .. ARGV[2], 'PX', ARGV[3])
return ''
`)

// replace makes KEYS[1] ARGV[2] for ARGV[3] milliseconds if it is still ARGV[1].
var replace = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then redis.call('SET', KEYS[1], ARGV[2], 'PX', ARGV[3]) end
return 0
`)

// release deletes KEYS[1] if its value is still ARGV[1]. A GET and a DEL from
// here could delete what another has taken in between.
var release = redis.NewScript(`
if redis.call('GET', KEYS[1]) == ARGV[1] then return redis.call('DEL', KEYS[1]) end
return 0
`)

// Claims is a messaging.Claims. Its errors are those of Redis, which are
// Unavailable, and of the Database. It is safe for concurrent use.
type Claims struct {
	scripts  *scripts
	prefix   string
	database Database
}

var _ messaging.Claims = (*Claims)(nil)

// NewClaims returns the Claims whose keys start with prefix. They speak of the
// given database.
func NewClaims(client *redis.Client, prefix string, database Database) *Claims {
	return &Claims{newScripts(client), prefix, database}
}

// Claim takes key for owner. An owner's second claim finds the key held. What is
// found counts only if it is certain that it speaks of the database as it is now.
func (c *Claims) Claim(ctx context.Context, key, owner string, lease time.Duration) (messaging.ClaimState, error) {
	identity, err := c.database(ctx, maxAge)
	if err != nil {
		return 0, failed("claim", key, err)
	}
	held, err := c.scripts.run(ctx, take, c.prefix+key, identity+" ", claimPrefix+owner, lease.Milliseconds())
	if err != nil || held == "" {
		return messaging.Claimed, failed("claim", key, err)
	}
	switch now, err := c.database(ctx, 0); {
	case err != nil:
		return 0, failed("claim", key, err)
	case now != identity:
		return 0, failed("claim", key, errAnotherDatabase)
	case held == done:
		return messaging.ClaimDone, nil
	default:
		return messaging.ClaimHeld, nil
	}
}

// Done marks key as done, if owner still holds it, under the same identity: what
// was done in between was done to that database.
func (c *Claims) Done(ctx context.Context, key, owner string, ttl time.Duration) error {
	identity, err := c.database(ctx, maxAge)
	if err == nil {
		_, err = c.scripts.run(ctx, replace, c.prefix+key, identity+" "+claimPrefix+owner, identity+" "+done, ttl.Milliseconds())
	}
	return failed("mark as done", key, err)
}

// Release gives key back, if owner still holds it.
func (c *Claims) Release(ctx context.Context, key, owner string) error {
	identity, err := c.database(ctx, maxAge)
	if err == nil {
		_, err = c.scripts.run(ctx, release, c.prefix+key, identity+" "+claimPrefix+owner)
	}
	return failed("release", key, err)
}

func failed(action, key string, err error) error {
	if err == nil {
		return nil
	}
	return fmt.Errorf("%s %q: %w", action, key, err)
}
