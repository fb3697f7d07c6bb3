package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/devstack"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

func TestBadConfigurationIsToldAllAtOnce(t *testing.T) {
	env := map[string]string{
		"DATABASE_URL":                 "mysql://user:hunter2@db",
		"REDIS_URL":                    "redis:6379",
		"BILLING_HTTP_ADDR":            "8080",
		"BILLING_LOG_LEVEL":            "loud",
		"BILLING_LOG_FORMAT":           "xml",
		"BILLING_OUTBOX_POLL_INTERVAL": "5",
		"BILLING_OUTBOX_BATCH_SIZE":    "0",
		"BILLING_OUTBOX_RETENTION":     "-1h",
		"BILLING_STREAM_REPLICAS":      "three",
		"BILLING_CONSUMER_MAX_DELIVER": "0",
		"BILLING_CONSUMER_ACK_WAIT":    "1ms",
		"BILLING_CONSUMER_BACKOFF":     "fast",
		"BILLING_CONSUMER_CONCURRENCY": "-1",
		"BILLING_DEDUP_TTL":            "0s",
		"BILLING_DEDUP_STRATEGY":       "hope",
		"BILLING_SHUTDOWN_TIMEOUT":     "forever",
	}
	var stderr bytes.Buffer
	code := run(t.Context(), nil, func(name string) string { return env[name] }, io.Discard, &stderr)
	if code != exitBadUsage {
		t.Errorf("exit code %d, want %d", code, exitBadUsage)
	}
	for name := range env {
		if !strings.Contains(stderr.String(), name) {
			t.Errorf("%s is not mentioned", name)
		}
	}
	if !strings.Contains(stderr.String(), "NATS_URL") {
		t.Error("the missing NATS_URL is not mentioned")
	}
	if strings.Contains(stderr.String(), "hunter2") {
		t.Error("a password was printed")
	}
	if t.Failed() {
		t.Log(stderr.String())
	}
}

func TestBadCommandLine(t *testing.T) {
	s := newStack(t)
	for _, args := range [][]string{
		{"destroy"}, {"serve", "now"}, {"migrate", "down"}, {"outbox"}, {"outbox", "empty"}, {"outbox", "status", "--loud"},
		{"dlq"}, {"dlq", "eat"}, {"dlq", "show"}, {"dlq", "show", "first"}, {"dlq", "replay"}, {"dlq", "replay", "--all", "1"},
	} {
		if code, output := s.command(args...); code != exitBadUsage || !strings.Contains(output, "usage:") {
			t.Errorf("billing %s: exit code %d\n%s", strings.Join(args, " "), code, output)
		}
	}
}

func TestLettersThatDoNotExist(t *testing.T) {
	s := newStack(t)
	s.serve(nil)
	s.eventually("the streams", func() bool { _, err := s.js.Stream(t.Context(), natsbus.DeadLetterStream); return err == nil })
	if code, output := s.command("dlq", "list"); code != exitOK || !strings.Contains(output, "no dead letters") {
		t.Errorf("dlq list: exit code %d\n%s", code, output)
	}
	for _, action := range []string{"show", "replay"} {
		if code, output := s.command("dlq", action, "7"); code != exitFailure || !strings.Contains(output, "7") {
			t.Errorf("dlq %s 7: exit code %d\n%s", action, code, output)
		}
	}
}

// What can never work ends the service with an error that says what to do.
func TestServiceRefusesWhatItCannotWorkWith(t *testing.T) {
	for name, c := range map[string]struct {
		prepare func(*stack)
		want    []string
	}{
		"newer database": {
			func(s *stack) {
				_, err := s.pool.Exec(s.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, true)")
				s.must(err)
			},
			[]string{"newer than this binary", "9999"},
		},
		"database that was not migrated": {
			func(s *stack) { s.database = devstack.DatabaseForTest(s.T, nil) },
			[]string{"billing migrate"},
		},
		"stream with other settings": {
			func(s *stack) {
				_, err := s.js.CreateStream(s.Context(), jetstream.StreamConfig{Name: natsbus.EventsStream, Subjects: []string{"billing.>"}, Storage: jetstream.MemoryStorage})
				s.must(err)
			},
			[]string{natsbus.EventsStream, "nats stream"},
		},
		"stream that has the subjects": {
			func(s *stack) {
				_, err := s.js.CreateStream(s.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"billing.invoice.*"}})
				s.must(err)
			},
			[]string{natsbus.EventsStream, "billing.>"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			c.prepare(s)
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			defer cancel()
			var log bytes.Buffer
			if code := run(ctx, nil, s.environment(nil), io.Discard, &log); code != exitFailure || ctx.Err() != nil {
				t.Errorf("exit code %d", code)
			}
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			for _, want := range c.want {
				if last := lines[len(lines)-1]; !strings.Contains(last, want) {
					t.Errorf("the last line does not say %q: %s", want, last)
				}
			}
		})
	}
}

func TestPortThatIsTaken(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	var log bytes.Buffer
	env := s.environment(map[string]string{"BILLING_HTTP_ADDR": strings.TrimPrefix(i.url, "http://")})
	if code := run(t.Context(), nil, env, io.Discard, &log); code != exitFailure || !strings.Contains(log.String(), "address already in use") {
		t.Errorf("exit code %d\n%s", code, log.String())
	}
}

// Invariant 7: on SIGTERM readiness goes first, what is under way is finished,
// and nothing that was answered is lost.
func TestShutdownLosesNothing(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	var answered atomic.Int64
	var clients sync.WaitGroup
	for range 4 {
		clients.Go(func() {
			for {
				a, err := i.try(http.MethodPost, "/v1/invoices", anInvoice)
				if err != nil {
					return // the service is gone
				}
				if a.StatusCode == http.StatusCreated {
					answered.Add(1)
				}
			}
		})
	}
	s.eventually("some commands", func() bool { return answered.Load() > 20 })
	i.end()
	notReady := false
	s.eventually("the service ends", func() bool {
		a, err := i.try(http.MethodGet, "/readyz", "")
		notReady = notReady || err == nil && a.StatusCode == http.StatusServiceUnavailable
		return err != nil
	})
	clients.Wait()
	if code := i.stop(); code != exitOK {
		t.Errorf("exit code %d", code)
	}
	if !notReady {
		t.Error("it took requests to the end without saying that it is not ready")
	}
	if n := s.count("invoices"); n < int(answered.Load()) {
		t.Errorf("%d invoices, but %d commands were answered", n, answered.Load())
	}
	s.serve(nil)
	s.eventually("every event is published", func() bool {
		return s.count("outbox WHERE published_at IS NULL") == 0 && len(s.events()) == s.count("outbox")
	})
}

// Invariant 8: without NATS and Redis, at start too, commands go on; their
// events follow when the stream is back.
func TestCommandsGoOnWithoutNATSAndRedis(t *testing.T) {
	s := newStack(t)
	s.must(s.nats.Stop(t.Context()))
	s.must(s.redis.Kill())
	i := s.serve(nil)
	i.issue("Idempotency-Key", "a-key")
	id := i.issuePaid()
	ready := i.expect(http.StatusOK, http.MethodGet, "/readyz", "")
	if body := string(ready.body); !strings.Contains(body, "degraded") {
		t.Errorf("readiness: %s", body)
	}
	s.must(s.nats.Start(t.Context()))
	i.awaitReceipt(id)
	s.must(s.redis.Start(t.Context()))
	s.eventually("all is well again", func() bool {
		return strings.Contains(string(i.call(http.MethodGet, "/readyz", "").body), `"status":"ok"`)
	})
	i.awaitReceipt(i.issuePaid())
}

// Invariant 8: without Postgres, at start too, commands get a quick 503, and the
// service recovers by itself.
func TestPostgresAwayIs503AndPasses(t *testing.T) {
	s := newStack(t)
	server := devstack.PostgresForTest(t)
	s.must(server.CreateDatabase(t.Context(), "billing", ""))
	s.database = server.URL("billing")
	s.must(migrateForTest(t.Context(), s.database))
	pool, err := pgxpool.New(t.Context(), s.database)
	s.must(err)
	t.Cleanup(pool.Close)
	s.pool = pool
	away := func(i *instance) {
		for path, method := range map[string]string{"/v1/invoices": http.MethodPost, "/v1/invoices?limit=1": http.MethodGet} {
			body := ""
			if method == http.MethodPost {
				body = anInvoice
			}
			a := i.expect(http.StatusServiceUnavailable, method, path, body)
			if a.problem().Code != "dependency-unavailable" || a.Header.Get("Retry-After") == "" {
				t.Errorf("%s %s: %v %s", method, path, a.Header, a.body)
			}
		}
		i.expect(http.StatusServiceUnavailable, http.MethodGet, "/readyz", "")
		i.expect(http.StatusOK, http.MethodGet, "/livez", "")
	}
	back := func(i *instance) {
		s.eventually("commands work again", func() bool {
			a, err := i.try(http.MethodPost, "/v1/invoices", anInvoice)
			return err == nil && a.StatusCode == http.StatusCreated
		})
		i.awaitReceipt(i.issuePaid())
	}

	s.must(server.Kill())
	i := s.serve(nil)
	away(i)
	s.must(server.Start(t.Context()))
	back(i)
	s.must(server.Kill())
	away(i)
	s.must(server.Start(t.Context()))
	back(i)
}
