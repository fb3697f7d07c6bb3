package main

import (
	"context"
	"fmt"
	"log/slog"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
)

// The benchmarks run the relay alone, against a Postgres that fsyncs each commit
// and a nats-server that fsyncs as the sub-benchmark says: every two minutes (as
// installed), or before each acknowledgement (sync_interval: always).
var syncModes = []struct {
	name   string
	always bool
}{{"sync=default", false}, {"sync=always", true}}

// relayBench is a relay with all that it works on.
type relayBench struct {
	*testing.B
	db     *postgres.DB
	pool   *pgxpool.Pool // for what the service does not do
	wake   messaging.Signal
	outbox *postgres.Outbox
	bus    *natsbus.Conn
	js     jetstream.JetStream // to look into the stream
	relay  func(messaging.Observer) *messaging.Relay
}

func newRelayBench(b *testing.B, syncAlways bool) *relayBench {
	b.Helper()
	r := &relayBench{B: b, wake: messaging.NewSignal()}
	server := devstack.DurablePostgresForTest(b)
	r.must(server.CreateDatabase(b.Context(), "bench", ""))
	r.must(migrateForTest(b.Context(), server.URL("bench")))
	db, err := postgres.Open(b.Context(), must(postgres.ParseURL(server.URL("bench"))))
	r.must(err)
	b.Cleanup(db.Close)
	r.db = db
	r.pool, err = pgxpool.New(b.Context(), server.URL("bench"))
	r.must(err)
	b.Cleanup(r.pool.Close)
	broker, err := devstack.StartNATS(b.Context(), devstack.NATSOptions{Dir: b.TempDir(), SyncAlways: syncAlways})
	r.must(err)
	b.Cleanup(func() { r.must(broker.Stop(context.Background())) })
	nc, err := nats.Connect(broker.URL())
	r.must(err)
	b.Cleanup(nc.Close)
	r.js, err = jetstream.New(nc)
	r.must(err)
	connected := make(chan struct{}, 1)
	config, err := natsbus.ParseURL(broker.URL())
	r.must(err)
	r.bus, err = natsbus.Connect(config, "bench", slog.New(slog.DiscardHandler), func() { connected <- struct{}{} })
	r.must(err)
	b.Cleanup(r.bus.Close)
	<-connected
	r.must(r.bus.Ensure(b.Context(), natsbus.BillingTopology(natsbus.Settings{Replicas: 1, MaxDeliver: 5, AckWait: time.Minute, Subjects: []string{invoice.TypePaid}})))
	publisher, err := natsbus.NewPublisher(r.bus, ackTimeout)
	r.must(err)
	r.outbox = postgres.NewOutbox(db)
	r.relay = func(observer messaging.Observer) *messaging.Relay {
		return messaging.NewRelay(r.outbox, publisher, r.wake, messaging.RelayOptions{
			BatchSize: 500, PollInterval: 5 * time.Second, BatchTimeout: batchTimeout,
		}, observer, slog.New(slog.DiscardHandler))
	}
	return r
}

func (r *relayBench) must(err error) {
	r.Helper()
	if err != nil {
		r.Fatal(err)
	}
}

// BenchmarkRelayDrain publishes 20,000 events of 400 bytes that wait in the
// outbox, five consecutive versions of each aggregate side by side, and then
// checks in the stream that all are there and none overtook another.
func BenchmarkRelayDrain(b *testing.B) {
	const events, versions = 20_000, 5
	for _, mode := range syncModes {
		b.Run(mode.name, func(b *testing.B) {
			r := newRelayBench(b, mode.always)
			var drained time.Duration
			for n := 0; b.Loop(); n++ {
				b.StopTimer()
				_, err := r.pool.Exec(b.Context(), `
					INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload)
					SELECT format('evt_%s_%s', $1::int, i), 'Invoice', format('inv_%s_%s', $1::int, i / $3), 'billing.invoice.issued',
					       json_build_object('version', i % $3 + 1, 'padding', repeat('x', 360))
					FROM generate_series(0, $2::int - 1) AS i`, n, events, versions)
				r.must(err)
				done := &countingObserver{want: events, reached: make(chan struct{})}
				ctx, cancel := context.WithCancel(b.Context())
				var running sync.WaitGroup
				relay := r.relay(done)
				b.StartTimer()
				start := time.Now()
				running.Go(func() { relay.Run(ctx) })
				<-done.reached
				// The last batch is marked too when the next one finds nothing.
				for waiting := int64(1); waiting > 0; {
					backlog, err := r.outbox.Backlog(ctx)
					r.must(err)
					waiting = backlog.Events
				}
				drained += time.Since(start)
				b.StopTimer()
				cancel()
				running.Wait()
				r.checkOrder(events)
				b.StartTimer()
			}
			b.ReportMetric(float64(events)*float64(b.N)/drained.Seconds(), "events/s")
		})
	}
}

// checkOrder fails unless the stream has the given number of events with the
// versions of each aggregate in order, and empties it.
func (r *relayBench) checkOrder(events int) {
	r.Helper()
	ctx := context.Background()
	stream, err := r.js.Stream(ctx, natsbus.EventsStream)
	r.must(err)
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	r.must(err)
	messages, err := consumer.Messages()
	r.must(err)
	defer messages.Stop()
	if got := stream.CachedInfo().State.Msgs; got != uint64(events) {
		r.Fatalf("%d of %d events in the stream", got, events)
	}
	last := map[string]int{}
	for range events {
		msg, err := messages.Next()
		r.must(err)
		var run, i, version int
		_, err = fmt.Sscanf(msg.Headers().Get(jetstream.MsgIDHeader), "evt_%d_%d", &run, &i)
		r.must(err)
		_, err = fmt.Sscanf(string(msg.Data()), `{"version" : %d`, &version)
		r.must(err)
		aggregate := fmt.Sprint(i / 5)
		if version != last[aggregate]+1 {
			r.Fatalf("version %d of aggregate %s follows version %d", version, aggregate, last[aggregate])
		}
		last[aggregate] = version
	}
	r.must(stream.Purge(ctx))
}

// countingObserver says when so many events were published.
type countingObserver struct {
	messaging.NoObserver
	published, want int
	reached         chan struct{}
}

func (o *countingObserver) BatchPublished(_ []messaging.Message, outcomes []error, _ time.Duration) {
	for _, err := range outcomes {
		if err == nil {
			o.published++
		}
	}
	if o.published >= o.want {
		o.want = int(^uint(0) >> 1)
		close(o.reached)
	}
}

// BenchmarkCommitToStream measures, at 300 commits a second, the time from the
// return of a commit to the stream's acknowledgement of its event.
func BenchmarkCommitToStream(b *testing.B) {
	const rate, committers = 300, 6
	for _, mode := range syncModes {
		b.Run(mode.name, func(b *testing.B) {
			r := newRelayBench(b, mode.always)
			store := postgres.NewStore(postgres.StoreOptions{DB: r.db, Alone: r.db, Groups: groups, Appended: r.wake})
			latencies := &latencyObserver{acked: map[string]time.Time{}}
			ctx, cancel := context.WithCancel(b.Context())
			var running sync.WaitGroup
			running.Go(func() { r.relay(latencies).Run(ctx) })

			var mu sync.Mutex
			committed := map[string]time.Time{}
			ticks := time.NewTicker(time.Second / rate)
			defer ticks.Stop()
			var committing sync.WaitGroup
			work := make(chan int)
			for range committers {
				committing.Go(func() {
					for n := range work {
						id := fmt.Sprintf("inv_%d", n)
						r.must(store.Atomically(b.Context(), func(tx invoicing.Tx) error {
							number, err := tx.NextNumber(invoice.Series)
							if err != nil {
								return err
							}
							i, err := invoice.Issue(invoice.Draft{ID: id, CustomerID: "cust_42", Total: money.New(100, "EUR")}, number)
							if err != nil {
								return err
							}
							return tx.SaveInvoice(i)
						}))
						at := time.Now()
						mu.Lock()
						committed[id] = at
						mu.Unlock()
					}
				})
			}
			n := 0
			for b.Loop() {
				<-ticks.C
				work <- n
				n++
			}
			close(work)
			committing.Wait()
			for latencies.count() < n {
				<-ticks.C
			}
			cancel()
			running.Wait()
			var sorted []time.Duration
			for id, at := range committed {
				sorted = append(sorted, latencies.acked[id].Sub(at))
			}
			slices.Sort(sorted)
			b.ReportMetric(float64(sorted[len(sorted)/2].Microseconds())/1000, "p50-ms")
			b.ReportMetric(float64(sorted[len(sorted)*99/100].Microseconds())/1000, "p99-ms")
			b.ReportMetric(0, "ns/op") // the rate is given, not measured
		})
	}
}

// latencyObserver remembers when the stream acknowledged the event of an
// aggregate.
type latencyObserver struct {
	messaging.NoObserver
	mu    sync.Mutex
	acked map[string]time.Time
}

func (o *latencyObserver) BatchPublished(batch []messaging.Message, outcomes []error, _ time.Duration) {
	at := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	for i, m := range batch {
		if outcomes[i] == nil {
			o.acked[m.AggregateID] = at
		}
	}
}

func (o *latencyObserver) count() int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return len(o.acked)
}
