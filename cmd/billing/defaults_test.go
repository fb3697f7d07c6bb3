package main

import (
	"context"
	"net/http"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/devstack"
)

// hostile are defaults that somebody may give a role or a database, each of which
// would break something if it were heeded.
var hostile = []string{
	"array_nulls = off",
	"bytea_output = 'escape'",
	"client_encoding = 'LATIN1'",
	"client_min_messages = 'debug5'",
	"datestyle = 'SQL, DMY'",
	"default_transaction_deferrable = on",
	"default_transaction_isolation = 'serializable'",
	"default_transaction_read_only = on",
	"extra_float_digits = -15",
	"idle_in_transaction_session_timeout = '1ms'",
	"idle_session_timeout = '1s'",
	"intervalstyle = 'iso_8601'",
	"lock_timeout = '50ms'",
	"plan_cache_mode = 'force_generic_plan'",
	"row_security = off",
	"search_path = 'pg_catalog'",
	"standard_conforming_strings = off",
	"statement_timeout = '100ms'",
	"synchronous_commit = off",
	"timezone = 'America/Los_Angeles'",
	"transform_null_equals = on",
}

// What a database has for defaults does not change what the service does.
func TestDefaultsOfTheDatabaseChangeNothing(t *testing.T) {
	for _, mode := range []string{"cache_statement", "exec"} {
		t.Run(mode, func(t *testing.T) {
			s := newStack(t)
			s.database = devstack.DatabaseForTest(t, nil)
			pool, err := pgxpool.New(t.Context(), s.database)
			s.must(err)
			t.Cleanup(pool.Close)
			s.pool = pool
			s.database += "&default_query_exec_mode=" + mode
			for _, setting := range hostile {
				_, err := pool.Exec(t.Context(), "DO $$ BEGIN EXECUTE format('ALTER DATABASE %I SET "+strings.ReplaceAll(setting, "'", "''")+"', current_database()); END $$")
				s.must(err)
			}
			s.tryAll()

			// Longer than the timeouts, in the middle of a transaction.
			i := s.serve(nil)
			held := s.hold(`SELECT FROM number_series WHERE series = 'INV' FOR UPDATE`)
			issued := make(chan int, 1)
			go func() { issued <- i.call(http.MethodPost, "/v1/invoices", anInvoice).StatusCode }()
			s.eventually("the command waits", func() bool {
				return s.count("pg_stat_activity WHERE wait_event_type = 'Lock' AND now() - query_start > interval '300 ms'") == 1
			})
			held()
			if status := <-issued; status != http.StatusCreated {
				t.Errorf("a command that had to wait: %d", status)
			}
			s.exec(`CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
				IF current_setting('synchronous_commit') <> 'on' THEN RAISE 'synchronous_commit is %', current_setting('synchronous_commit'); END IF;
				RETURN NEW; END $$`)
			s.exec(`CREATE TRIGGER refuse BEFORE INSERT ON invoices FOR EACH ROW EXECUTE FUNCTION refuse()`)
			i.issue()
		})
	}
}

// exec changes the database behind the service's back.
func (s *stack) exec(statement string) {
	s.Helper()
	_, err := s.pool.Exec(context.Background(), statement) // also when the test is over
	s.must(err)
}

// hold runs a statement in a transaction that is open until release.
func (s *stack) hold(statement string) (release func()) {
	s.Helper()
	conn, err := s.pool.Acquire(s.Context())
	s.must(err)
	tx, err := conn.Begin(s.Context())
	s.must(err)
	_, err = tx.Exec(s.Context(), statement)
	s.must(err)
	ended := false
	release = func() {
		if !ended {
			ended = true
			_ = tx.Rollback(context.Background()) // it may have been ended from outside
			conn.Release()
		}
	}
	s.Cleanup(release)
	return release
}
