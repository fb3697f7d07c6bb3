package simulation

import (
	"context"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
)

// Cache is a cache in memory: values by key, each for a time. It may forget all of
// them. It is safe for concurrent use.
type Cache struct {
	mu     sync.Mutex
	away   bool
	values map[string]value
}

type value struct {
	owner string // empty: done
	until time.Time
}

// NewCache returns an empty Cache.
func NewCache() *Cache { return &Cache{values: map[string]value{}} }

// SetAway takes the cache away, or brings it back empty.
func (c *Cache) SetAway(away bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.away = away
	clear(c.values)
}

// serve lets a process ask the cache.
func serve[T any](ctx context.Context, c *Cache, p *Process, name string, request func() (T, error)) (T, error) {
	answer, err := ask(ctx, p, name, func(f fate) (none T, _ error) {
		c.mu.Lock()
		defer c.mu.Unlock()
		if c.away {
			return none, errConnection
		}
		if f.amnesia {
			clear(c.values)
		}
		return request()
	})
	return answer, unavailable(err)
}

func (c *Cache) serve(ctx context.Context, p *Process, name string, request func()) error {
	_, err := serve(ctx, c, p, name, func() (struct{}, error) {
		request()
		return struct{}{}, nil
	})
	return err
}

// held returns the value of key, if it has one that is not over.
func (c *Cache) held(key string) (v value, ok bool) {
	v, ok = c.values[key]
	return v, ok && time.Now().Before(v.until)
}

// owns reports whether owner still has key.
func (c *Cache) owns(key, owner string) bool {
	held, ok := c.held(key)
	return ok && held.owner == owner && owner != ""
}

// Claims is a messaging.Claims: a Cache as a process reaches it.
type Claims struct {
	cache   *Cache
	process *Process
}

var _ messaging.Claims = (*Claims)(nil)

// Claims returns the cache as the process reaches it.
func (c *Cache) Claims(p *Process) *Claims { return &Claims{c, p} }

// Claim implements messaging.Claims.
func (c *Claims) Claim(ctx context.Context, key, owner string, lease time.Duration) (messaging.ClaimState, error) {
	return serve(ctx, c.cache, c.process, "claim", func() (messaging.ClaimState, error) {
		held, ok := c.cache.held(key)
		switch {
		case !ok:
			c.cache.values[key] = value{owner, time.Now().Add(lease)}
			return messaging.Claimed, nil
		case held.owner == "":
			return messaging.ClaimDone, nil
		default:
			return messaging.ClaimHeld, nil
		}
	})
}

// Done implements messaging.Claims.
func (c *Claims) Done(ctx context.Context, key, owner string, ttl time.Duration) error {
	return c.cache.serve(ctx, c.process, "done", func() {
		if c.cache.owns(key, owner) {
			c.cache.values[key] = value{"", time.Now().Add(ttl)}
		}
	})
}

// Release implements messaging.Claims.
func (c *Claims) Release(ctx context.Context, key, owner string) error {
	return c.cache.serve(ctx, c.process, "release", func() {
		if c.cache.owns(key, owner) {
			delete(c.cache.values, key)
		}
	})
}
