package natsbus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/fault"
)

const (
	ensureTimeout = 15 * time.Second
	// ensureAttempts is how often another instance may get in between the look
	// at what exists and the change to it.
	ensureAttempts = 5
)

// oldestServer is the first with atomic batches.
var oldestServer = [2]int{2, 12}

// Ensure creates the streams and consumers that are missing and adapts those
// that exist, without taking anything away: a limit is raised but never lowered,
// and settings that t does not mention stay as they are. What it cannot adapt
// without loss is a Conflict, after which it goes on with the rest; any other
// failure is Unavailable. Any number of instances may run it at once.
func (c *Conn) Ensure(ctx context.Context, t Topology) error {
	_, err := c.ensure(ctx, t)
	return err
}

// ensure returns what it created.
func (c *Conn) ensure(ctx context.Context, t Topology) (created []string, err error) {
	start := time.Now()
	ctx, cancel := context.WithTimeout(ctx, ensureTimeout)
	defer cancel()
	ctx, done := c.whileConnected(ctx)
	defer done()
	version := c.nc.ConnectedServerVersion()
	if version == "" { // not connected, whether or not that was reported yet
		return nil, unavailable("ensure topology", errDisconnected)
	}
	if err := checkVersion(version); err != nil {
		return nil, err
	}
	ensure := func(what string, do func() (isNew bool, err error)) {
		if err != nil && fault.KindOf(err) != fault.Conflict {
			return // whatever that was, the rest would have it too
		}
		isNew, failure := repeat(do)
		if isNew {
			created = append(created, what)
		}
		if failure != nil && err == nil {
			err = ensureError("ensure "+what, c.whyRefused(start, whyFailed(ctx, failure)))
		}
	}
	for _, s := range t.Streams {
		ensure("stream "+s.Name, func() (bool, error) { return c.ensureStream(ctx, s) })
	}
	for _, s := range t.Consumers {
		ensure("consumer "+s.Durable, func() (bool, error) { return c.ensureConsumer(ctx, s) })
	}
	return created, err
}

// errOvertaken says that another instance was faster.
var errOvertaken = errors.New("another instance changes the same")

func repeat(ensure func() (bool, error)) (isNew bool, err error) {
	for range ensureAttempts {
		if isNew, err = ensure(); !errors.Is(err, errOvertaken) {
			break
		}
	}
	return isNew, err
}

func ensureError(action string, err error) error {
	if fault.KindOf(err) == fault.Conflict {
		return err
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == codeReplicasUnsupported {
		return conflict(fmt.Errorf("%s: %w", action, err), "A single NATS server keeps one replica of a stream: configure 1, or a cluster.")
	}
	return unavailable(action, err) // whatever it is, somebody can mend it on the server
}

func (c *Conn) ensureStream(ctx context.Context, want jetstream.StreamConfig) (isNew bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := c.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		err = c.createStream(ctx, want)
		return err == nil, err
	}
	if err != nil {
		return false, err
	}
	have := stream.CachedInfo().Config
	changes, err := reconcile("stream", want.Name, streamSettings(&have, want))
	if err != nil || len(changes) == 0 {
		return false, err
	}
	if _, err := c.js.UpdateStream(ctx, have); err != nil {
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return false, errOvertaken
		}
		return false, fmt.Errorf("update %s: %w", strings.Join(changes, ", "), err)
	}
	c.log.InfoContext(ctx, "stream updated", "stream", want.Name, "changes", changes)
	return false, nil
}

func (c *Conn) createStream(ctx context.Context, want jetstream.StreamConfig) error {
	_, err := c.js.CreateStream(ctx, want)
	if errors.Is(err, jetstream.ErrStreamNameAlreadyInUse) {
		return errOvertaken
	}
	if api, ok := errors.AsType[*jetstream.APIError](err); ok && api.ErrorCode == codeSubjectsOverlap {
		return conflict(err, "Stream %s cannot be created because another stream already takes its subjects (%s): look at \"nats stream ls --subjects\" and take them away from it.",
			want.Name, strings.Join(want.Subjects, ", "))
	}
	if err != nil {
		return err
	}
	c.log.InfoContext(ctx, "stream created", "stream", want.Name)
	return nil
}

func (c *Conn) ensureConsumer(ctx context.Context, want Consumer) (isNew bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := c.js.Consumer(ctx, want.Stream, want.Durable)
	if errors.Is(err, jetstream.ErrConsumerNotFound) {
		_, err := c.js.CreateConsumer(ctx, want.Stream, want.ConsumerConfig)
		if errors.Is(err, jetstream.ErrConsumerExists) {
			return false, errOvertaken
		}
		if err == nil {
			c.log.InfoContext(ctx, "consumer created", "stream", want.Stream, "consumer", want.Durable)
		}
		return err == nil, err
	}
	if errors.Is(err, jetstream.ErrNotPullConsumer) {
		return false, conflict(err, "Consumer %s of stream %s is a push consumer: delete it with \"nats consumer rm %s %s\" and it is created anew.",
			want.Durable, want.Stream, want.Stream, want.Durable)
	}
	if err != nil {
		return false, err
	}
	have := consumer.CachedInfo().Config
	changes, err := reconcile("consumer", want.Stream+" "+want.Durable, consumerSettings(&have, want.ConsumerConfig))
	if err != nil || len(changes) == 0 {
		return false, err
	}
	if _, err := c.js.UpdateConsumer(ctx, want.Stream, have); err != nil {
		if errors.Is(err, jetstream.ErrConsumerDoesNotExist) {
			return false, errOvertaken
		}
		return false, fmt.Errorf("update %s: %w", strings.Join(changes, ", "), err)
	}
	c.log.InfoContext(ctx, "consumer updated", "stream", want.Stream, "consumer", want.Durable, "changes", changes)
	return false, nil
}

// checkVersion returns a Conflict if the server is older than what the service
// relies on.
func checkVersion(version string) error {
	major, rest, _ := strings.Cut(version, ".")
	minor, _, _ := strings.Cut(rest, ".")
	have := [2]int{atoi(major), atoi(minor)}
	if have[0] > oldestServer[0] || have[0] == oldestServer[0] && have[1] >= oldestServer[1] {
		return nil
	}
	return conflict(nil, "The NATS server is version %s: %d.%d or later is needed.", version, oldestServer[0], oldestServer[1])
}

func atoi(s string) int {
	n, err := strconv.Atoi(s)
	if err != nil {
		return 0
	}
	return n
}

func conflict(err error, format string, args ...any) error {
	return fault.Wrap(err, fault.Conflict, "nats-conflict", fmt.Sprintf(format, args...))
}

// pause waits for d or the end of ctx.
func pause(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-ctx.Done():
	}
}
