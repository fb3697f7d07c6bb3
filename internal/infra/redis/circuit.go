package redisstore

import (
	"context"
	"errors"
	"net"
	"sync/atomic"
	"time"

	"github.com/redis/go-redis/v9"
)

// openFor is how long Redis is left alone after it failed to answer.
const openFor = time.Second

var errOpen = errors.New("it did not answer a moment ago")

// circuit fails calls at once for a while after one that got no answer, so that
// a Redis that hangs costs one timeout a second and not one a call. It is a
// redis.Limiter.
type circuit struct {
	closesAt atomic.Int64 // Unix time in nanoseconds; there are calls from then on
}

var _ redis.Limiter = (*circuit)(nil)

// Allow is asked before each call.
func (c *circuit) Allow() error {
	if time.Now().UnixNano() < c.closesAt.Load() {
		return errOpen
	}
	return nil
}

// ReportResult is told of each call that was allowed. An error that Redis itself
// returned is an answer, and a caller who gives up says nothing about Redis.
func (c *circuit) ReportResult(err error) {
	_, answered := errors.AsType[redis.Error](err)
	gaveUp := errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded) && !dialing(err)
	if err == nil || answered || gaveUp {
		return
	}
	c.closesAt.Store(time.Now().Add(openFor).UnixNano())
}

// dialing reports whether there was no connection yet: the dialer's own timeout is
// a context.DeadlineExceeded like the caller's, and shorter.
func dialing(err error) bool {
	op, ok := errors.AsType[*net.OpError](err)
	return ok && op.Op == "dial"
}
