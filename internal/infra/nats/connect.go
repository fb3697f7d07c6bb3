// Package natsbus carries events over NATS JetStream: it publishes them, hands
// them out, and keeps those that could not be handled.
package natsbus

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/url"
	"strings"
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
	requestTimeout = 5 * time.Second // for a request whose context has no deadline
)

var errDisconnected = errors.New("not connected to NATS")

// Conn is a connection that comes back by itself, however long NATS was away.
// It is safe for concurrent use.
type Conn struct {
	nc  *nats.Conn
	js  jetstream.JetStream
	log *slog.Logger

	mu      sync.Mutex
	up      chan struct{}   // closed while there is a connection
	session context.Context // lives as long as one connection does
	end     context.CancelFunc
}

// Connect returns at once, also while NATS is away; only a URL that can never
// work is an error. The URL may list several servers, separated by commas. Each
// time a connection is made, onConnect is called; it must not block.
func Connect(urls, name string, log *slog.Logger, onConnect func()) (*Conn, error) {
	server, err := maskURLs(urls)
	if err != nil {
		return nil, err
	}
	c := &Conn{log: log.With("server", server), up: make(chan struct{})}
	c.session, c.end = context.WithCancel(context.Background())
	c.end()

	reported := false // one line an outage is enough; the client calls one handler at a time
	connected := func(nc *nats.Conn) {
		reported = false
		c.log.Info("connected to NATS", "version", nc.ConnectedServerVersion())
		c.begin()
		onConnect()
	}
	c.nc, err = nats.Connect(urls,
		nats.Name(name),
		nats.Timeout(dialTimeout),
		nats.PingInterval(pingInterval),
		nats.FlusherTimeout(writeTimeout),
		nats.RetryOnFailedConnect(true),
		nats.MaxReconnects(-1),
		nats.IgnoreAuthErrorAbort(),
		nats.ReconnectWait(reconnectWait),
		nats.ReconnectJitter(reconnectWait, reconnectWait),
		// What cannot be sent now must fail now: a message that was buffered in
		// silence would overtake, or be overtaken by, its repetition.
		nats.ReconnectBufSize(-1),
		nats.ConnectHandler(connected),
		nats.ReconnectHandler(connected),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			c.lose()
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
		}),
		nats.ClosedHandler(func(*nats.Conn) { c.lose() }),
	)
	if err != nil {
		return nil, fmt.Errorf("connect to NATS at %s: %w", server, err)
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
	ctx, cancel := c.whileConnected(ctx)
	defer cancel()
	ctx, cancelTimeout := context.WithTimeout(ctx, time.Second)
	defer cancelTimeout()
	if err := c.nc.FlushWithContext(ctx); err != nil {
		return unavailable("ping", errors.Join(err, context.Cause(ctx)))
	}
	return nil
}

// Close sends what was written, such as the last acknowledgements, and ends the
// connection.
func (c *Conn) Close() {
	if c.nc.IsConnected() {
		if err := c.nc.FlushTimeout(time.Second); err != nil {
			c.log.Warn("NATS may not have got the last messages", "error", err)
		}
	}
	c.nc.Close()
}

func (c *Conn) begin() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	c.session, c.end = context.WithCancel(context.Background())
	select {
	case <-c.up:
	default:
		close(c.up)
	}
}

func (c *Conn) lose() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.end()
	select {
	case <-c.up:
		c.up = make(chan struct{})
	default:
	}
}

// awaitSession waits for a connection and returns a context that lives as long
// as it.
func (c *Conn) awaitSession(ctx context.Context) (context.Context, error) {
	for {
		c.mu.Lock()
		up, session := c.up, c.session
		c.mu.Unlock()
		if session.Err() == nil {
			return session, nil
		}
		select {
		case <-up:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
}

// whileConnected returns a context that also ends with the present connection;
// at once if there is none. Without it a request whose answer is lost would wait
// for its timeout.
func (c *Conn) whileConnected(ctx context.Context) (context.Context, context.CancelFunc) {
	c.mu.Lock()
	session := c.session
	c.mu.Unlock()
	ctx, cancel := context.WithCancelCause(ctx)
	stop := context.AfterFunc(session, func() { cancel(errDisconnected) })
	return ctx, func() { stop(); cancel(nil) }
}

// maskURLs returns the servers without their credentials, which are for no log.
func maskURLs(urls string) (string, error) {
	var hosts []string
	for raw := range strings.SplitSeq(urls, ",") {
		raw = strings.TrimSpace(raw)
		if !strings.Contains(raw, "://") {
			raw = "nats://" + raw
		}
		u, err := url.Parse(raw)
		if err != nil || u.Host == "" {
			// The parser's own message quotes the URL, with its password.
			return "", fault.New(fault.Invalid, "nats-url", "The NATS URL is not of the form nats://host:port.")
		}
		hosts = append(hosts, u.Host)
	}
	return strings.Join(hosts, ","), nil
}
