// Package redisstore keeps in Redis what makes deduplication cheap. Nothing here
// is the only guard: Redis may forget everything, be slow, or be away.
package redisstore

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"

	"github.com/winaity/billing/internal/domain/fault"
)

// A fast path that is slow is worth less than none, so each step is bounded
// tightly and tried once, unless the URL says otherwise.
const (
	dialTimeout = 300 * time.Millisecond
	ioTimeout   = 300 * time.Millisecond
	poolTimeout = 300 * time.Millisecond
	poolSize    = 16
)

// probeTTL is how long a probe leaves its key behind.
const probeTTL = time.Second

// The driver writes to standard error what it also returns.
func init() { redis.SetLogger(silence{}) }

type silence struct{}

func (silence) Printf(context.Context, string, ...any) {}

// Open returns a client of the server, which need not be there: the client
// connects when it is first used, and again whenever it has to. After a call that
// got no answer the others fail at once, for a second.
func Open(c Config) *redis.Client {
	options := *c.options
	options.DialTimeout = cmp.Or(options.DialTimeout, dialTimeout)
	options.DialerRetries = 1
	options.ReadTimeout = cmp.Or(options.ReadTimeout, ioTimeout)
	options.WriteTimeout = cmp.Or(options.WriteTimeout, ioTimeout)
	options.PoolTimeout = cmp.Or(options.PoolTimeout, poolTimeout)
	options.PoolSize = cmp.Or(options.PoolSize, poolSize)
	options.MaxActiveConns = cmp.Or(options.MaxActiveConns, options.PoolSize)
	options.MaxRetries = cmp.Or(options.MaxRetries, -1)
	options.ContextTimeoutEnabled = true
	options.Limiter = new(circuit)
	options.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(&options)
}

// Ready returns nil when the server does what the service asks of it. One that only
// answers may be a replica, or full, or deny the user a right. The probe's key starts
// with prefix, one of those that the service uses: the user may have rights for them
// alone. The error is Unavailable, and its message tells these cases from an outage.
func Ready(ctx context.Context, client *redis.Client, prefix string) error {
	return unavailable(take.Run(ctx, client, []string{prefix + "probe:" + rand.Text()}, "", "probe", probeTTL.Milliseconds()).Err())
}

// unavailable gives an error of Redis its kind. One that Redis itself returned is
// none of its being away, but the caller has to do the same: go on without it.
func unavailable(err error) error {
	if err == nil {
		return nil
	}
	message := "Redis is not available."
	if redis.IsAuthError(err) {
		message = "Redis refuses the user name or the password."
	} else if _, answered := errors.AsType[redis.Error](err); answered {
		message = "Redis answers, but refuses writes or scripts."
	}
	return fault.Wrap(err, fault.Unavailable, "redis-unavailable", message)
}
