package messaging_test

import (
	"context"
	"encoding/json"
	"errors"
	"log/slog"
	"strings"
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

func sealed(t *testing.T) messaging.Message {
	t.Helper()
	m, err := messaging.Seal(messaging.Trace{CausationID: "cause"}, event.Event{
		Type: typeDone, AggregateType: "Thing", AggregateID: "thing", Version: 2, OccurredAt: time.Now(), Data: map[string]int{"n": 1},
	})
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func TestEnvelopeIsOpenedAsItWasSealed(t *testing.T) {
	m := sealed(t)
	e, err := messaging.Open(m.Subject, m.Payload)
	if err != nil {
		t.Fatal(err)
	}
	if e.ID != m.ID || e.Version != 2 || e.CausationID != "cause" || !messaging.WellFormedCorrelationID(e.CorrelationID) || string(e.Data) != `{"n":1}` {
		t.Errorf("got %+v", e)
	}
	if _, err := messaging.Seal(messaging.Trace{}, event.Event{Data: func() {}}); err == nil {
		t.Error("what is no JSON was sealed")
	}
}

func TestIncompleteEnvelopeIsInvalid(t *testing.T) {
	m := sealed(t)
	for name, spoil := range map[string]func(map[string]any){
		"id":        func(e map[string]any) { delete(e, "id") },
		"subject":   func(e map[string]any) { e["type"] = "another" },
		"timestamp": func(e map[string]any) { delete(e, "timestamp") },
		"version":   func(e map[string]any) { e["version"] = 0 },
		"no data":   func(e map[string]any) { delete(e, "data") },
		"data":      func(e map[string]any) { e["data"] = 7 },
		"no JSON":   func(e map[string]any) { e["version"] = "two" },
	} {
		var e map[string]any
		if err := json.Unmarshal(m.Payload, &e); err != nil {
			t.Fatal(err)
		}
		spoil(e)
		payload, _ := json.Marshal(e)
		if _, err := messaging.Open(m.Subject, payload); fault.KindOf(err) != fault.Invalid {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

func TestDeadLetterIsAlwaysJSON(t *testing.T) {
	for payload, want := range map[string]string{
		`{"a": 1}`: `{"a": 1}`, "no JSON": `"no JSON"`, "\xff": `"` + "\uFFFD" + `"`,
	} {
		l := messaging.NewDeadLetter([]byte(payload), "reason", time.Now())
		if string(l.OriginalEvent) != want || l.Error != "reason" || l.FailedAt.Location() != time.UTC {
			t.Errorf("%q: got %+v", payload, l)
		}
	}
}

func TestTraceOfAWork(t *testing.T) {
	traceparent := messaging.NewTraceparent()
	if !messaging.WellFormedTraceparent(traceparent) || messaging.WellFormedTraceparent("00-"+strings.Repeat("0", 32)+"-0123456789abcdef-01") {
		t.Errorf("%s is no traceparent, or one of zeros is", traceparent)
	}
	if id := (messaging.Trace{Traceparent: traceparent}).TraceID(); len(id) != 32 || !strings.Contains(traceparent, id) {
		t.Errorf("trace id %s of %s", id, traceparent)
	}
	if id := messaging.TraceFrom(t.Context()).TraceID(); id != "" {
		t.Errorf("trace id %s of nothing", id)
	}
}

func TestEachObserverIsTold(t *testing.T) {
	one, two := newBench(), newBench()
	all := messaging.Observers{one, two, messaging.NoObserver{}}
	all.Delivered(messaging.DeliveryReport{Outcome: messaging.Handled})
	all.Deduplicated(messaging.LayerInbox)
	all.BatchPublished(nil, nil, 0)
	all.ClaimFailed()
	for _, b := range []*bench{one, two} {
		b.reported(t, messaging.Handled)
		if len(b.layers) != 1 {
			t.Errorf("heard of %v", b.layers)
		}
	}
}

// The rows are deleted a chunk after another, now and then, and a failure is no
// reason to stop.
func TestRetentionPurgesUntilThereIsNothingLeft(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		rows, failures := int64(2500), 0
		ctx, cancel := context.WithCancel(t.Context())
		retention := messaging.NewRetention(slog.New(slog.DiscardHandler),
			messaging.Purge{Name: "failing", Age: time.Hour, Delete: func(context.Context, time.Duration, int) (int64, error) {
				failures++
				return 0, errFlawed
			}},
			messaging.Purge{Name: "rows", Age: time.Hour, Delete: func(_ context.Context, age time.Duration, limit int) (int64, error) {
				if age != time.Hour {
					t.Errorf("age %v", age)
				}
				n := min(rows, int64(limit))
				rows -= n
				return n, nil
			}},
		)
		var running sync.WaitGroup
		running.Go(func() { retention.Run(ctx) })
		synctest.Wait()
		if rows != 0 {
			t.Errorf("%d rows are left", rows)
		}
		<-time.After(5 * time.Minute)
		cancel()
		running.Wait()
		if failures < 4 {
			t.Errorf("tried %d times", failures)
		}
	})
}

// Events wait while the stream is away, and follow when it is back, without a signal.
func TestRelayPublishesWhenTheStreamIsBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		process := simulation.NewProcess("test", nil, nil)
		wake := messaging.NewSignal()
		store := simulation.NewStore(b.db.Connect(process, wake), groupcommit.Size{})
		relay := messaging.NewRelay(b.db.Outbox(process), b.stream.Publisher(process, time.Second), wake, messaging.RelayOptions{
			BatchSize: 20, PollInterval: time.Hour, BatchTimeout: 10 * time.Second,
		}, b, slog.New(slog.DiscardHandler))
		ctx, cancel := context.WithCancel(t.Context())
		var running sync.WaitGroup
		running.Go(func() { relay.Run(ctx) })
		record := func(n int) {
			t.Helper()
			err := store.Atomically(t.Context(), func(tx simulation.Tx) error {
				var err error
				for i := range n {
					err = errors.Join(err, tx.Publish(event.Event{
						Type: typeUnknown, AggregateType: "Thing", AggregateID: "thing", Version: i + 1, OccurredAt: time.Now(), Data: struct{}{},
					}))
				}
				return err
			})
			if err != nil {
				t.Fatal(err)
			}
		}
		b.stream.SetAway(true)
		record(100)
		<-time.After(time.Minute)
		b.stream.SetAway(false)
		<-time.After(2 * time.Second)
		b.db.SetAway(true, 0)
		<-time.After(time.Second)
		b.db.SetAway(false, 0)
		record(1)
		<-time.After(2 * time.Second)
		cancel()
		running.Wait()
		messages := b.stream.Messages()
		if len(messages) != 101 {
			t.Fatalf("%d of 101 events are in the stream", len(messages))
		}
		for i, m := range messages[:100] {
			if e, err := messaging.Open(m.Subject, m.Payload); err != nil || e.Version != i+1 {
				t.Fatalf("event %d is %+v, %v", i, e, err)
			}
		}
	})
}
