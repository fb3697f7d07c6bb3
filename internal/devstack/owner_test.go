package devstack_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/winaity/billing/internal/devstack"
)

// t.TempDir is, like a checkout in root's home, out of reach for the user that
// Postgres runs as when we are root.
func TestPostgresInADirectoryOutOfReach(t *testing.T) {
	dir := filepath.Join(t.TempDir(), ".dev", "postgres")
	start := func() *devstack.Postgres {
		postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
		check(t, err)
		return postgres
	}
	const tables = "SELECT count(*)::text FROM pg_tables WHERE tablename = 'notes'"

	postgres := start()
	where, err := filepath.EvalSymlinks(dir)
	check(t, err)
	t.Cleanup(func() { check(t, os.RemoveAll(where)) })
	query(t, postgres.URL("postgres"), "CREATE TABLE notes (note text)")
	check(t, postgres.Kill())

	postgres = start()
	if found := query(t, postgres.URL("postgres"), tables); found != "1" {
		t.Error("the data did not survive a restart")
	}
	check(t, postgres.Kill())

	check(t, os.RemoveAll(filepath.Dir(dir)))
	postgres = start()
	t.Cleanup(func() { check(t, postgres.Kill()) })
	if found := query(t, postgres.URL("postgres"), tables); found != "0" {
		t.Error("the data survived the removal of the directory")
	}
}
