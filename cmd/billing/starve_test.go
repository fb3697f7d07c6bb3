package main

import (
	"fmt"
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Invariant 8: while all commands wait for one number series, with more of them
// than there are connections, nobody waits who does not need that series.
func TestWhoWaitsForALockStarvesNobody(t *testing.T) {
	s := newStack(t)
	s.database += "&pool_max_conns=4" // the fewest of which everybody gets a share
	i := s.serve(map[string]string{"BILLING_OUTBOX_POLL_INTERVAL": "50ms"})
	paid := i.issuePaid()
	i.awaitReceipt(paid)
	var event stored
	for _, e := range s.events() {
		if e.Type == "billing.invoice.paid" {
			event = e
		}
	}

	release := s.hold("SELECT FROM number_series WHERE series = 'INV' FOR UPDATE")
	stop := make(chan struct{})
	var clients sync.WaitGroup
	for range 24 {
		clients.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				a, err := i.try(http.MethodPost, "/v1/invoices", anInvoice)
				if err != nil || a.StatusCode != http.StatusCreated && (a.StatusCode != http.StatusServiceUnavailable || a.Header.Get("Retry-After") == "") {
					t.Errorf("a command that waits: %v %v %s", err, a.Response, a.body)
					return
				}
			}
		})
	}
	s.eventually("commands wait", func() bool { return s.count("pg_stat_activity WHERE wait_event_type = 'Lock'") > 0 })
	for n := range 20 {
		i.expect(http.StatusOK, http.MethodGet, "/readyz", "")
		i.get(paid)
		i.expect(http.StatusOK, http.MethodGet, "/v1/invoices?status=paid", "")
		if metrics := string(i.expect(http.StatusOK, http.MethodGet, "/metrics", "").body); !strings.Contains(metrics, "\nbilling_outbox_unpublished_events ") {
			t.Error("the backlog cannot be measured")
		}
		// The relay and the consumer go on, too.
		s.exec(fmt.Sprintf(`INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload)
			SELECT 'evt_again_%d', aggregate_type, aggregate_id, type, replace(payload::text, id, 'evt_again_%d')::json FROM outbox WHERE id = '%s'`, n, n, event.ID))
		s.eventually("the event has its effect", func() bool { return s.count(fmt.Sprintf("inbox WHERE message_id = 'evt_again_%d'", n)) == 1 })
	}
	release()
	close(stop)
	clients.Wait()
	i.issue()
}
