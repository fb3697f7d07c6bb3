package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	eventsStream      = "BILLING_EVENTS"
	deadLetterStream  = "BILLING_DLQ"
	deadLetterSubject = "dlq.billing"
)

// stream is what the service says on NATS from the moment it is opened.
type stream struct {
	nc      *nats.Conn
	js      jetstream.JetStream
	events  chan event      // of this demo, in order
	letters chan deadLetter // of everybody
	forget  []func()        // the consumers
}

// event is an event of the service, as every consumer gets it.
type event struct {
	ID            string `json:"id"`
	Type          string `json:"type"`
	CorrelationID string `json:"correlationId"`
	CausationID   string `json:"causationId"`
	AggregateID   string `json:"aggregateId"`
	Version       int    `json:"version"`

	seen time.Time
}

type deadLetter struct {
	OriginalEvent json.RawMessage `json:"originalEvent"`
	Error         string          `json:"error"`
	FailedAt      time.Time       `json:"failedAt"`

	header nats.Header
	seen   time.Time
}

type publication struct {
	subject, stream string
	sequence        uint64 // in stream
	at              time.Time
}

// openStream watches the events whose correlation id begins with prefix, and the
// dead letters.
func openStream(ctx context.Context, url, prefix string) (*stream, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	nc, err := nats.Connect(url, nats.Name("billing-demo"), nats.Timeout(3*time.Second))
	if err != nil {
		return nil, err
	}
	s := &stream{nc: nc, events: make(chan event, 100), letters: make(chan deadLetter, 100)}
	s.js, err = jetstream.New(nc)
	if err == nil {
		err = s.watch(ctx, eventsStream, "billing.>", func(msg jetstream.Msg, seen time.Time) {
			e := event{seen: seen}
			if json.Unmarshal(msg.Data(), &e) == nil && strings.HasPrefix(e.CorrelationID, prefix) {
				s.events <- e
			}
		})
	}
	if err == nil {
		err = s.watch(ctx, deadLetterStream, deadLetterSubject, func(msg jetstream.Msg, seen time.Time) {
			l := deadLetter{header: msg.Headers(), seen: seen}
			if json.Unmarshal(msg.Data(), &l) == nil {
				s.letters <- l
			}
		})
	}
	if err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *stream) watch(ctx context.Context, name, subject string, handle func(jetstream.Msg, time.Time)) error {
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{subject},
		DeliverPolicy:  jetstream.DeliverNewPolicy,
	}
	consumer, err := s.js.OrderedConsumer(ctx, name, config)
	// A service that has just started is about to create it.
	for errors.Is(err, jetstream.ErrStreamNotFound) {
		select {
		case <-ctx.Done():
			return fmt.Errorf("stream %s: %w", name, err)
		case <-time.After(100 * time.Millisecond):
		}
		consumer, err = s.js.OrderedConsumer(ctx, name, config)
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", name, err)
	}
	watching, err := consumer.Consume(func(msg jetstream.Msg) { handle(msg, time.Now()) })
	if err != nil {
		return err
	}
	s.forget = append(s.forget, func() {
		watching.Stop()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = s.js.DeleteConsumer(ctx, name, consumer.CachedInfo().Name) // else it stays for minutes
	})
	return nil
}

// close leaves nothing behind in the streams.
func (s *stream) close() {
	for _, forget := range s.forget {
		forget()
	}
	s.nc.Close()
}

func (s *stream) server() string { return s.nc.ConnectedUrlRedacted() }

// next returns the next event with the correlation id.
func (s *stream) next(ctx context.Context, correlationID string) (event, error) {
	for {
		select {
		case e := <-s.events:
			if e.CorrelationID == correlationID {
				return e, nil
			}
		case <-ctx.Done():
			return event{}, context.Cause(ctx)
		}
	}
}

// letter returns the dead letter of a message of the events stream.
func (s *stream) letter(ctx context.Context, sequence uint64) (deadLetter, error) {
	for {
		select {
		case l := <-s.letters:
			if l.header.Get("Dead-Letter-Sequence") == strconv.FormatUint(sequence, 10) {
				return l, nil
			}
		case <-ctx.Done():
			return deadLetter{}, context.Cause(ctx)
		}
	}
}

func (s *stream) publish(ctx context.Context, subject, id, payload string) (publication, error) {
	ack, err := s.js.Publish(ctx, subject, []byte(payload), jetstream.WithMsgID(id))
	if err != nil {
		return publication{}, err
	}
	return publication{subject, ack.Stream, ack.Sequence, time.Now()}, nil
}
