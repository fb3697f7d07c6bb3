package messaging

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"time"

	"github.com/winaity/billing/internal/domain/fault"
)

// Delivery is one delivery of a message. Exactly one of Ack, Retry and
// Terminate answers it; what stays unanswered comes again after the ack wait.
type Delivery interface {
	Subject() string
	Payload() []byte
	Traceparent() string // empty if none
	Attempt() int        // 1 for the first delivery
	// Ack says that the message was handled.
	Ack(ctx context.Context) error
	// Retry asks for the message again after delay.
	Retry(ctx context.Context, delay time.Duration) error
	// Terminate asks never to get the message again.
	Terminate(ctx context.Context, reason string) error
	// Extend restarts the ack wait.
	Extend(ctx context.Context) error
}

// Source hands out deliveries.
type Source interface {
	// Next waits for a delivery. Each delivery goes to one caller.
	Next(ctx context.Context) (Delivery, error)
}

// DeadLetters keeps the messages that could not be handled.
type DeadLetters interface {
	// Park stores the delivery's message with the reason. When it returns nil
	// the letter is safe; parking the same message again stores nothing new.
	Park(ctx context.Context, d Delivery, reason error) error
}

// Handler is the effect of one type of event.
type Handler[T any] struct {
	Name string // names the effect in the inbox; never change it
	// Handle has its effects through tx only, asks nothing but tx, and may be run
	// several times. The kind of the error that it returns decides what becomes of
	// the message: see verdicts.
	Handle func(tx T, msg Envelope) error
}

// verdict is what a failed message deserves.
type verdict uint8

const (
	retry    verdict = iota // again later, and a dead letter when the deliveries are used up
	park                    // a dead letter at once: trying again cannot help
	postpone                // wait for the dependency; it is no fault of the message
)

var verdicts = map[fault.Kind]verdict{
	fault.Internal:    retry,
	fault.NotFound:    retry,
	fault.Unavailable: postpone,
	fault.Invalid:     park,
	fault.Conflict:    park,
}

var (
	errInProgress = errors.New("another worker is handling this message")
	errNoHandler  = fault.New(fault.Invalid, "no-handler", "No handler is registered for this type of event.")
)

// ConsumerOptions are the settings of a Consumer; all are required but Trace.
type ConsumerOptions struct {
	Concurrency int
	MaxDeliver  int           // deliveries of a message before it is parked
	AckWait     time.Duration // as the stream's consumer has it
	Backoff     time.Duration // before the first retry; doubles with each
	// Ready returns nil once what Unavailable errors complain of is back.
	Ready func(context.Context) error
	Trace Tracer // nil: no spans
}

// Consumer handles deliveries by a fixed number of workers, each with one
// delivery at a time. So nothing waits in a buffer while its ack wait runs, and
// a slow message holds back no other but its worker's next.
type Consumer[T Inbox] struct {
	source   Source
	letters  DeadLetters
	once     *Once[T]
	handlers map[string]Handler[T] // by event type
	options  ConsumerOptions
	observer Observer
	log      *slog.Logger
}

// NewConsumer returns a Consumer for the given handlers, by event type.
func NewConsumer[T Inbox](source Source, letters DeadLetters, once *Once[T], handlers map[string]Handler[T], options ConsumerOptions, observer Observer, log *slog.Logger) *Consumer[T] {
	if options.Trace == nil {
		options.Trace = untraced
	}
	return &Consumer[T]{source, letters, once, handlers, options, observer, log}
}

// HandleTimeout bounds one attempt at a message. It ends before the ack wait
// does, so that a message never comes again while it is still being handled.
func HandleTimeout(ackWait time.Duration) time.Duration { return ackWait * 4 / 5 }

// Run handles deliveries until ctx ends; those in hand are finished, within
// HandleTimeout.
func (c *Consumer[T]) Run(ctx context.Context) {
	var workers sync.WaitGroup
	for range c.options.Concurrency {
		workers.Go(func() { c.work(ctx) })
	}
	workers.Wait()
}

func (c *Consumer[T]) work(ctx context.Context) {
	failures := 0
	for ctx.Err() == nil {
		d, err := c.source.Next(ctx)
		if err != nil {
			failures++
			if ctx.Err() == nil {
				c.log.WarnContext(ctx, "no deliveries", "error", err)
			}
			sleep(ctx, min(backoff(50*time.Millisecond, failures), time.Second))
			continue
		}
		failures = 0
		c.handle(ctx, d)
	}
}

// handle answers one delivery. The end of ctx stops waiting, not work.
func (c *Consumer[T]) handle(ctx context.Context, d Delivery) {
	start := time.Now()
	msg, err := Open(d.Subject(), d.Payload())
	trace := Trace{CorrelationID: msg.CorrelationID, CausationID: msg.ID}
	if WellFormedTraceparent(d.Traceparent()) {
		trace.Traceparent = d.Traceparent()
	}
	work, end := c.options.Trace(WithTrace(context.WithoutCancel(ctx), trace), d)
	fresh := false
	if err == nil {
		fresh, err = c.attempt(work, d, msg)
		for range postponements {
			if err == nil || verdicts[fault.KindOf(err)] != postpone || !c.waitUntilReady(ctx, d, err) {
				break
			}
			fresh, err = c.attempt(work, d, msg)
		}
	}
	outcome, answerErr := c.answer(work, d, fresh, err)
	r := DeliveryReport{
		Subject: d.Subject(), EventID: msg.ID, AggregateID: msg.AggregateID, Attempt: d.Attempt(),
		Outcome: outcome, Err: errors.Join(err, answerErr), At: start, Took: time.Since(start),
	}
	c.report(work, r)
	end(r)
}

// report logs what became of a delivery and tells the observer.
func (c *Consumer[T]) report(ctx context.Context, r DeliveryReport) {
	attrs := []any{
		"outcome", r.Outcome, "subject", r.Subject, "eventId", r.EventID, "aggregateId", r.AggregateID,
		"attempt", r.Attempt, "took", r.Took,
	}
	if r.Err != nil {
		attrs = append(attrs, "error", r.Err)
	}
	c.log.Log(ctx, levels[r.Outcome], "delivery", attrs...)
	c.observer.Delivered(r)
}

var levels = map[Outcome]slog.Level{
	Handled:   slog.LevelInfo,
	Duplicate: slog.LevelInfo,
	Retried:   slog.LevelWarn,
	Parked:    slog.LevelError,
	Abandoned: slog.LevelWarn,
}

// postponements is how often a delivery may find its dependency away, after it
// was said to be back, before that counts as a failure of the message.
const postponements = 3

// attempt runs the effect of msg once, within HandleTimeout.
func (c *Consumer[T]) attempt(ctx context.Context, d Delivery, msg Envelope) (fresh bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, HandleTimeout(c.options.AckWait))
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("handler panicked: %v\n%s", p, debug.Stack())
		}
	}()
	handler, ok := c.handlers[msg.Type]
	if !ok {
		return false, errNoHandler
	}
	// The last delivery must not step aside for a worker that may be dead.
	insist := d.Attempt() >= c.options.MaxDeliver
	return c.once.Do(ctx, handler, msg, insist)
}

// answer tells the source what became of the delivery.
func (c *Consumer[T]) answer(ctx context.Context, d Delivery, fresh bool, failure error) (Outcome, error) {
	ctx, cancel := context.WithTimeout(ctx, c.options.AckWait)
	defer cancel()
	if failure == nil {
		outcome := Duplicate
		if fresh {
			outcome = Handled
		}
		return outcome, d.Ack(ctx)
	}
	if verdicts[fault.KindOf(failure)] != park && d.Attempt() < c.options.MaxDeliver {
		return Retried, d.Retry(ctx, backoff(c.options.Backoff, d.Attempt()))
	}
	if err := c.letters.Park(ctx, d, failure); err != nil {
		// Without an answer it comes again, or is reported as exhausted: either
		// way it will be parked then.
		return Abandoned, fmt.Errorf("park: %w", err)
	}
	return Parked, d.Terminate(ctx, failure.Error())
}

// waitUntilReady holds the delivery until the dependency is back, so that an
// outage uses up no deliveries. It returns false when ctx ends first.
func (c *Consumer[T]) waitUntilReady(ctx context.Context, d Delivery, cause error) bool {
	c.log.WarnContext(ctx, "delivery waits for a dependency", "subject", d.Subject(), "error", cause)
	for try := 1; ctx.Err() == nil; try++ {
		if err := d.Extend(ctx); err != nil {
			return false
		}
		if !sleep(ctx, min(backoff(100*time.Millisecond, try), c.options.AckWait/4)) {
			return false
		}
		if c.options.Ready(ctx) == nil {
			return true
		}
	}
	return false
}

// sleep returns false when ctx ended first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
