package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// Invariant 2, with a stream that is full: commands go on, events wait in the
// outbox, which everybody can see, and not in memory; when there is room again
// they follow in order, and none is missing.
func TestFullStreamHoldsEventsInTheOutbox(t *testing.T) {
	s := newStack(t)
	const batch, payments = 10, 40
	var most atomic.Int64 // events in hand
	i := s.serveWrapped(map[string]string{"BILLING_OUTBOX_BATCH_SIZE": fmt.Sprint(batch), "BILLING_OUTBOX_POLL_INTERVAL": "100ms"}, func(p *ports) {
		p.publisher = hookedPublisher{Publisher: p.publisher, before: func(batch []messaging.Message) {
			most.Store(max(most.Load(), int64(len(batch))))
		}}
	})
	i.awaitReceipt(i.issuePaid())
	s.prove()
	room := s.limitStream(s.count("outbox")+1, jetstream.DiscardNew)
	for range payments {
		i.issuePaid()
	}
	s.eventually("the stream is full", func() bool { return len(s.events()) == 3+1 }) // it has nothing more to handle

	waiting := s.count("outbox WHERE published_at IS NULL")
	var status struct{ Unpublished, Blocked int }
	_, output := s.command("outbox", "status", "--json")
	s.must(json.Unmarshal([]byte(output), &status))
	if waiting < payments || status.Unpublished != waiting || status.Blocked != 0 {
		t.Errorf("%d events wait; the status is %s", waiting, output)
	}
	for _, line := range []string{fmt.Sprintf("billing_outbox_unpublished_events %d\n", waiting), "billing_outbox_blocked_events 0\n"} {
		if metrics := string(i.expect(http.StatusOK, http.MethodGet, "/metrics", "").body); !strings.Contains(metrics, line) {
			t.Errorf("the metrics do not say %q", line)
		}
	}
	if code, _ := s.command("audit", "--grace", "0s"); code != exitFailure {
		t.Errorf("the audit does not see the backlog: exit code %d", code)
	}

	s.limitStream(room, jetstream.DiscardOld)
	if n := s.prove(); n != 0 {
		t.Errorf("%d events are in the stream more than once", n)
	}
	if n := most.Load(); n > 2*batch { // a backlog goes in batches of up to twice the size
		t.Errorf("%d events were in memory at once, with a batch size of %d", n, batch)
	}
	if letters := s.letters(); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}

// limitStream sets how many messages the events stream takes, and what it does
// with more. It returns the former limit.
func (s *stack) limitStream(messages int, discard jetstream.DiscardPolicy) (former int) {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), natsbus.EventsStream)
	s.must(err)
	config := stream.CachedInfo().Config
	former = int(config.MaxMsgs)
	config.MaxMsgs, config.Discard = int64(messages), discard
	_, err = s.js.UpdateStream(s.Context(), config)
	s.must(err)
	return former
}

// Invariant 3, with a Postgres that is slow to have effects: the service has no
// more deliveries in hand than workers; the others wait in the stream. Nothing
// is given up, and all of it is handled when Postgres is quick again.
func TestSlowPostgresHoldsDeliveriesInTheStream(t *testing.T) {
	s := newStack(t)
	const workers, payments = 4, 30
	i := s.serve(map[string]string{"BILLING_CONSUMER_CONCURRENCY": fmt.Sprint(workers)})
	i.awaitReceipt(i.issuePaid())
	slow, err := s.pool.Begin(t.Context())
	s.must(err)
	defer slow.Rollback(t.Context()) //nolint:errcheck // for a test that fails before the one below
	_, err = slow.Exec(t.Context(), "LOCK TABLE inbox IN EXCLUSIVE MODE")
	s.must(err)
	for range payments {
		i.issuePaid() // commands have no use for that table
	}
	s.eventually("every worker has a delivery, and no more", func() bool {
		consumer, err := s.js.Consumer(t.Context(), natsbus.EventsStream, natsbus.Processor)
		s.must(err)
		info := consumer.CachedInfo()
		if info.NumAckPending > workers {
			t.Fatalf("%d deliveries in the hands of %d workers", info.NumAckPending, workers)
		}
		return info.NumAckPending == workers && int(info.NumPending) == payments-workers
	})
	s.must(slow.Rollback(t.Context()))
	s.prove()
	if letters := s.letters(); len(letters) != 0 {
		t.Errorf("dead letters: %+v", letters)
	}
}
