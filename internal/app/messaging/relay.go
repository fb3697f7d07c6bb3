package messaging

import (
	"context"
	"errors"
	"log/slog"
	"math/rand/v2"
	"time"

	"github.com/winaity/billing/internal/domain/fault"
)

// Outbox is where committed events wait to be published.
type Outbox interface {
	// PublishBatch hands up to limit unpublished messages, oldest first, to
	// publish, and marks those it acknowledged (a nil error at their index). While
	// all are acknowledged and there is a backlog, it may go on with batches of up
	// to twice limit, and MaxBatch. It returns how many messages that were in all.
	// Meanwhile nobody else publishes the same outbox: others get ErrBusy at once.
	//
	// A message whose error is Invalid can never be published: it is set aside
	// together with the later messages of its aggregate, for an operator to see.
	PublishBatch(ctx context.Context, limit int, publish func(context.Context, []Message) []error) (int, error)
}

// ErrBusy is what an Outbox returns while another instance has a batch.
var ErrBusy = errors.New("another instance is publishing the outbox")

// Publisher writes to the stream. A nil error means that the stream has the
// message; a message it already has, by its id, counts as written.
type Publisher interface {
	// Publish writes the messages side by side and returns an error for each.
	// It promises no order among them.
	Publish(ctx context.Context, messages []Message) []error
	// PublishAtomically writes all of the messages in the given order, or none.
	// ErrBatchRejected means none, and that Publish may still write them.
	PublishAtomically(ctx context.Context, messages []Message) error
}

// ErrBatchRejected is what a Publisher returns for a batch that cannot be
// written atomically: it holds a message that the stream has or can never take,
// or the server has no atomic batches.
var ErrBatchRejected = errors.New("atomic batch rejected")

// ErrHeldBack is the outcome of a message that was not tried because an earlier
// message of its aggregate was not published.
var ErrHeldBack = errors.New("held back behind an earlier event of its aggregate")

// A batch has a price of its own, in the database as in the stream. So the more
// events it had, the longer the relay waits for more: a few at a time are published
// at once, thousands a second in few batches.
const (
	pausePerEvent = 150 * time.Microsecond
	longestPause  = 40 * time.Millisecond
)

// atomicFrom is the batch size from which one atomic batch costs less than
// pipelined single messages: it needs one fsync instead of one a message, but
// two round trips more.
const atomicFrom = 16

// MaxBatch is how many messages a batch has at most: a server takes no more as
// one atomic batch.
const MaxBatch = 1000

// RelayOptions are the settings of a Relay; all are required.
type RelayOptions struct {
	BatchSize    int           // at most MaxBatch
	PollInterval time.Duration // how often to look without being woken
	BatchTimeout time.Duration // bounds one batch; must be below the stream's duplicate window
}

// Relay publishes the outbox to the stream: every event at least once, and the
// events of an aggregate in order. Any number of instances may run.
type Relay struct {
	outbox    Outbox
	publisher Publisher
	wake      Signal
	options   RelayOptions
	observer  Observer
	log       *slog.Logger
}

// NewRelay returns a Relay. Notify wake after each commit that wrote to the
// outbox, and when the stream can be reached again.
func NewRelay(outbox Outbox, publisher Publisher, wake Signal, options RelayOptions, observer Observer, log *slog.Logger) *Relay {
	return &Relay{outbox, publisher, wake, options, observer, log}
}

// Run publishes until ctx ends. A batch that has begun is finished, within its
// timeout.
func (r *Relay) Run(ctx context.Context) {
	failures, busy := 0, 0
	for ctx.Err() == nil {
		wait := r.options.PollInterval
		switch n, err := r.batch(ctx); {
		case errors.Is(err, ErrBusy):
			// What woke us may have been committed after the holder looked, so
			// the outbox must be ours once before we may rest.
			busy++
			r.pause(ctx, backoff(2*time.Millisecond, min(busy, 5)), nil)
			continue
		case err != nil:
			failures++
			wait = min(backoff(50*time.Millisecond, failures), time.Second)
			if fault.KindOf(err) == fault.Unavailable {
				r.log.WarnContext(ctx, "outbox waits", "error", err, "retryIn", wait)
			} else {
				r.log.ErrorContext(ctx, "outbox batch failed", "error", err, "retryIn", wait)
			}
			// Not woken by commits: they are what waits.
			r.pause(ctx, wait, nil)
			continue
		case n >= r.options.BatchSize:
			wait = 0 // there may be more
		default:
			r.pause(ctx, min(time.Duration(n)*pausePerEvent, longestPause), nil)
		}
		failures, busy = 0, 0
		r.pause(ctx, wait, r.wake)
	}
}

func (r *Relay) pause(ctx context.Context, d time.Duration, wake Signal) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-wake:
	case <-timer.C:
	}
}

// batch publishes what the outbox hands over and returns how many messages that
// were. An error of any message is an error of the batch.
func (r *Relay) batch(ctx context.Context) (int, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), r.options.BatchTimeout)
	defer cancel()
	var failed error
	n, err := r.outbox.PublishBatch(ctx, r.options.BatchSize, func(ctx context.Context, batch []Message) []error {
		start := time.Now()
		outcomes := r.publish(ctx, batch)
		for i, err := range outcomes {
			switch {
			case err == nil, errors.Is(err, ErrHeldBack):
			case fault.KindOf(err) == fault.Invalid:
				r.log.ErrorContext(ctx, "event can never be published: its aggregate is blocked",
					"eventId", batch[i].ID, "aggregateId", batch[i].AggregateID, "error", err)
			case failed == nil:
				failed = err
			}
		}
		r.observer.BatchPublished(batch, outcomes, time.Since(start))
		return outcomes
	})
	if err != nil {
		return n, err
	}
	return n, failed
}

// publish returns an outcome for each message of the batch.
func (r *Relay) publish(ctx context.Context, batch []Message) []error {
	if len(batch) >= atomicFrom && !over(ctx) {
		err := r.publisher.PublishAtomically(ctx, batch)
		if !errors.Is(err, ErrBatchRejected) {
			outcomes := make([]error, len(batch))
			for i := range outcomes {
				outcomes[i] = err
			}
			return outcomes
		}
		r.log.DebugContext(ctx, "atomic batch rejected: publishing in waves", "error", err)
	}
	return r.publishInWaves(ctx, batch)
}

// publishInWaves keeps at most one message of an aggregate in flight: a wave is
// the first message of every aggregate, the next wave their second ones. So no
// failure, of whichever message, lets a later event of an aggregate overtake an
// earlier one; it only holds back that aggregate.
func (r *Relay) publishInWaves(ctx context.Context, batch []Message) []error {
	outcomes := make([]error, len(batch))
	queues := make(map[string][]int) // aggregate → indexes of its messages
	for i, m := range batch {
		key := m.AggregateType + "/" + m.AggregateID
		queues[key] = append(queues[key], i)
		outcomes[i] = ErrHeldBack
	}
	for len(queues) > 0 && !over(ctx) {
		wave := make([]Message, 0, len(queues))
		keys := make([]string, 0, len(queues))
		for key, queue := range queues {
			wave = append(wave, batch[queue[0]])
			keys = append(keys, key)
		}
		for i, err := range r.publisher.Publish(ctx, wave) {
			queue := queues[keys[i]]
			outcomes[queue[0]] = err
			if err != nil || len(queue) == 1 {
				delete(queues, keys[i])
			} else {
				queues[keys[i]] = queue[1:]
			}
		}
	}
	return outcomes
}

// over reports whether ctx has ended, or should have: in a process that was
// stopped for a while, work may go on before the timer that ends ctx does. By
// then another instance has the batch.
func over(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ctx.Err() != nil || ok && !time.Now().Before(deadline)
}

// Signal wakes one waiting goroutine; signals that nobody waits for coalesce.
type Signal chan struct{}

// NewSignal returns a Signal.
func NewSignal() Signal { return make(Signal, 1) }

// Notify wakes the waiter, now or when it next waits. It never blocks.
func (s Signal) Notify() {
	select {
	case s <- struct{}{}:
	default:
	}
}

// backoff returns base·2^(attempt−1) with up to a tenth on top, attempt from 1.
func backoff(base time.Duration, attempt int) time.Duration {
	return jitter(base << min(attempt-1, 16))
}

// jitter lengthens d by up to a tenth, so that what failed together does not
// come back together.
func jitter(d time.Duration) time.Duration {
	return d + rand.N(d/10+1)
}
