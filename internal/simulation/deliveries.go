package simulation

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
)

// Source is a messaging.Source and messaging.DeadLetters: the consumer of a
// Stream, and its dead letters, as a process reaches them.
type Source struct {
	stream  *Stream
	process *Process
}

var (
	_ messaging.Source      = (*Source)(nil)
	_ messaging.DeadLetters = (*Source)(nil)
)

// Source returns the consumer as the process reaches it.
func (s *Stream) Source(p *Process) *Source { return &Source{s, p} }

// Next implements messaging.Source.
func (s *Source) Next(ctx context.Context) (messaging.Delivery, error) {
	for {
		if s.process.isGone() {
			return nil, errGone
		}
		d, changed, due := s.stream.take()
		if d != nil {
			// One that gets lost on its way comes again.
			if err := s.process.call(ctx, "deliver", func(fate) error { return nil }); err != nil {
				return nil, unavailable(err)
			}
			d.process = s.process
			return d, nil
		}
		timer := time.NewTimer(time.Until(due))
		select {
		case <-changed:
		case <-timer.C:
		case <-s.process.gone:
		case <-ctx.Done():
			timer.Stop()
			return nil, ctx.Err()
		}
		timer.Stop()
	}
}

// take returns the next delivery, or what to wait for, and until when at most.
func (s *Stream) take() (_ *delivery, changed <-chan struct{}, due time.Time) {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := time.Now()
	due = now.Add(time.Hour)
	if s.away {
		return nil, s.changed, due
	}
	for _, place := range slices.Sorted(maps.Keys(s.open)) {
		u := s.open[place]
		switch {
		case u.due.After(now):
			if u.due.Before(due) {
				due = u.due
			}
		case u.deliveries >= s.options.MaxDeliver:
			s.bury(place, fmt.Sprintf("no answer after %d deliveries", u.deliveries), u.deliveries)
			delete(s.open, place)
		default:
			return s.deliver(place, u), nil, due
		}
	}
	for s.next < len(s.messages) {
		place := s.next
		s.next++
		if s.options.Subjects[s.messages[place].Subject] {
			u := &unanswered{}
			s.open[place] = u
			return s.deliver(place, u), nil, due
		}
	}
	return nil, s.changed, due
}

func (s *Stream) deliver(place int, u *unanswered) *delivery {
	u.deliveries++
	u.due = time.Now().Add(s.options.AckWait)
	s.notify() // whoever waits has to look for another due time
	return &delivery{stream: s, place: place, message: s.messages[place].Message, attempt: u.deliveries}
}

// bury stores a dead letter, unless there is one.
func (s *Stream) bury(place int, reason string, deliveries int) {
	if _, exists := s.letters[place]; !exists {
		s.letters[place] = Letter{s.messages[place].Message, reason, deliveries}
	}
}

var errForeign = errors.New("the delivery is not from this source")

// Park implements messaging.DeadLetters.
func (s *Source) Park(ctx context.Context, d messaging.Delivery, reason error) error {
	own, ok := d.(*delivery)
	if !ok {
		return errForeign
	}
	return unavailable(s.process.call(ctx, "park", func(fate) error {
		return s.stream.serve(func() error {
			s.stream.bury(own.place, reason.Error(), own.attempt)
			return nil
		})
	}))
}

// delivery is a messaging.Delivery. Its answers are not confirmed.
type delivery struct {
	stream  *Stream
	process *Process
	place   int
	message messaging.Message
	attempt int
}

var _ messaging.Delivery = (*delivery)(nil)

// Subject implements messaging.Delivery, as do the next ones.
func (d *delivery) Subject() string     { return d.message.Subject }
func (d *delivery) Payload() []byte     { return d.message.Payload }
func (d *delivery) Traceparent() string { return d.message.Traceparent }
func (d *delivery) Attempt() int        { return d.attempt }

// Ack implements messaging.Delivery.
func (d *delivery) Ack(ctx context.Context) error {
	return d.answer(ctx, "ack", func(*unanswered) { delete(d.stream.open, d.place) })
}

// Retry implements messaging.Delivery.
func (d *delivery) Retry(ctx context.Context, delay time.Duration) error {
	return d.answer(ctx, "retry", func(u *unanswered) { u.due = time.Now().Add(delay) })
}

// Terminate implements messaging.Delivery.
func (d *delivery) Terminate(ctx context.Context, _ string) error {
	return d.answer(ctx, "terminate", func(*unanswered) { delete(d.stream.open, d.place) })
}

// Extend implements messaging.Delivery.
func (d *delivery) Extend(ctx context.Context) error {
	return d.answer(ctx, "extend", func(u *unanswered) { u.due = time.Now().Add(d.stream.options.AckWait) })
}

func (d *delivery) answer(ctx context.Context, what string, do func(*unanswered)) error {
	return unavailable(d.process.call(ctx, what, func(fate) error {
		return d.stream.serve(func() error {
			if u, isOpen := d.stream.open[d.place]; isOpen {
				do(u)
				d.stream.notify()
			}
			return nil
		})
	}))
}
