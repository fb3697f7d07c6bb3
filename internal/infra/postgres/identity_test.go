package postgres_test

import (
	"context"
	"sync"
	"testing"
	"time"

	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/infra/postgres"
)

func TestIdentityChangesWithWhatTheDatabaseKnows(t *testing.T) {
	t.Parallel()
	b := setup(t)
	identity := postgres.NewIdentity(b.db)
	current := func() string {
		t.Helper()
		text, err := identity.Current(t.Context(), 0)
		must(t, err)
		return text
	}
	seen := map[string]string{current(): "the database as it was"}
	for _, change := range []struct{ name, sql string }{
		{"the inbox is truncated", "TRUNCATE inbox"},
		{"the answers are truncated", "TRUNCATE idempotency_keys"},
		{"the inbox is created anew", "CREATE TABLE copy (LIKE inbox INCLUDING ALL); DROP TABLE inbox; ALTER TABLE copy RENAME TO inbox"},
	} {
		_, err := b.pool.Exec(t.Context(), change.sql)
		must(t, err)
		after := current()
		if before, known := seen[after]; known {
			t.Errorf("%s: still %s, as of %s", change.name, after, before)
		}
		seen[after] = change.name
		if again := current(); again != after {
			t.Errorf("%s: %s became %s by itself", change.name, after, again)
		}
	}
	other := setup(t)
	text, err := postgres.NewIdentity(other.db).Current(t.Context(), 0)
	must(t, err)
	if before, known := seen[text]; known {
		t.Errorf("another database has the identity %s, as of %s", text, before)
	}
}

func TestIdentityChangesWithTheServer(t *testing.T) {
	t.Parallel()
	server := devstack.PostgresForTest(t)
	must(t, migrate(t.Context(), server.URL("postgres")))
	_, db := open(t, server.URL("postgres"))
	identity := postgres.NewIdentity(db)
	before, err := identity.Current(t.Context(), 0)
	must(t, err)
	must(t, server.Stop(t.Context()))
	if _, err := identity.Current(t.Context(), time.Hour); err != nil {
		t.Errorf("what was read within the hour: %v", err)
	}
	if _, err := identity.Current(t.Context(), 0); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("without a server: %v, want an Unavailable error", err)
	}
	must(t, server.Start(t.Context()))
	after, err := identity.Current(t.Context(), 0)
	must(t, err)
	if after == before {
		t.Errorf("still %s after a restart", after)
	}
}

// One reading serves all who wait for it, and a caller who gives up spoils it for
// nobody.
func TestIdentityIsReadOnceForMany(t *testing.T) {
	t.Parallel()
	b := setup(t)
	identity := postgres.NewIdentity(b.db)
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	before := b.db.Stat().AcquireCount()
	var callers sync.WaitGroup
	for range 50 {
		callers.Go(func() {
			if _, err := identity.Current(gaveUp, time.Hour); err != nil {
				t.Error(err)
			}
		})
	}
	callers.Wait()
	if n := b.db.Stat().AcquireCount() - before; n != 1 {
		t.Errorf("it was read %d times", n)
	}
}
