package natsbus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
)

// BenchmarkPublish measures batches of 500 messages of 400 bytes, as the relay
// publishes them: in waves, and atomically; on a server as installed, and on one
// that syncs to the disk before it acknowledges.
func BenchmarkPublish(b *testing.B) {
	const size = 500
	for _, server := range []struct {
		name       string
		syncAlways bool
	}{{"default", false}, {"durable", true}} {
		publisher := newBenchPublisher(b, server.syncAlways)
		for _, way := range []struct {
			name    string
			publish func(batch []messaging.Message) error
		}{
			{"wave", func(batch []messaging.Message) error {
				for _, err := range publisher.Publish(b.Context(), batch) {
					if err != nil {
						return err
					}
				}
				return nil
			}},
			{"atomic", func(batch []messaging.Message) error {
				return publisher.PublishAtomically(b.Context(), batch)
			}},
		} {
			b.Run(server.name+"/"+way.name, func(b *testing.B) {
				batch := messages(0, size)
				payload := []byte(strings.Repeat("x", 400))
				b.ReportAllocs()
				for b.Loop() {
					for i := range batch {
						batch[i].ID, batch[i].Payload = messaging.NewID("evt_"), payload
					}
					if err := way.publish(batch); err != nil {
						b.Fatal(err)
					}
				}
				b.ReportMetric(float64(size*b.N)/b.Elapsed().Seconds(), "msgs/s")
			})
		}
	}
}

func newBenchPublisher(b *testing.B, syncAlways bool) *Publisher {
	b.Helper()
	server, err := devstack.StartNATS(b.Context(), devstack.NATSOptions{Dir: b.TempDir(), SyncAlways: syncAlways})
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(func() {
		if err := server.Stop(context.Background()); err != nil {
			b.Error(err)
		}
	})
	conn := connect(b, server.URL())
	if _, ok := conn.awaitConnection(timeout(b)); !ok {
		b.Fatal("no connection")
	}
	if err := conn.Ensure(timeout(b), BillingTopology(settings)); err != nil {
		b.Fatal(err)
	}
	publisher, err := NewPublisher(conn, 5*time.Second)
	if err != nil {
		b.Fatal(err)
	}
	return publisher
}
