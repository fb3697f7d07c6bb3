package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// No configuration ends in a crash: what a driver refuses is told by its variable
// and the reason, on a line, before anything is touched.
func TestWhatADriverRefusesIsToldByItsVariable(t *testing.T) {
	for _, c := range []struct{ name, value, reason string }{
		{"DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/db?sslmode=verify-full&sslrootcert=/absent.pem", "/absent.pem"},
		{"DATABASE_URL", "postgres://u:hunter2@127.0.0.1:1/db?pool_max_conns=lots", "pool_max_conns"},
		{"DATABASE_URL", "postgres://u:hunter2@127.0.0.1:many/db", "port"},
		{"DATABASE_URL", "mysql://u:hunter2@db", "postgres://"},
	} {
		env := map[string]string{"DATABASE_URL": "postgres://127.0.0.1:1/db", "NATS_URL": "nats://127.0.0.1:1", "REDIS_URL": "redis://127.0.0.1:1", "BILLING_HTTP_ADDR": "127.0.0.1:0"}
		env[c.name] = c.value
		var stderr bytes.Buffer
		code := run(t.Context(), []string{"serve"}, func(name string) string { return env[name] }, io.Discard, &stderr)
		told := ""
		for line := range strings.Lines(stderr.String()) {
			if strings.Contains(line, c.name) {
				told = line
			}
		}
		if code != exitBadUsage || !strings.Contains(told, c.reason) || strings.Contains(stderr.String(), "hunter2") {
			t.Errorf("%s=%s: exit code %d\n%s", c.name, c.value, code, stderr.String())
		}
	}
}

// What does not pass by itself is told at once, by every command, and not waited
// for as if the database were away.
func TestWhatDoesNotPassIsNotWaitedFor(t *testing.T) {
	s := newStack(t)
	good, err := url.Parse(s.database)
	s.must(err)
	s.exec("CREATE ROLE poor LOGIN PASSWORD 'poor'; GRANT SELECT ON goose_db_version TO poor")
	t.Cleanup(func() { s.exec("DROP OWNED BY poor; DROP ROLE poor") })
	with := func(change func(*url.URL)) string {
		changed := *good
		change(&changed)
		return changed.String()
	}
	for name, c := range map[string]struct{ url, want string }{
		"password": {with(func(u *url.URL) { u.User = url.UserPassword("billing", "hunter2") }), "28P01"},
		"database": {with(func(u *url.URL) { u.Path = "/absent" }), "3D000"},
		"option":   {with(func(u *url.URL) { u.RawQuery += "&pool_max_con=3" }), "pool_max_con"},
		"value":    {with(func(u *url.URL) { u.RawQuery += "&work_mem=plenty" }), "work_mem"},
		"protocol": {with(func(u *url.URL) { u.RawQuery += "&min_protocol_version=3.2" }), "protocol version too low"},
		"TLS":      {with(func(u *url.URL) { u.RawQuery = "sslmode=require" }), "TLS"},
		"right":    {with(func(u *url.URL) { u.User = url.UserPassword("poor", "poor") }), "SELECT on outbox"},
	} {
		for _, command := range [][]string{{"serve"}, {"migrate"}, {"outbox", "status"}, {"audit"}} {
			if name == "right" && command[0] != "serve" {
				continue
			}
			ctx, cancel := context.WithTimeout(t.Context(), patience)
			var log bytes.Buffer
			code := run(ctx, command, s.environment(map[string]string{"DATABASE_URL": c.url}), io.Discard, &log)
			lines := strings.Split(strings.TrimSpace(log.String()), "\n")
			if last := lines[len(lines)-1]; ctx.Err() != nil || code != exitFailure || !strings.Contains(last, c.want) {
				t.Errorf("%s, billing %s: exit code %d, %v\n%s", name, command[0], code, ctx.Err(), log.String())
			}
			if strings.Contains(log.String(), "hunter2") {
				t.Errorf("%s, billing %s: the password is in the log", name, command[0])
			}
			cancel()
		}
	}
}

// A password that is changed while the service runs is 503, and passes when it is
// changed back: the service needs no restart, and no delivery is used up.
func TestRefusalWhileTheServiceRunsPasses(t *testing.T) {
	s := newStack(t)
	u, err := url.Parse(s.database)
	s.must(err)
	s.exec("CREATE ROLE changing LOGIN SUPERUSER PASSWORD 'one'")
	t.Cleanup(func() { s.exec("DROP ROLE changing") })
	u.User = url.UserPassword("changing", "one")
	i := s.serve(map[string]string{"DATABASE_URL": u.String()})
	i.awaitReceipt(i.issuePaid())
	s.exec("ALTER ROLE changing PASSWORD 'two'")
	s.cutConnections()
	a := i.expect(http.StatusServiceUnavailable, http.MethodPost, "/v1/invoices", anInvoice)
	if a.Header.Get("Retry-After") == "" {
		t.Errorf("%v %s", a.Header, a.body)
	}
	if ready := string(i.expect(http.StatusServiceUnavailable, http.MethodGet, "/readyz", "").body); !strings.Contains(ready, "operator") {
		t.Errorf("readiness: %s", ready)
	}
	s.exec("ALTER ROLE changing PASSWORD 'one'")
	s.eventually("commands work again", func() bool {
		return i.call(http.MethodPost, "/v1/invoices", anInvoice).StatusCode == http.StatusCreated
	})
	i.awaitReceipt(i.issuePaid())
	s.prove()
}

// The operator's commands, and the service, ask for no more rights than they need.
func TestFewRightsAreNeeded(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	i.awaitReceipt(i.issuePaid())
	s.prove()
	as := func(role string, grants ...string) {
		u, err := url.Parse(s.database)
		s.must(err)
		s.exec("CREATE ROLE " + role + " LOGIN PASSWORD '" + role + "'")
		t.Cleanup(func() { s.exec("DROP OWNED BY " + role + "; DROP ROLE " + role) })
		for _, grant := range grants {
			s.exec("GRANT " + grant + " TO " + role)
		}
		u.User = url.UserPassword(role, role)
		s.database = u.String()
	}
	works := func(args ...string) {
		t.Helper()
		if code, output := s.command(args...); code != exitOK {
			t.Errorf("billing %s: exit code %d\n%s", strings.Join(args, " "), code, output)
		}
	}
	as("auditor", "SELECT ON invoices, documents, outbox")
	works("audit", "--grace", "0s")
	works("outbox", "status")
	works("outbox", "republish", "--since", "1h", "--dry-run")
	as("republisher", "SELECT, UPDATE ON outbox", "INSERT ON outbox_republications")
	works("outbox", "republish", "--since", "1h")

	// The service itself works with what it says at its start that it needs.
	i.stop()
	as("service", "SELECT ON goose_db_version, outbox_republications", "SELECT, INSERT, UPDATE, DELETE ON outbox", "SELECT, INSERT, DELETE ON inbox, idempotency_keys",
		"SELECT, INSERT, UPDATE ON number_series, invoices", "SELECT, INSERT ON documents")
	i = s.serve(nil)
	i.issue("Idempotency-Key", "a-key")
	i.awaitReceipt(i.issuePaid())
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+i.issue()+"/cancel", "")
	s.prove()
	if log := i.log.String(); strings.Contains(log, "permission denied") {
		t.Error("something was denied")
	}
}
