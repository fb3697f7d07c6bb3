package main

import (
	"maps"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"github.com/winaity/billing/internal/app/messaging"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// rarely keeps the safety net of the relay out of a test: what happens does not
// happen because of it.
var rarely = map[string]string{"BILLING_OUTBOX_POLL_INTERVAL": "1h", "BILLING_CONSUMER_ACK_WAIT": "500ms"}

// with returns the settings with one more.
func with(settings map[string]string, name, value string) map[string]string {
	settings = maps.Clone(settings)
	settings[name] = value
	return settings
}

// Invariant 2, in the plain case: three instances on one database and one stream
// share the work, publish each event once, and keep the order.
func TestInstancesShareTheWork(t *testing.T) {
	s := newStack(t)
	var published atomic.Int64
	counting := func(p *ports) {
		p.publisher = hookedPublisher{Publisher: p.publisher, before: func(batch []messaging.Message) { published.Add(int64(len(batch))) }}
	}
	var instances []*instance
	for range 3 {
		instances = append(instances, s.serveWrapped(rarely, counting))
	}
	handled := func(i *instance) bool { return strings.Contains(i.log.String(), `"outcome":"handled"`) }
	var clients sync.WaitGroup
	for _, i := range instances {
		clients.Go(func() {
			for range 20 {
				i.issuePaid()
			}
		})
	}
	clients.Wait()
	s.eventually("each instance has handled an event", func() bool {
		instances[0].issuePaid()
		return handled(instances[0]) && handled(instances[1]) && handled(instances[2])
	})
	if n := s.prove(); n != 0 {
		t.Errorf("%d events are in the stream more than once", n)
	}
	if events := s.count("outbox"); int(published.Load()) != events {
		t.Errorf("%d events were published %d times", events, published.Load())
	}
}

// Invariant 2: an instance that is killed while it has a batch is succeeded as
// soon as its connection is gone, and not when some lease or interval has passed.
func TestKilledHolderIsSucceededAtOnce(t *testing.T) {
	s := newStack(t)
	s.pileUp(2)
	c := s.start(hangsInBatch, rarely)
	c.says("hanging")
	i := s.serve(rarely)
	i.issuePaid() // wakes the relay, which finds the outbox taken
	if n := len(s.events()); n != 0 {
		t.Errorf("%d events were published behind the holder's back", n)
	}
	s.must(c.process.Kill())
	if n := s.prove(); n != 0 {
		t.Errorf("%d events are in the stream more than once", n)
	}
}

// Invariant 2: an instance that hangs while it has a batch is succeeded when the
// time for its batch is over. When it goes on it publishes nothing more of that
// batch: it would be out of order.
func TestHungHolderIsSucceededAndStaysSilent(t *testing.T) {
	s := newStack(t)
	s.pileUp(1) // two events of one aggregate: two waves
	// One worker, which takes one delivery with it into its sleep.
	c := s.start(stopsInBatch, with(rarely, "BILLING_CONSUMER_CONCURRENCY", "1"))
	c.says("stopped")
	s.serve(rarely)
	if n := s.prove(); n != 0 {
		t.Errorf("%d events are in the stream more than once", n)
	}
	c.process.Signal(syscall.SIGCONT)
	s.eventually("the batch of the hung holder fails", func() bool { return strings.Contains(c.log.String(), `"msg":"outbox `) })
	if n := strings.Count(c.log.String(), "publishing"); n != 1 {
		t.Errorf("the hung holder published %d waves, want 1:\n%s", n, c.log)
	}
}

// Invariants 4 and 8: an instance that hangs in a transaction, with the next
// invoice number in its hands, holds the others up for seconds only. When it
// goes on it commits nothing.
func TestHungTransactionHoldsOthersUpForSecondsOnly(t *testing.T) {
	s := newStack(t)
	c := s.serveIn(stopsInTransaction, with(rarely, "BILLING_CONSUMER_CONCURRENCY", "1"))
	answered := make(chan answer, 1)
	go func() {
		a, err := c.try(http.MethodPost, "/v1/invoices", anInvoice)
		if err != nil {
			t.Error(err)
		}
		answered <- a
	}()
	c.says("stopped")
	i := s.serve(rarely)
	s.eventually("commands work again", func() bool {
		a := i.call(http.MethodPost, "/v1/invoices", anInvoice)
		if a.StatusCode != http.StatusCreated && (a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "") {
			t.Errorf("while an instance hangs: %s %s", a.Status, a.body)
		}
		return a.StatusCode == http.StatusCreated
	})
	c.process.Signal(syscall.SIGCONT)
	if a := <-answered; a.Response == nil || a.StatusCode != http.StatusServiceUnavailable {
		t.Errorf("the command that hung: %s", a.body)
	}
	if n := s.count("invoices"); n != 1 {
		t.Errorf("%d invoices", n)
	}
	s.prove()
}

// Invariant 6: an instance that hangs takes one delivery of a message with it and
// not all of them: another handles the message, and nobody gives it up.
func TestHungInstanceUsesUpNoMessage(t *testing.T) {
	s := newStack(t)
	settings := map[string]string{"BILLING_CONSUMER_ACK_WAIT": "1s", "BILLING_CONSUMER_MAX_DELIVER": "2"}
	c := s.serveIn(serves, settings)
	c.awaitReceipt(c.issuePaid())
	s.prove() // it has nothing in hand, and asks for more
	c.process.Signal(syscall.SIGSTOP)

	relaying := s.serveWrapped(settings, func(p *ports) { p.source = deafSource{} })
	id := relaying.issuePaid()
	s.eventually("the hung instance gets the event", func() bool {
		consumer, err := s.js.Consumer(t.Context(), natsbus.EventsStream, natsbus.Processor)
		s.must(err)
		return consumer.CachedInfo().Delivered.Consumer == 2
	})
	i := s.serve(settings)
	i.awaitReceipt(id)
	if letters := s.letters(); len(letters) != 0 {
		t.Errorf("given up: %+v", letters)
	}
}
