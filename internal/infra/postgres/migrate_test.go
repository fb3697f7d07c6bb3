package postgres_test

import (
	"errors"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

func TestMigrate(t *testing.T) {
	config, db := open(t, devstack.DatabaseForTest(t, nil))
	if err := db.CheckSchema(t.Context(), sql.Migrations()); !errors.Is(err, postgres.ErrSchemaOlder) {
		t.Errorf("an empty database: got %v, want ErrSchemaOlder", err)
	}
	var wg sync.WaitGroup
	for range 3 { // as when three instances are deployed at once
		wg.Go(func() {
			if _, err := postgres.Migrate(t.Context(), config, sql.Migrations()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, db.CheckSchema(t.Context(), sql.Migrations()))
	applied, err := postgres.Migrate(t.Context(), config, sql.Migrations())
	if err != nil || len(applied) != 0 {
		t.Errorf("a second migration applied %v, %v", applied, err)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	b := setup(t)
	older := fstest.MapFS{"00001_first.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}
	if err := b.db.CheckSchema(t.Context(), older); !errors.Is(err, postgres.ErrSchemaNewer) {
		t.Errorf("check: got %v, want ErrSchemaNewer", err)
	}
	if _, err := postgres.Migrate(t.Context(), b.config, older); !errors.Is(err, postgres.ErrSchemaNewer) {
		t.Errorf("migrate: got %v, want ErrSchemaNewer", err)
	}
}

// What a role has for timeouts may be below what a migration takes.
func TestMigrationHasNoTimeouts(t *testing.T) {
	database := devstack.DatabaseForTest(t, nil)
	for _, name := range []string{"statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout", "idle_session_timeout"} {
		database += "&" + name + "=9s"
	}
	config, _ := open(t, database)
	migrations := fstest.MapFS{"00001_timeouts.sql": {Data: []byte(`-- +goose Up
-- +goose StatementBegin
DO $$ DECLARE timeouts text; BEGIN
	SELECT string_agg(name, ', ') INTO timeouts FROM pg_settings WHERE setting = '9000';
	IF timeouts IS NOT NULL THEN RAISE 'in force: %', timeouts; END IF;
END $$;
-- +goose StatementEnd
`)}}
	_, err := postgres.Migrate(t.Context(), config, migrations)
	must(t, err)
}

// The settings of autovacuum are changed while the service works.
func TestAutovacuumSettingsWaitForNoTransaction(t *testing.T) {
	database := devstack.DatabaseForTest(t, nil)
	config, _ := open(t, database)
	migrations := fstest.MapFS{}
	add := func(name string) {
		content, err := fs.ReadFile(sql.Migrations(), name)
		must(t, err)
		migrations[name] = &fstest.MapFile{Data: content}
	}
	add("00001_outbox.sql")
	add("00002_invoices.sql")
	_, err := postgres.Migrate(t.Context(), config, migrations)
	must(t, err)
	pool, err := pgxpool.New(t.Context(), database)
	must(t, err)
	t.Cleanup(pool.Close)
	writer, err := pool.Begin(t.Context())
	must(t, err)
	defer writer.Rollback(t.Context()) //nolint:errcheck // nothing was changed
	_, err = writer.Exec(t.Context(), "LOCK TABLE outbox, inbox, idempotency_keys, number_series, invoices IN ROW EXCLUSIVE MODE")
	must(t, err)
	add("00003_autovacuum.sql")
	if _, err := postgres.Migrate(t.Context(), config, migrations); err != nil {
		t.Errorf("while a transaction writes: %v", err)
	}
}
