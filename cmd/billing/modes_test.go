package main

import (
	"fmt"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/devstack"
)

// All that the service and the operator's commands ask of the database works in
// every mode in which pgx sends a statement.
func TestEveryExecMode(t *testing.T) {
	for _, mode := range []string{"cache_statement", "cache_describe", "describe_exec", "exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			s := newStack(t)
			s.database += "&default_query_exec_mode=" + mode
			s.tryAll()
		})
	}
}

// Every command takes all that pgx does.
func TestEveryKindOfURL(t *testing.T) {
	for name, change := range map[string]func(u *url.URL) string{
		"pool settings": func(u *url.URL) string {
			return u.String() + "&pool_max_conns=5&pool_min_conns=1&pool_min_idle_conns=1&pool_max_conn_lifetime=1h&pool_health_check_period=10s"
		},
		"one connection": func(u *url.URL) string { return u.String() + "&pool_max_conns=1" },
		"several hosts": func(u *url.URL) string {
			u.Host = "127.0.0.1:1," + u.Host
			return u.String()
		},
		"keywords and values": func(u *url.URL) string {
			return fmt.Sprintf("host=%s port=%s dbname=%s user=%s password='%s' sslmode=disable", u.Hostname(), u.Port(), u.Path[1:], oddUser, oddPassword)
		},
		"odd password": func(u *url.URL) string {
			u.User = url.UserPassword(oddUser, oddPassword)
			return u.String()
		},
		"settings of the session": func(u *url.URL) string {
			return u.String() + "&search_path=other&statement_timeout=20s&application_name=mine&timezone=Asia/Tokyo&client_encoding=LATIN1&DateStyle=German&bytea_output=escape"
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			s.database = devstack.DatabaseForTest(t, nil)
			pool, err := pgxpool.New(t.Context(), s.database+"&search_path=other,public")
			s.must(err)
			t.Cleanup(pool.Close)
			s.pool = pool
			s.exec("CREATE SCHEMA other")
			s.exec(fmt.Sprintf(`CREATE ROLE %s SUPERUSER LOGIN PASSWORD '%s'`, oddUser, oddPassword))
			t.Cleanup(func() { s.exec("REASSIGN OWNED BY " + oddUser + " TO billing; DROP ROLE " + oddUser) })
			u, err := url.Parse(s.database)
			s.must(err)
			s.database = change(u)
			s.tryAll()
		})
	}
}

const oddUser, oddPassword = "odd", "p,%4 @:/?#[]&=+$"

// A transaction pooler gives each transaction another connection. Old versions of
// PgBouncer need a mode without prepared statements, new ones take any.
func TestTransactionPooler(t *testing.T) {
	for _, mode := range []string{"exec", "simple_protocol"} {
		t.Run(mode, func(t *testing.T) {
			s := newStack(t)
			server := devstack.PostgresForTest(t)
			pooler := devstack.PgBouncerForTest(t, server)
			s.must(server.CreateDatabase(t.Context(), "pooled", ""))
			pool, err := pgxpool.New(t.Context(), server.URL("pooled"))
			s.must(err)
			t.Cleanup(pool.Close)
			s.pool, s.database = pool, pooler.URL("pooled")+"&default_query_exec_mode="+mode
			s.tryAll()
		})
	}
}

// tryAll uses all that there is, on the database that may be empty.
func (s *stack) tryAll() {
	s.Helper()
	does := func(want string, args ...string) {
		s.Helper()
		if code, output := s.command(args...); code != exitOK || !strings.Contains(output, want) {
			s.Errorf("billing %s: exit code %d\n%s", strings.Join(args, " "), code, output)
		}
	}
	does("", "migrate")
	does("up to date", "migrate")
	i := s.serve(map[string]string{"BILLING_OUTBOX_POLL_INTERVAL": "50ms"})
	first := i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key")
	again := i.expect(http.StatusCreated, http.MethodPost, "/v1/invoices", anInvoice, "Idempotency-Key", "a-key")
	if string(first.body) != string(again.body) {
		s.Errorf("one key, two answers:\n%s\n%s", first.body, again.body)
	}
	paid := i.issuePaid()
	i.awaitReceipt(paid)
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+paid+"/pay", "") // again
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+first.invoice().ID+"/cancel", `{"reason":"it's \\ \"done\" — 完了"}`)
	for query, want := range map[string]string{
		"": paid, "?status=paid": paid, "?customerId=cust_42": paid, "?customerId=cust_42&status=cancelled": first.invoice().ID,
	} {
		if a := i.expect(http.StatusOK, http.MethodGet, "/v1/invoices"+query, ""); !strings.Contains(string(a.body), want) {
			s.Errorf("%s: %s", query, a.body)
		}
	}
	s.eventually("everything is published", func() bool { return s.count("outbox WHERE published_at IS NULL") == 0 && s.count("documents") == 2 })
	does("unpublished  0", "outbox", "status")
	does("6 events", "outbox", "republish", "--since", "1h", "--dry-run")
	does("6 events", "outbox", "republish", "--since", "1h")
	s.eventually("everything is published again", func() bool { return s.count("outbox WHERE published_at IS NULL") == 0 })
	does("ok", "audit", "--grace", "0s")
	s.prove()
}
