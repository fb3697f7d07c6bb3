// Package redisstore keeps in Redis what makes deduplication cheap. Nothing here
// is the only guard: Redis may forget everything, be slow, or be away.
package redisstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/winaity/billing/internal/domain/fault"
)

// A fast path that is slow is worth less than none, so each step is bounded
// tightly and tried once.
const (
	dialTimeout = 300 * time.Millisecond
	ioTimeout   = 300 * time.Millisecond
	poolTimeout = 300 * time.Millisecond
	poolSize    = 16
)

// The driver writes to standard error what it also returns.
func init() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Open returns a client of the server at the URL, which need not be there: the
// client connects when it is first used, and again whenever it has to. After a
// call that got no answer the others fail at once, for a second.
func Open(url string) (*redis.Client, error) {
	options, err := redis.ParseURL(url)
	if err != nil {
		// The parser's own message may quote the URL, with its password.
		return nil, fault.New(fault.Invalid, "redis-url", "The Redis URL is not of the form redis://host:port/database.")
	}
	options.DialTimeout = dialTimeout
	options.DialerRetries = 1
	options.ReadTimeout = ioTimeout
	options.WriteTimeout = ioTimeout
	options.PoolTimeout = poolTimeout
	options.PoolSize = poolSize
	options.MaxActiveConns = poolSize
	options.MaxRetries = -1
	options.ContextTimeoutEnabled = true
	options.Limiter = new(circuit)
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(options), nil
}

// Ready returns nil when the server answers, and an Unavailable error otherwise.
func Ready(ctx context.Context, client *redis.Client) error {
	if err := client.Ping(ctx).Err(); err != nil {
		return unavailable("ping", err)
	}
	return nil
}

// unavailable gives an error of Redis its kind. A script error is none of
// Redis' being away, but the caller has to do the same: go on without it.
func unavailable(action string, err error) error {
	if errors.Is(err, redis.Nil) {
		err = errors.New("unexpected empty answer")
	}
	return fault.Wrap(fmt.Errorf("%s: %w", action, err), fault.Unavailable, "redis-unavailable", "Redis is not available.")
}
