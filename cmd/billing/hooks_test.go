package main

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
)

// serveWrapped is serve with something around the adapters.
func (s *stack) serveWrapped(overrides map[string]string, wrap func(*ports)) *instance {
	s.Helper()
	return s.serveBy(func(ctx context.Context, log io.Writer) int {
		return runWrapped(ctx, s.environment(overrides), log, wrap)
	})
}

// runWrapped is run for `serve` with something around the adapters.
func runWrapped(ctx context.Context, getenv func(string) string, stderr io.Writer, wrap func(*ports)) int {
	config, err := loadConfig(getenv, needs{database: true, nats: true, redis: true})
	if err == nil {
		var s *service
		if s, err = newService(ctx, config, newLogger(stderr, config), wrap); err == nil {
			err = s.run(ctx)
		}
	}
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitFailure
	}
	return exitOK
}

// The hooks below stand around an adapter and do something at one exact step.
// What is nil is not called.

// hookedStore hooks into transactions.
type hookedStore struct {
	invoicing.Store
	written   func() // all is written, nothing committed
	committed func()
}

func (h hookedStore) Atomically(ctx context.Context, f func(invoicing.Tx) error) error {
	err := h.Store.Atomically(ctx, func(tx invoicing.Tx) error {
		err := f(tx)
		if err == nil {
			call(h.written)
		}
		return err
	})
	if err == nil {
		call(h.committed)
	}
	return err
}

// hookedPublisher hooks into what the relay publishes.
type hookedPublisher struct {
	messaging.Publisher
	before func([]messaging.Message)
	after  func()
}

func (h hookedPublisher) Publish(ctx context.Context, messages []messaging.Message) []error {
	if h.before != nil {
		h.before(messages)
	}
	defer call(h.after)
	return h.Publisher.Publish(ctx, messages)
}

func (h hookedPublisher) PublishAtomically(ctx context.Context, messages []messaging.Message) error {
	if h.before != nil {
		h.before(messages)
	}
	defer call(h.after)
	return h.Publisher.PublishAtomically(ctx, messages)
}

// hurriedOutbox gives each batch of the relay less time.
type hurriedOutbox struct {
	messaging.Outbox
	timeout time.Duration
}

func (h hurriedOutbox) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, h.timeout)
	defer cancel()
	return h.Outbox.PublishBatch(ctx, limit, publish)
}

// idleOutbox publishes nothing: events pile up.
type idleOutbox struct{}

func (idleOutbox) PublishBatch(context.Context, int, func(context.Context, []messaging.Message) []error) (int, error) {
	return 0, nil
}

// deafSource never has a delivery.
type deafSource struct{}

func (deafSource) Next(ctx context.Context) (messaging.Delivery, error) {
	<-ctx.Done()
	return nil, ctx.Err()
}

// hookedClaims hooks into the fast path of deduplication.
type hookedClaims struct {
	messaging.Claims
	claimed func(key string)
	done    func() // the effect is committed, the delivery not answered
}

func (h hookedClaims) Claim(ctx context.Context, key, owner string, lease time.Duration) (messaging.ClaimState, error) {
	state, err := h.Claims.Claim(ctx, key, owner, lease)
	if err == nil && state == messaging.Claimed && h.claimed != nil {
		h.claimed(key)
	}
	return state, err
}

func (h hookedClaims) Done(ctx context.Context, key, owner string, ttl time.Duration) error {
	call(h.done)
	return h.Claims.Done(ctx, key, owner, ttl)
}

func call(hook func()) {
	if hook != nil {
		hook()
	}
}
