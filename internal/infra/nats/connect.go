// Package natsbus carries events over NATS JetStream: it publishes them, hands
// them out, and keeps those that could not be handled.
package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/fault"
)

const (
	dialTimeout    = 2 * time.Second
	reconnectWait  = 250 * time.Millisecond
	pingInterval   = 5 * time.Second // a connection that is silent for two of them is dead
	writeTimeout   = 5 * time.Second
	requestTimeout = 5 * time.Second // for a request to JetStream
	// readyTimeout is below what a probe gets, which so hears why.
	readyTimeout = 800 * time.Millisecond
)

var errDisconnected = errors.New("not connected to NATS")

// Conn is a connection that comes back by itself, however long NATS was away.
// It is safe for concurrent use.
type Conn struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger

	mu   sync.Mutex
	up   chan struct{} // closed while there is a connection
	lost chan struct{} // closed when the present connection is lost

	refusal   error // the latest: what the user may not do, or no stream takes
	refusedAt time.Time
}

// Connect tries each server once and returns, also if none is there. Each time a
// connection is made, the first time maybe before Connect returns, onConnect is
// called; it must not block.
func Connect(config Config, name string, log *slog.Logger, onConnect func()) (*Conn, error) {
	c := &Conn{log: log.With("server", config.String()), up: make(chan struct{}), lost: make(chan struct{})}
	close(c.lost)

	reported := false // one line an outage is enough; the client calls one handler at a time
	connected := func(nc *nats.Conn) {
		reported = false
		c.log.Info("connected to NATS", "version", nc.ConnectedServerVersion())
		c.setUp()
		onConnect()
	}
	var err error
	c.nc, err = nats.Connect(config.urls,
		nats.Name(name),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.FlusherTimeout(writeTimeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(), // credentials may be corrected on the server
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		// What cannot be sent now must fail now: a message that was buffered in
		// silence would overtake, or be overtaken by, its repetition.
		nats.ReconnectBufSize(-1),
		nats.ConnectHandler(connected),
		nats.ReconnectHandler(connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.setLost()
			c.log.Warn("lost NATS: reconnecting", "error", err)
		}),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			if !reported {
				c.log.Warn("cannot reach NATS: trying on", "error", err)
			}
			reported = true
		}),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
			c.log.Warn("NATS reports an error", "error", err)
			if errors.Is(err, nats.ErrPermissionViolation) {
				c.keepRefusal(err)
			}
		}),
		nats.NoCallbacksAfterClientClose(),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", config, err)
	}
	if c.nc.IsConnected() {
		c.setUp() // the handler may not have been called yet
	}
	c.js, err = jetstream.New(c.nc, jetstream.WithDefaultTimeout(requestTimeout))
	if err != nil {
		c.nc.Close()
		return nil, fmt.Errorf("use JetStream: %w", err)
	}
	return c, nil
}

// Ready returns nil when the server answers, and an Unavailable error otherwise.
func (c *Conn) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	ctx, done := c.whileConnected(ctx)
	defer done()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return unavailable("ping", whyFailed(ctx, err))
	}
	return nil
}

// Close sends what was written, such as the last acknowledgements, and ends the
// connection. It waits no longer than a moment.
func (c *Conn) Close() {
	if c.nc.IsConnected() {
		if err := c.nc.FlushTimeout(readyTimeout); err != nil {
			c.log.Warn("NATS may not have got the last messages", "error", err)
		}
	}
	c.nc.Close()
	c.setLost()
}

func (c *Conn) setUp() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if isClosed(c.lost) {
		c.lost = make(chan struct{})
		close(c.up)
		c.refusal = nil // the user may have got the right
	}
}

func (c *Conn) setLost() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !isClosed(c.lost) {
		close(c.lost)
		c.up = make(chan struct{})
	}
}

func (c *Conn) keepRefusal(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.refusal, c.refusedAt = err, time.Now()
}

// refusalSince returns the latest refusal, or nil if there was none since.
func (c *Conn) refusalSince(start time.Time) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.refusedAt.Before(start) {
		return nil
	}
	return c.refusal
}

// whyRefused is why a request failed that began at start. The server leaves one
// that is not permitted without an answer, and says so to the connection only.
func (c *Conn) whyRefused(start time.Time, err error) error {
	if refusal := c.refusalSince(start); errors.Is(refusal, nats.ErrPermissionViolation) && errors.Is(err, context.DeadlineExceeded) {
		return refusal
	}
	return err
}

// notPublished is classify for a message that was not published. If the server
// refuses all like it, readiness tells for a while. No answer is no refusal: the
// caller may have given up, or the connection be lost.
func (c *Conn) notPublished(action string, err error) error {
	classified := classify(action, err)
	_, answered := errors.AsType[*jetstream.APIError](err)
	if (answered || errors.Is(err, jetstream.ErrNoStreamResponse)) && fault.KindOf(classified) != fault.Invalid {
		c.keepRefusal(err)
	}
	return classified
}

func isClosed(c <-chan struct{}) bool {
	select {
	case <-c:
		return true
	default:
		return false
	}
}

// awaitConnection waits for a connection and returns a channel that is closed
// when that is lost; ok is false if ctx ended first.
func (c *Conn) awaitConnection(ctx context.Context) (lost <-chan struct{}, ok bool) {
	for ctx.Err() == nil {
		c.mu.Lock()
		up, lost := c.up, c.lost
		c.mu.Unlock()
		if !isClosed(lost) {
			return lost, true
		}
		select {
		case <-up:
		case <-ctx.Done():
		}
	}
	return nil, false
}

// whileConnected returns a context that also ends when the present connection is
// lost; at once if there is none. Without it, a request whose answer is lost
// waits for its timeout.
func (c *Conn) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	c.mu.Lock()
	lost := c.lost
	c.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	if isClosed(lost) {
		cancel(errDisconnected)
	}
	go func() {
		select {
		case <-lost:
			cancel(errDisconnected)
		case <-ctx.Done():
		}
	}()
	return ctx, func() { cancel(nil) }
}

// whyFailed is why a request failed: if ctx ended that says more than err.
func whyFailed(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}
