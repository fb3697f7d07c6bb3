package postgres_test

import (
	"errors"
	"io/fs"
	"sync"
	"testing"
	"testing/fstest"

	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

func TestMigrate(t *testing.T) {
	url := devstack.DatabaseForTest(t, nil)
	if err := postgres.CheckSchema(t.Context(), url, sql.Migrations()); !errors.Is(err, postgres.ErrSchemaOlder) {
		t.Errorf("an empty database: got %v, want ErrSchemaOlder", err)
	}
	var wg sync.WaitGroup
	for range 3 { // as when three instances are deployed at once
		wg.Go(func() {
			if _, err := postgres.Migrate(t.Context(), url, sql.Migrations()); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	must(t, postgres.CheckSchema(t.Context(), url, sql.Migrations()))
	applied, err := postgres.Migrate(t.Context(), url, sql.Migrations())
	if err != nil || len(applied) != 0 {
		t.Errorf("a second migration applied %v, %v", applied, err)
	}
}

func TestNewerDatabaseIsRefused(t *testing.T) {
	b := setup(t)
	older := fstest.MapFS{"00001_first.sql": {Data: []byte("-- +goose Up\nSELECT 1;\n")}}
	if err := postgres.CheckSchema(t.Context(), b.url, older); !errors.Is(err, postgres.ErrSchemaNewer) {
		t.Errorf("check: got %v, want ErrSchemaNewer", err)
	}
	if _, err := postgres.Migrate(t.Context(), b.url, older); !errors.Is(err, postgres.ErrSchemaNewer) {
		t.Errorf("migrate: got %v, want ErrSchemaNewer", err)
	}
}

// The settings of autovacuum are changed while the service works.
func TestAutovacuumSettingsWaitForNoTransaction(t *testing.T) {
	url := devstack.DatabaseForTest(t, nil)
	former := fstest.MapFS{}
	for _, name := range []string{"00001_outbox.sql", "00002_invoices.sql"} {
		content, err := fs.ReadFile(sql.Migrations(), name)
		must(t, err)
		former[name] = &fstest.MapFile{Data: content}
	}
	_, err := postgres.Migrate(t.Context(), url, former)
	must(t, err)
	pool, err := postgres.Open(t.Context(), url)
	must(t, err)
	t.Cleanup(pool.Close)
	writer, err := pool.Begin(t.Context())
	must(t, err)
	defer writer.Rollback(t.Context()) //nolint:errcheck // nothing was changed
	_, err = writer.Exec(t.Context(), "LOCK TABLE outbox, inbox, idempotency_keys, number_series, invoices IN ROW EXCLUSIVE MODE")
	must(t, err)
	if _, err := postgres.Migrate(t.Context(), url, sql.Migrations()); err != nil {
		t.Errorf("while a transaction writes: %v", err)
	}
}
