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
func DatabaseForTest(tb testing.TB, migrate func(ctx context.Context, url string) error) string {
	tb.Helper()
	p, err := shared.start()
	failIf(tb, err)
	template := ""
	if migrate != nil {
		template = "migrated"
		failIf(tb, shared.migrate(template, migrate))
	}
	name := fmt.Sprintf("test_%d", shared.databases.Add(1))
	failIf(tb, p.CreateDatabase(tb.Context(), name, template))
	tb.Cleanup(func() {
		if err := p.DropDatabase(context.Background(), name); err != nil {
			tb.Errorf("drop the database of the test: %v", err)
		}
	})
	return p.URL(name)
}

// PostgresForTest returns a server of the test's own, which it may stop and
// start. It costs a second; DatabaseForTest costs milliseconds.
func PostgresForTest(tb testing.TB) *Postgres {
	tb.Helper()
	return postgresForTest(tb, PostgresOptions{Dir: tb.TempDir(), scratch: true})
}

// StandbyForTest returns a stand-by of primary.
func StandbyForTest(tb testing.TB, primary *Postgres) *Postgres {
	tb.Helper()
	return postgresForTest(tb, PostgresOptions{Dir: tb.TempDir(), Primary: primary, scratch: true})
}

// DurablePostgresForTest is PostgresForTest with the speed of a server that
// keeps what it has committed, for benchmarks.
func DurablePostgresForTest(tb testing.TB) *Postgres {
	tb.Helper()
	return postgresForTest(tb, PostgresOptions{Dir: tb.TempDir(), Durable: true, scratch: true})
}

func postgresForTest(tb testing.TB, opts PostgresOptions) *Postgres {
	tb.Helper()
	p, err := StartPostgres(tb.Context(), opts)
	failIf(tb, err)
	tb.Cleanup(func() { failIf(tb, errors.Join(p.Kill(), os.RemoveAll(p.dir))) })
	return p
}

// RedisForTest returns an empty server of the test's own, which it may stop and
// start.
func RedisForTest(tb testing.TB) *Redis {
	tb.Helper()
	r, err := StartRedis(tb.Context(), RedisOptions{Dir: tb.TempDir(), scratch: true})
	failIf(tb, err)
	tb.Cleanup(func() { failIf(tb, r.Kill()) })
	return r
}

// NATSForTest returns an empty server of the test's own, which it may stop and
// start.
func NATSForTest(tb testing.TB) *NATS {
	tb.Helper()
	return ConfiguredNATSForTest(tb, "")
}

// ConfiguredNATSForTest is NATSForTest with a file of the server's own settings.
func ConfiguredNATSForTest(tb testing.TB, config string) *NATS {
	tb.Helper()
	n, err := StartNATS(tb.Context(), NATSOptions{Dir: tb.TempDir(), Config: config})
	failIf(tb, err)
	tb.Cleanup(func() { failIf(tb, n.Stop(context.Background())) })
	return n
}

func failIf(tb testing.TB, err error) {
	tb.Helper()
	if errors.Is(err, ErrMissing) {
		tb.Fatalf("%v: `make test` installs it where it can", err)
	}
	if err != nil {
		tb.Fatal(err)
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
