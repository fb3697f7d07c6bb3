package messaging_test

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/simulation"
)

const (
	typeDone    = "test.thing.done"
	typeUnknown = "test.thing.unknown"
	ackWait     = 10 * time.Second
	maxDeliver  = 3
)

var (
	errFlawed  = errors.New("it does not work yet")
	errInvalid = fault.New(fault.Invalid, "invalid", "It will never work.")
)

// bench is a consumer with what it works on. It is told what happens.
type bench struct {
	messaging.NoObserver
	db     *simulation.Database
	stream *simulation.Stream
	cache  *simulation.Cache
	conn   *simulation.Connection
	ports  ports
	handle func(tx simulation.Tx, msg messaging.Envelope) error

	mu      sync.Mutex
	reports []messaging.DeliveryReport
	layers  []messaging.Layer
	effects int
}

// ports are what tests put something else for.
type ports struct {
	source  messaging.Source
	letters messaging.DeadLetters
	claims  messaging.Claims
	options messaging.ConsumerOptions
	key     messaging.DedupKey
}

func newBench() *bench {
	b := &bench{
		db: simulation.NewDatabase(), cache: simulation.NewCache(),
		stream: simulation.NewStream(simulation.StreamOptions{
			Window: time.Minute, Subjects: map[string]bool{typeDone: true, typeUnknown: true},
			AckWait: ackWait, MaxDeliver: maxDeliver, MaxPayload: 1000,
		}),
		handle: func(simulation.Tx, messaging.Envelope) error { return nil },
	}
	process := simulation.NewProcess("test", nil, nil)
	b.conn = b.db.Connect(process, messaging.NewSignal())
	source := b.stream.Source(process)
	b.ports = ports{source, source, b.cache.Claims(process), messaging.ConsumerOptions{
		Concurrency: 2, MaxDeliver: maxDeliver, AckWait: ackWait, Backoff: time.Second, Ready: b.conn.Ready,
	}, messaging.ByEventID}
	return b
}

func (b *bench) Delivered(r messaging.DeliveryReport) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.reports = append(b.reports, r)
}

func (b *bench) Deduplicated(l messaging.Layer) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.layers = append(b.layers, l)
}

// start lets the consumer work until stop is called.
func (b *bench) start(t *testing.T) (stop func()) {
	t.Helper()
	log := slog.New(slog.DiscardHandler)
	store := simulation.NewStore(b.conn, groupcommit.Size{Groups: 1, Members: 16})
	once := messaging.NewOnce(store, b.ports.claims, messaging.OnceOptions{
		Key: b.ports.key, Lease: messaging.HandleTimeout(ackWait), TTL: time.Hour,
	}, b, log)
	handlers := map[string]messaging.Handler[simulation.Tx]{typeDone: {Name: "handler", Handle: func(tx simulation.Tx, msg messaging.Envelope) error {
		if err := b.handle(tx, msg); err != nil {
			return err
		}
		n, err := tx.NextNumber("TEST")
		if err != nil {
			return err
		}
		b.mu.Lock()
		defer b.mu.Unlock()
		b.effects = n.Ordinal
		return nil
	}}}
	consumer := messaging.NewConsumer(b.ports.source, b.ports.letters, once, handlers, b.ports.options, b, log)
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	running.Go(func() { consumer.Run(ctx) })
	return func() { cancel(); running.Wait() }
}

// put stores an event in the stream, so often.
func (b *bench) put(t *testing.T, eventType string, times int) messaging.Message {
	t.Helper()
	m, err := messaging.Seal(messaging.Trace{CorrelationID: "corr"}, event.Event{
		Type: eventType, AggregateType: "Thing", AggregateID: "thing", Version: 1, OccurredAt: time.Now(), Data: struct{}{},
	})
	if err != nil {
		t.Fatal(err)
	}
	for range times {
		b.stream.Put(eventType, string(m.Payload))
	}
	return m
}

// reported fails the test unless these are the outcomes so far, in any order.
func (b *bench) reported(t *testing.T, want ...messaging.Outcome) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	var got []messaging.Outcome
	for _, r := range b.reports {
		got = append(got, r.Outcome)
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("outcomes %v, want %v: %+v", got, want, b.reports)
	}
}

// had fails the test unless there were so many effects and dead letters.
func (b *bench) had(t *testing.T, effects, letters int) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if n := len(b.stream.Letters()); b.effects != effects || n != letters {
		t.Errorf("%d effects and %d letters, want %d and %d", b.effects, n, effects, letters)
	}
}

// after lets the consumer work for so long.
func (b *bench) after(t *testing.T, d time.Duration) {
	t.Helper()
	stop := b.start(t)
	<-time.After(d)
	stop()
}

func TestEffectHappensOnce(t *testing.T) {
	for name, test := range map[string]struct {
		away bool
		want []messaging.Layer
	}{
		"by the claim": {false, []messaging.Layer{messaging.LayerClaim, messaging.LayerClaim}},
		"by the inbox": {true, []messaging.Layer{messaging.LayerInbox, messaging.LayerInbox}},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.ports.options.Concurrency = 1
				b.cache.SetAway(test.away)
				b.put(t, typeDone, 3)
				b.after(t, time.Second)
				b.reported(t, messaging.Handled, messaging.Duplicate, messaging.Duplicate)
				b.had(t, 1, 0)
				if !slices.Equal(b.layers, test.want) {
					t.Errorf("recognised by %v", b.layers)
				}
			})
		})
	}
}

func TestEventsThatStateTheSameFactAreOneMessage(t *testing.T) {
	for want, key := range map[int]messaging.DedupKey{2: messaging.ByEventID, 1: messaging.ByNaturalKey} {
		synctest.Test(t, func(t *testing.T) {
			b := newBench()
			b.ports.key = key
			b.put(t, typeDone, 1)
			b.put(t, typeDone, 1)
			b.after(t, time.Minute)
			b.had(t, want, 0)
		})
	}
}

func TestWhatCannotBeHandledIsADeadLetter(t *testing.T) {
	for name, test := range map[string]struct {
		handle func(simulation.Tx, messaging.Envelope) error
		want   []messaging.Outcome
	}{
		"invalid": {func(simulation.Tx, messaging.Envelope) error { return errInvalid }, []messaging.Outcome{messaging.Parked}},
		"flawed": {
			func(simulation.Tx, messaging.Envelope) error { return errFlawed },
			[]messaging.Outcome{messaging.Retried, messaging.Retried, messaging.Parked},
		},
		"panic": {
			func(simulation.Tx, messaging.Envelope) error { panic("a bug") },
			[]messaging.Outcome{messaging.Retried, messaging.Retried, messaging.Parked},
		},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				first := b.put(t, typeDone, 1)
				b.put(t, typeDone, 1)
				b.handle = func(tx simulation.Tx, msg messaging.Envelope) error {
					if msg.ID == first.ID {
						return test.handle(tx, msg)
					}
					return nil
				}
				b.after(t, time.Minute)
				b.reported(t, append(test.want, messaging.Handled)...)
				b.had(t, 1, 1)
			})
		})
	}
}

func TestWhatNobodyHandlesIsADeadLetter(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.put(t, typeUnknown, 1)
		b.stream.Put(typeDone, "no event")
		b.after(t, time.Second)
		b.reported(t, messaging.Parked, messaging.Parked)
		b.had(t, 0, 2)
	})
}

// An outage uses up no deliveries, however long it is.
func TestDeliveryWaitsForItsDependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.db.SetAway(true, 0)
		b.put(t, typeDone, 1)
		stop := b.start(t)
		defer stop()
		<-time.After(time.Hour)
		b.reported(t)
		b.db.SetAway(false, 0)
		<-time.After(time.Minute)
		b.reported(t, messaging.Handled)
		if r := b.reports[0]; r.Attempt != 1 || r.EventID == "" || r.Took < time.Hour {
			t.Errorf("it was handled by %+v", r)
		}
	})
}

func TestStoppingEndsTheWaitForADependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.db.SetAway(true, 0)
		b.put(t, typeDone, 1)
		b.after(t, time.Minute)
		b.reported(t, messaging.Retried)
	})
}

func TestStreamThatIsAwayEndsTheWaitForADependency(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.db.SetAway(true, 0)
		b.put(t, typeDone, 1)
		stop := b.start(t)
		defer stop()
		<-time.After(time.Minute)
		b.stream.SetAway(true)
		<-time.After(time.Minute)
		b.reported(t, messaging.Retried)
	})
}

func TestDependencyThatIsAlwaysAwayAgainUsesUpTheDelivery(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.put(t, typeDone, 1)
		tries := 0
		b.handle = func(tx simulation.Tx, _ messaging.Envelope) error {
			if _, err := tx.NextNumber("TEST"); err != nil {
				return err
			}
			tries++
			return fault.New(fault.Unavailable, "away", "It is away.")
		}
		b.after(t, time.Hour)
		b.reported(t, messaging.Retried, messaging.Retried, messaging.Parked)
		if tries != 4*maxDeliver {
			t.Errorf("%d tries", tries)
		}
	})
}

func TestClaimOfADeadWorkerHoldsAMessageUpNotForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		m := b.put(t, typeDone, 1)
		if _, err := b.ports.claims.Claim(t.Context(), m.ID+":handler", "a dead worker", 24*time.Hour); err != nil {
			t.Fatal(err)
		}
		b.after(t, time.Minute)
		b.reported(t, messaging.Retried, messaging.Retried, messaging.Handled)
		b.had(t, 1, 0)
	})
}

func TestLetterThatCannotBeStoredIsNotForgotten(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.put(t, typeDone, 1)
		b.handle = func(simulation.Tx, messaging.Envelope) error { return errInvalid }
		b.ports.letters = &failingOnce{DeadLetters: b.ports.letters}
		b.after(t, time.Minute)
		b.reported(t, messaging.Abandoned, messaging.Parked)
		b.had(t, 0, 1)
	})
}

type failingOnce struct {
	messaging.DeadLetters
	failed bool
}

func (f *failingOnce) Park(ctx context.Context, d messaging.Delivery, reason error) error {
	if !f.failed {
		f.failed = true
		return errFlawed
	}
	return f.DeadLetters.Park(ctx, d, reason)
}

func TestConsumerGoesOnAfterItsSourceFailed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.ports.source = &failingSource{Source: b.ports.source, failures: 20}
		b.put(t, typeDone, 1)
		b.after(t, time.Minute)
		b.reported(t, messaging.Handled)
	})
}

type failingSource struct {
	messaging.Source
	mu       sync.Mutex
	failures int
}

func (f *failingSource) Next(ctx context.Context) (messaging.Delivery, error) {
	f.mu.Lock()
	fails := f.failures > 0
	f.failures--
	f.mu.Unlock()
	if fails {
		return nil, errFlawed
	}
	return f.Source.Next(ctx)
}

// The work on a message belongs to its chain.
func TestHandlingHasTheTraceOfItsMessage(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		var traces []messaging.Trace
		var ended []messaging.DeliveryReport
		b.ports.options.Trace = func(ctx context.Context, _ messaging.Delivery) (context.Context, func(messaging.DeliveryReport)) {
			traces = append(traces, messaging.TraceFrom(ctx))
			return ctx, func(r messaging.DeliveryReport) { ended = append(ended, r) }
		}
		m := b.put(t, typeDone, 0)
		m.Traceparent = messaging.NewTraceparent()
		publisher := b.stream.Publisher(simulation.NewProcess("test", nil, nil), time.Second)
		if err := errors.Join(publisher.Publish(t.Context(), []messaging.Message{m})...); err != nil {
			t.Fatal(err)
		}
		b.after(t, time.Second)
		want := messaging.Trace{CorrelationID: "corr", CausationID: m.ID, Traceparent: m.Traceparent}
		if fmt.Sprint(traces) != fmt.Sprint([]messaging.Trace{want}) || len(ended) != 1 || ended[0].Outcome != messaging.Handled {
			t.Errorf("traces %v, want %v; reports %v", traces, want, ended)
		}
	})
}
