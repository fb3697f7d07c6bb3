package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// Invariant 8: a Postgres that takes connections and never answers, at start too,
// costs each request its deadline at most, and passes.
func TestPostgresThatNeverAnswers(t *testing.T) {
	s := newStack(t)
	hung, url := s.newWire(s.database)
	settings := map[string]string{"DATABASE_URL": url}
	hung.hang()
	i := s.serve(settings)
	noAnswer := func() {
		var clients sync.WaitGroup
		for range 20 { // together more than there are connections
			for _, request := range []struct {
				method, path, body string
				status             int
			}{
				{http.MethodPost, "/v1/invoices", anInvoice, http.StatusServiceUnavailable},
				{http.MethodGet, "/v1/invoices", "", http.StatusServiceUnavailable},
				{http.MethodGet, "/readyz", "", http.StatusServiceUnavailable},
				{http.MethodGet, "/livez", "", http.StatusOK},
				{http.MethodGet, "/metrics", "", http.StatusOK},
			} {
				clients.Go(func() {
					a, err := i.try(request.method, request.path, request.body)
					if err != nil || a.StatusCode != request.status || a.problem().Status != 0 && a.Header.Get("Retry-After") == "" {
						t.Errorf("%s %s: %v %v %s", request.method, request.path, a.Response, err, a.body)
					}
				})
			}
		}
		clients.Wait()
	}
	works := func() {
		s.eventually("commands work", func() bool {
			return i.call(http.MethodPost, "/v1/invoices", anInvoice).StatusCode == http.StatusCreated
		})
		i.awaitReceipt(i.issuePaid())
	}
	noAnswer()
	hung.goOn()
	works()
	hung.hang()
	noAnswer()
	hung.goOn()
	works()
	s.prove()
}

// Invariants 3 and 8: a Redis that takes connections and never answers makes no
// effect wait.
func TestRedisThatNeverAnswers(t *testing.T) {
	s := newStack(t)
	hung, url := s.newWire(s.redis.URL())
	i := s.serve(map[string]string{"REDIS_URL": url})
	i.awaitReceipt(i.issuePaid())
	hung.hang()
	for range 10 {
		i.awaitReceipt(i.issuePaid())
	}
	if body := string(i.expect(http.StatusOK, http.MethodGet, "/readyz", "").body); !strings.Contains(body, "degraded") {
		t.Errorf("readiness: %s", body)
	}
	hung.goOn()
	s.eventually("all is well again", func() bool {
		return strings.Contains(string(i.call(http.MethodGet, "/readyz", "").body), `"status":"ok"`)
	})
	s.prove()
}

// Invariant 8: a NATS that takes connections and never answers is no concern of
// commands; their events follow.
func TestNATSThatNeverAnswers(t *testing.T) {
	s := newStack(t)
	hung, url := s.newWire(s.nats.URL())
	i := s.serve(map[string]string{"NATS_URL": url})
	i.awaitReceipt(i.issuePaid())
	hung.hang()
	for range 10 {
		i.issuePaid()
	}
	if body := string(i.expect(http.StatusOK, http.MethodGet, "/readyz", "").body); !strings.Contains(body, "degraded") {
		t.Errorf("readiness: %s", body)
	}
	hung.goOn()
	s.prove()
}
