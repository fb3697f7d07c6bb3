package devstack_test

import (
	"os"
	"path/filepath"
	"testing"

	"github.com/winaity/billing/internal/devstack"
)

func TestFindPostgresPrefersARecentOneInPath(t *testing.T) {
	recent, old := fakePostgres(t, "99.1"), fakePostgres(t, "9.6.24")

	t.Setenv("PATH", recent)
	if dir, err := devstack.FindPostgres(); err != nil || dir != recent {
		t.Errorf("found %q, %v, want %q", dir, err, recent)
	}
	t.Setenv("PATH", old)
	if dir, err := devstack.FindPostgres(); err != nil || dir == old {
		t.Errorf("found %q, %v, want one that is recent enough", dir, err)
	}
}

func fakePostgres(t *testing.T, version string) string {
	t.Helper()
	dir := t.TempDir()
	for _, program := range []string{"postgres", "initdb"} {
		script := "#!/bin/sh\necho '" + program + " (PostgreSQL) " + version + "'\n"
		check(t, os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755))
	}
	return dir
}
