package natsbus

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/fault"
)

const (
	// lookEvery is for how long something may be missing without anybody noticing,
	// and the pause after an attempt that failed.
	lookEvery = time.Second
	// refusalLasts is longer than the pause between two attempts at something that
	// is refused.
	refusalLasts = 10 * time.Second
)

// Keeper sees to it that a topology exists, also if somebody deletes a part of
// it. It is safe for concurrent use.
type Keeper struct {
	conn     *Conn
	topology Topology
	onKept   func()

	mu      sync.Mutex
	failure error // of the latest attempt to ensure the topology
	existed bool  // all of the topology, once
}

// NewKeeper returns a Keeper of t. Run calls onKept each time it has made or
// checked the topology; it must not block.
func NewKeeper(conn *Conn, t Topology, onKept func()) *Keeper {
	return &Keeper{conn: conn, topology: t, onKept: onKept}
}

// Ensure is that of Conn. What it has to make once more is told.
func (k *Keeper) Ensure(ctx context.Context) error {
	created, err := k.conn.ensure(ctx, k.topology)
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.existed && len(created) > 0 {
		k.conn.log.WarnContext(ctx, "JetStream had lost what the service needs, which is made anew: what was in a lost stream can be published again by \"outbox republish\", as far as the outbox still has it", "created", created)
	}
	k.failure, k.existed = err, k.existed || err == nil
	return err
}

// Run ensures the topology now, after each reconnect, and when something of it is
// missing, until ctx ends. Otherwise it leaves settings alone: two versions of the
// service, or a service and an operator, would change them back and forth. What
// fails is tried again, a Conflict too: what still works must go on.
func (k *Keeper) Run(ctx context.Context) {
	var ensured <-chan struct{} // of the connection on which the topology was ensured
	told := ""                  // the latest failure
	for {
		lost, ok := k.conn.awaitConnection(ctx)
		if !ok {
			return
		}
		missing, err := k.conn.missing(ctx, k.topology)
		if err == nil && (len(missing) > 0 || lost != ensured) {
			if err = k.Ensure(ctx); err == nil {
				ensured = lost
				k.onKept()
			}
		}
		if err != nil && err.Error() != told && ctx.Err() == nil { // one line for as long as it is the same
			level := slog.LevelWarn
			if fault.KindOf(err) == fault.Conflict {
				level = slog.LevelError
			}
			k.conn.log.Log(ctx, level, "JetStream is not as the service needs it: trying on", "error", err)
		}
		told = ""
		if err != nil {
			told = err.Error()
		}
		pause(ctx, lookEvery)
	}
}

// Ready returns nil when all of the topology exists, and took what was published
// of late. Its error is Unavailable, with a message that says what is wrong.
func (k *Keeper) Ready(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	if err := k.conn.Ready(ctx); err != nil {
		return err
	}
	k.mu.Lock()
	failure, _ := errors.AsType[*fault.Error](k.failure)
	k.mu.Unlock()
	if failure != nil {
		return fault.Wrap(failure, fault.Unavailable, failure.Code, failure.Message)
	}
	missing, err := k.conn.missing(ctx, k.topology)
	if err != nil {
		return err
	}
	if len(missing) > 0 {
		return fault.New(fault.Unavailable, "nats-incomplete", "JetStream has no "+strings.Join(missing, ", no ")+".")
	}
	if err := k.conn.refusalSince(time.Now().Add(-refusalLasts)); err != nil {
		return unavailable("use NATS", err)
	}
	return nil
}

// missing returns what of t does not exist, whatever the settings of the rest.
func (c *Conn) missing(ctx context.Context, t Topology) (missing []string, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ctx, done := c.whileConnected(ctx)
	defer done()
	look := func(what string, err error) error {
		switch {
		case err == nil:
			return nil
		case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrConsumerNotFound),
			errors.Is(err, jetstream.ErrNotPullConsumer): // another of that name
			missing = append(missing, what)
			return nil
		}
		return unavailable("look up "+what, c.whyRefused(start, whyFailed(ctx, err)))
	}
	for _, s := range t.Streams {
		_, err := c.js.Stream(ctx, s.Name)
		if err := look("stream "+s.Name, err); err != nil {
			return nil, err
		}
	}
	for _, s := range t.Consumers {
		_, err := c.js.Consumer(ctx, s.Stream, s.Durable)
		if err := look("consumer "+s.Durable, err); err != nil {
			return nil, err
		}
	}
	return missing, nil
}
