package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"sync/atomic"
	"testing"
)

// Run runs the tests of a package and then ends the Postgres that they shared:
//
//	func TestMain(m *testing.M) { os.Exit(devstack.Run(m)) }
//
// If the test process dies before that, its servers and their files go with it.
func Run(m *testing.M) int {
	defer shared.stop()
	return m.Run()
}

// DatabaseForTest returns the URL of an empty database of the test's own, on
// which migrate, if it is not nil, has been run. All tests of a process share
// one server and one migration: they have to pass the same function.
func DatabaseForTest(t testing.TB, migrate func(ctx context.Context, url string) error) string {
	t.Helper()
	p, err := shared.start()
	failIf(t, err)
	template := ""
	if migrate != nil {
		template = "migrated"
		failIf(t, shared.migrate(template, migrate))
	}
	name := fmt.Sprintf("test_%d", shared.databases.Add(1))
	failIf(t, p.CreateDatabase(t.Context(), name, template))
	t.Cleanup(func() {
		if err := p.DropDatabase(context.Background(), name); err != nil {
			t.Errorf("drop the database of the test: %v", err)
		}
	})
	return p.URL(name)
}

// PostgresForTest returns a server of the test's own, which it may stop and
// start. It costs a second; DatabaseForTest costs milliseconds.
func PostgresForTest(t testing.TB) *Postgres {
	t.Helper()
	dir := scratchDir(t)
	p, err := StartPostgres(t.Context(), PostgresOptions{Dir: dir, scratch: true})
	failIf(t, err)
	t.Cleanup(func() { failIf(t, p.Kill()); failIf(t, os.RemoveAll(p.dir)) })
	return p
}

// RedisForTest returns an empty server of the test's own, which it may stop and
// start.
func RedisForTest(t testing.TB) *Redis {
	t.Helper()
	r, err := StartRedis(t.Context(), RedisOptions{Dir: scratchDir(t), scratch: true})
	failIf(t, err)
	t.Cleanup(func() { failIf(t, r.Kill()) })
	return r
}

// NATSForTest returns an empty server of the test's own, which it may stop and
// start.
func NATSForTest(t testing.TB) *NATS {
	t.Helper()
	n, err := StartNATS(t.Context(), NATSOptions{Dir: scratchDir(t)})
	failIf(t, err)
	t.Cleanup(func() { failIf(t, n.Stop(context.Background())) })
	return n
}

func scratchDir(t testing.TB) string {
	t.Helper()
	dir, err := os.MkdirTemp("", "billing-test-")
	failIf(t, err)
	t.Cleanup(func() { failIf(t, os.RemoveAll(dir)) })
	return dir
}

func failIf(t testing.TB, err error) {
	t.Helper()
	if errors.Is(err, ErrMissing) {
		t.Fatalf("%v: `make test` installs it where it can", err)
	}
	if err != nil {
		t.Fatal(err)
	}
}

var shared sharedPostgres

// sharedPostgres is the server of this process' tests, started by the first
// that asks.
type sharedPostgres struct {
	starting  sync.Once
	postgres  *Postgres
	startErr  error
	migrating sync.Once
	migration error
	databases atomic.Int64
}

func (s *sharedPostgres) start() (*Postgres, error) {
	s.starting.Do(func() {
		dir, err := os.MkdirTemp("", "billing-test-")
		if err != nil {
			s.startErr = err
			return
		}
		s.postgres, s.startErr = StartPostgres(context.Background(), PostgresOptions{Dir: dir, scratch: true})
		if s.startErr != nil {
			s.startErr = errors.Join(s.startErr, os.RemoveAll(dir))
		}
	})
	return s.postgres, s.startErr
}

func (s *sharedPostgres) migrate(template string, migrate func(context.Context, string) error) error {
	s.migrating.Do(func() {
		ctx, cancel := context.WithTimeout(context.Background(), startTimeout)
		defer cancel()
		s.migration = s.postgres.CreateDatabase(ctx, template, "")
		if s.migration == nil {
			s.migration = migrate(ctx, s.postgres.URL(template))
		}
	})
	return s.migration
}

func (s *sharedPostgres) stop() {
	if s.postgres == nil {
		return
	}
	if err := errors.Join(s.postgres.Kill(), os.RemoveAll(s.postgres.dir), os.RemoveAll(s.postgres.opts.Dir)); err != nil {
		fmt.Fprintln(os.Stderr, "devstack:", err)
	}
}
