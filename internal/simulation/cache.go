package simulation

import (
	"context"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
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
	of    holding
	until time.Time
}

// holding is what a key is taken for: by an owner, or, without one, for good.
type holding struct {
	owner, fingerprint string
	answer             *idempotency.Answer
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

// take gives key to who wants it, unless somebody has it: that is what it returns.
func (c *Cache) take(key string, wants holding, ttl time.Duration) *holding {
	if held, ok := c.values[key]; ok && time.Now().Before(held.until) {
		return &held.of
	}
	c.values[key] = value{wants, time.Now().Add(ttl)}
	return nil
}

// owns reports whether owner still has key.
func (c *Cache) owns(key, owner string) bool {
	held, ok := c.values[key]
	return ok && held.of.owner == owner && owner != "" && time.Now().Before(held.until)
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
		held := c.cache.take("claim "+key, holding{owner: owner}, lease)
		switch {
		case held == nil:
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
		if c.cache.owns("claim "+key, owner) {
			c.cache.values["claim "+key] = value{holding{}, time.Now().Add(ttl)}
		}
	})
}

// Release implements messaging.Claims.
func (c *Claims) Release(ctx context.Context, key, owner string) error {
	return c.cache.serve(ctx, c.process, "release", func() {
		if c.cache.owns("claim "+key, owner) {
			delete(c.cache.values, "claim "+key)
		}
	})
}

// Answers is an idempotency.Cache: a Cache as a process reaches it.
type Answers struct {
	cache   *Cache
	process *Process
}

var _ idempotency.Cache = (*Answers)(nil)

// Answers returns the cache as the process reaches it.
func (c *Cache) Answers(p *Process) *Answers { return &Answers{c, p} }

// Begin implements idempotency.Cache.
func (a *Answers) Begin(ctx context.Context, r idempotency.Request, owner string, lease time.Duration) (*idempotency.Answer, error) {
	return serve(ctx, a.cache, a.process, "begin", func() (*idempotency.Answer, error) {
		held := a.cache.take("answer "+r.Key, holding{owner: owner, fingerprint: r.Fingerprint}, lease)
		switch {
		case held == nil:
			return nil, nil
		case held.fingerprint != r.Fingerprint:
			return nil, idempotency.ErrReused
		case held.answer == nil:
			return nil, idempotency.ErrInFlight
		}
		answer := clone(*held.answer)
		return &answer, nil
	})
}

// Finish implements idempotency.Cache.
func (a *Answers) Finish(ctx context.Context, r idempotency.Request, owner string, answer idempotency.Answer, ttl time.Duration) error {
	answer = clone(answer)
	return a.cache.serve(ctx, a.process, "finish", func() {
		if a.cache.owns("answer "+r.Key, owner) {
			a.cache.values["answer "+r.Key] = value{holding{fingerprint: r.Fingerprint, answer: &answer}, time.Now().Add(ttl)}
		}
	})
}

// Abandon implements idempotency.Cache.
func (a *Answers) Abandon(ctx context.Context, r idempotency.Request, owner string) error {
	return a.cache.serve(ctx, a.process, "abandon", func() {
		if a.cache.owns("answer "+r.Key, owner) {
			delete(a.cache.values, "answer "+r.Key)
		}
	})
}
