package main

import (
	"net/http"
	"net/url"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/devstack"
)

// pair is a primary and a stand-by that each commit waits for, so that a fail-over
// loses nothing.
type pair struct {
	primary, standby *devstack.Postgres
}

const pairDatabase = "billing"

// newPair puts the stack's database on a pair of servers.
func (s *stack) newPair() *pair {
	s.Helper()
	p := &pair{primary: devstack.PostgresForTest(s.T)}
	s.must(p.primary.CreateDatabase(s.Context(), pairDatabase, ""))
	s.must(migrateForTest(s.Context(), p.primary.URL(pairDatabase)))
	p.standby = devstack.StandbyForTest(s.T, p.primary)
	s.synchronous(p.primary)
	return p
}

// synchronous makes commits on the primary wait for its stand-by.
func (s *stack) synchronous(primary *devstack.Postgres) {
	s.Helper()
	s.on(primary, "ALTER SYSTEM SET synchronous_standby_names = '*'")
	s.on(primary, "SELECT pg_reload_conf()")
}

func (s *stack) on(server *devstack.Postgres, statement string) {
	s.Helper()
	pool, err := pgxpool.New(s.Context(), server.URL(pairDatabase))
	s.must(err)
	defer pool.Close()
	_, err = pool.Exec(s.Context(), statement)
	s.must(err)
}

// failOver makes the stand-by the primary, and the other way round.
func (s *stack) failOver(p *pair) {
	s.Helper()
	s.must(p.standby.Promote(s.Context()))
	s.must(p.primary.Follow(s.Context(), p.standby))
	p.primary, p.standby = p.standby, p.primary
}

// Invariant 8: after a fail-over the old primary is there as a stand-by. Commands
// are 503 for as long as the way leads to it, readiness says so, and all is well
// as soon as it leads to the new primary. Nothing that was answered is lost.
func TestFailOverToAStandby(t *testing.T) {
	for name, way := range map[string]func(*stack, *pair) (url string, lead func()){
		"behind a proxy": func(s *stack, p *pair) (string, func()) {
			w, url := s.newWire(p.primary.URL(pairDatabase))
			return url, func() { s.must(w.lead(p.primary.URL(pairDatabase))) }
		},
		"by a URL of both hosts": func(s *stack, p *pair) (string, func()) {
			one, err := url.Parse(p.primary.URL(pairDatabase))
			s.must(err)
			other, err := url.Parse(p.standby.URL(pairDatabase))
			s.must(err)
			one.Host += "," + other.Host
			return one.String(), nil
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			servers := s.newPair()
			url, lead := way(s, servers)
			pool, err := pgxpool.New(t.Context(), servers.standby.URL(pairDatabase)) // which is the primary in the end
			s.must(err)
			t.Cleanup(pool.Close)
			s.pool = pool
			i := s.serve(map[string]string{"DATABASE_URL": url})

			stop := make(chan struct{})
			var issued atomic.Int64
			var clients sync.WaitGroup
			end := sync.OnceFunc(func() { close(stop); clients.Wait() })
			defer end()
			for range 4 {
				clients.Go(func() {
					for {
						select {
						case <-stop:
							return
						default:
						}
						a, err := i.try(http.MethodPost, "/v1/invoices", anInvoice)
						switch {
						case err != nil:
							t.Error(err)
						case a.StatusCode == http.StatusCreated:
							issued.Add(1)
						case a.StatusCode == http.StatusServiceUnavailable && a.Header.Get("Retry-After") != "":
						default:
							t.Errorf("during the fail-over: %s %v %s", a.Status, a.Header, a.body)
						}
					}
				})
			}
			goesOn := func() {
				before := issued.Load()
				s.eventually("commands work", func() bool { return issued.Load() > before+10 })
			}
			goesOn()
			s.failOver(servers)
			if lead != nil { // it leads to the old primary still
				s.eventually("readiness says so", func() bool {
					ready := i.call(http.MethodGet, "/readyz", "")
					return ready.StatusCode == http.StatusServiceUnavailable && strings.Contains(string(ready.body), `"status":"unavailable"`)
				})
				lead()
			}
			goesOn()
			s.eventually("readiness says so", func() bool { return i.call(http.MethodGet, "/readyz", "").StatusCode == http.StatusOK })
			end()
			s.prove()
			if n := s.count("invoices"); n < int(issued.Load()) {
				t.Errorf("%d invoices, but %d commands were answered", n, issued.Load())
			}
		})
	}
}
