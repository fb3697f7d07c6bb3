package natsbus

import (
	"context"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/fault"
)

func TestEnsureIsIdempotent(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put(t, "kept", nil)
	for range 2 {
		b.ensure(t, settings)
	}
	if got := len(b.stored(t)); got != 1 {
		t.Errorf("%d messages, want the one that was there", got)
	}
	config := b.stream.CachedInfo().Config
	if config.Subjects[0] != "billing.>" || config.MaxMsgs != 1_000_000 || config.MaxAge != 168*time.Hour ||
		config.Duplicates != 2*time.Minute || !config.AllowAtomicPublish || config.Storage != jetstream.FileStorage {
		t.Errorf("stream %+v", config)
	}
}

func TestEnsureByManyInstancesAtOnce(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	conns := []*Conn{b.Conn, connect(t, b.server.URL()), connect(t, b.server.URL())}
	for round := range 5 {
		changed := settings
		changed.MaxDeliver = 2 + round // all of them have to adapt the consumer
		var instances sync.WaitGroup
		for _, conn := range conns {
			instances.Go(func() {
				eventually(t, "ensure", func(ctx context.Context) error { return conn.Ensure(ctx, BillingTopology(changed)) })
			})
		}
		instances.Wait()
		consumer, err := b.js.Consumer(timeout(t), EventsStream, Processor)
		if err != nil {
			t.Fatal(err)
		}
		if got := consumer.CachedInfo().Config.MaxDeliver; got != changed.MaxDeliver {
			t.Errorf("max_deliver %d, want %d", got, changed.MaxDeliver)
		}
	}
}

func TestEnsureRaisesButNeverLowers(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	eventually(t, "create", func(ctx context.Context) error {
		_, err := b.js.CreateStream(ctx, jetstream.StreamConfig{
			Name: EventsStream, Subjects: []string{"billing.>"},
			MaxMsgs: 10, MaxAge: 30 * 24 * time.Hour, Duplicates: time.Minute, MaxBytes: 1 << 30,
		})
		return err
	})
	b.ensure(t, settings)
	config := b.stream.CachedInfo().Config
	if config.MaxMsgs != 1_000_000 || config.Duplicates != 2*time.Minute || !config.AllowAtomicPublish {
		t.Errorf("not raised: %+v", config)
	}
	if config.MaxAge != 30*24*time.Hour || config.MaxBytes != 1<<30 {
		t.Errorf("an operator's settings are gone: %+v", config)
	}
}

func TestEnsureAdaptsConsumer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.ensure(t, Settings{Replicas: 1, MaxDeliver: 7, AckWait: time.Minute, Subjects: []string{handledSubject, otherSubject}})
	consumer, err := b.js.Consumer(timeout(t), EventsStream, Processor)
	if err != nil {
		t.Fatal(err)
	}
	if got := consumer.CachedInfo().Config; got.MaxDeliver != 7 || got.AckWait != time.Minute || len(got.FilterSubjects) != 2 {
		t.Errorf("consumer %+v", got)
	}
}

func TestEnsureReportsConflict(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		settings Settings
		existing jetstream.StreamConfig
		consumer jetstream.ConsumerConfig
		want     []string // in the error
	}{
		"stream with other settings": {
			settings: settings,
			existing: jetstream.StreamConfig{Name: EventsStream, Subjects: []string{"billing.*"}, Storage: jetstream.MemoryStorage},
			want:     []string{EventsStream, "subjects is [billing.*], not [billing.>]", "storage is Memory, not File", "nats stream edit " + EventsStream},
		},
		"another stream with the subjects": {
			settings: settings,
			existing: jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"billing.thing.*"}},
			want:     []string{EventsStream, "billing.>", "nats stream ls"},
		},
		"consumer with another policy": {
			settings: settings,
			existing: BillingTopology(settings).Streams[0],
			consumer: jetstream.ConsumerConfig{Durable: Processor, AckPolicy: jetstream.AckAllPolicy},
			want:     []string{Processor, "ack_policy is AckAll, not AckExplicit", "nats consumer rm " + EventsStream + " " + Processor},
		},
		"push consumer": {
			settings: settings,
			existing: BillingTopology(settings).Streams[0],
			consumer: jetstream.ConsumerConfig{Durable: Processor, AckPolicy: jetstream.AckExplicitPolicy, DeliverSubject: "push"},
			want:     []string{Processor, "push consumer", "nats consumer rm " + EventsStream + " " + Processor},
		},
		"replicas on a single server": {
			settings: Settings{Replicas: 3, MaxDeliver: 3, AckWait: time.Second, Subjects: []string{handledSubject}},
			existing: jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"other"}},
			want:     []string{"one replica"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupEmpty(t)
			if _, ok := b.awaitConnection(timeout(t)); !ok {
				t.Fatal("no connection")
			}
			if _, err := b.js.CreateStream(timeout(t), test.existing); err != nil {
				t.Fatal(err)
			}
			if test.consumer.Durable != "" {
				create := b.js.CreateConsumer
				if test.consumer.DeliverSubject != "" {
					create = func(ctx context.Context, stream string, config jetstream.ConsumerConfig) (jetstream.Consumer, error) {
						_, err := b.js.CreatePushConsumer(ctx, stream, config)
						return nil, err
					}
				}
				if _, err := create(timeout(t), EventsStream, test.consumer); err != nil {
					t.Fatal(err)
				}
			}
			err := b.Ensure(timeout(t), BillingTopology(test.settings))
			if fault.KindOf(err) != fault.Conflict {
				t.Fatalf("%v, want a Conflict", err)
			}
			for _, want := range test.want {
				if !strings.Contains(err.Error(), want) {
					t.Errorf("%q does not say %q", err, want)
				}
			}
		})
	}
}

func TestEnsureNeedsServerWithAtomicBatches(t *testing.T) {
	t.Parallel()
	for version, enough := range map[string]bool{
		"2.12.0": true, "2.12.0-RC.1": true, "2.15.2": true, "3.0.0": true,
		"2.11.9": false, "1.99.0": false, "next": false,
	} {
		err := checkVersion(version)
		if (err == nil) != enough {
			t.Errorf("version %q: %v", version, err)
		}
		if err != nil && (fault.KindOf(err) != fault.Conflict || !strings.Contains(err.Error(), "2.12 or later")) {
			t.Errorf("version %q: %v", version, err)
		}
	}
}
