package redisstore

import (
	"context"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
)

// Database returns the identity that the database had maxAge ago or later, without
// a space: a restored or another database has another one.
//
// Redis knows nothing of a restore, so each value begins with the identity of the
// database that it speaks of. One that begins with another counts as absent.
type Database func(ctx context.Context, maxAge time.Duration) (string, error)

// maxAge is how old the identity may be under which a key is taken. A key that was
// taken under one that is over is no longer found by who finishes it.
const maxAge = time.Second

var errAnotherDatabase = errors.New("the database is another one than a moment ago")

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

// bound are keys whose values are bound to a database.
type bound struct {
	scripts  *scripts
	prefix   string
	database Database
}

func newBound(client *redis.Client, prefix string, database Database) bound {
	return bound{newScripts(client), prefix, database}
}

// take gives key the value for ttl, unless it has one: that is what it returns, once
// it is certain that it speaks of the database as it is now.
func (b bound) take(ctx context.Context, key, value string, ttl time.Duration) (string, error) {
	identity, err := b.database(ctx, maxAge)
	if err != nil {
		return "", err
	}
	held, err := b.scripts.run(ctx, take, b.prefix+key, identity+" ", value, ttl.Milliseconds())
	if err != nil || held == "" {
		return "", err
	}
	switch now, err := b.database(ctx, 0); {
	case err != nil:
		return "", err
	case now != identity:
		return "", errAnotherDatabase
	}
	return held, nil
}

// replace gives key another value for ttl, if it still has the one that it was
// taken with, under the same identity: what was done in between was done to that
// database.
func (b bound) replace(ctx context.Context, key, taken, value string, ttl time.Duration) error {
	identity, err := b.database(ctx, maxAge)
	if err != nil {
		return err
	}
	_, err = b.scripts.run(ctx, replace, b.prefix+key, identity+" "+taken, identity+" "+value, ttl.Milliseconds())
	return err
}

// release frees key, if it still has the value that it was taken with.
func (b bound) release(ctx context.Context, key, taken string) error {
	identity, err := b.database(ctx, maxAge)
	if err != nil {
		return err
	}
	_, err = b.scripts.run(ctx, release, b.prefix+key, identity+" "+taken)
	return err
}
