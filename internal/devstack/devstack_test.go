package devstack_test

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/redis/go-redis/v9"

	"github.com/winaity/billing/internal/devstack"
)

func TestMain(m *testing.M) { os.Exit(devstack.Run(m)) }

func TestPostgresKeepsItsDataWhenItIsKilled(t *testing.T) {
	postgres := devstack.PostgresForTest(t)
	query(t, postgres.URL("postgres"), "CREATE TABLE notes AS SELECT 'kept' AS note")

	check(t, postgres.Kill())
	if err := ping(t, postgres.URL("postgres")); err == nil {
		t.Error("a killed server accepts connections")
	}
	url := postgres.URL("postgres")
	check(t, postgres.Start(t.Context()))
	if postgres.URL("postgres") != url {
		t.Errorf("restarted as %s, want %s", postgres.URL("postgres"), url)
	}
	if note := query(t, url, "SELECT note FROM notes"); note != "kept" {
		t.Errorf("note = %q after a kill", note)
	}

	check(t, postgres.Stop(t.Context()))
	<-postgres.Done()
	check(t, postgres.Stop(t.Context()))
	check(t, postgres.Start(t.Context()))
}

func TestPostgresWantsThePassword(t *testing.T) {
	url := devstack.DatabaseForTest(t, nil)
	if err := ping(t, strings.Replace(url, ":billing@", ":wrong@", 1)); err == nil {
		t.Error("a wrong password was accepted")
	}
}

func TestPostgresIsDurableWhenAsked(t *testing.T) {
	postgres := devstack.DurablePostgresForTest(t)
	if fsync := query(t, postgres.URL("postgres"), "SHOW fsync"); fsync != "on" {
		t.Errorf("fsync = %s", fsync)
	}
	check(t, postgres.CreateDatabase(t.Context(), "billing", ""))
	check(t, postgres.CreateDatabase(t.Context(), "billing", ""))
	check(t, ping(t, postgres.URL("billing")))
}

func TestPostgresReplacesALeftover(t *testing.T) {
	dir := postgresDir(t)
	leftover, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	check(t, err)
	postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	check(t, err)
	t.Cleanup(func() { check(t, postgres.Kill()) })
	<-leftover.Done()
	check(t, ping(t, postgres.URL("postgres")))
}

func TestPostgresStartsDespiteAStalePidFile(t *testing.T) {
	for name, pid := range map[string]int{"of a stranger": os.Getppid(), "of nobody": 1 << 22} {
		t.Run(name, func(t *testing.T) {
			dir := postgresDir(t)
			postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
			check(t, err)
			check(t, postgres.Kill())
			stale := strconv.Itoa(pid) + "\n" + filepath.Join(dir, "data") + "\n"
			check(t, os.WriteFile(filepath.Join(dir, "data", "postmaster.pid"), []byte(stale), 0o644))
			postgres, err = devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
			check(t, err)
			check(t, postgres.Kill())
		})
	}
}

func TestAFailedStartShowsTheLog(t *testing.T) {
	dir := postgresDir(t)
	postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	check(t, err)
	check(t, postgres.Kill())
	check(t, os.Remove(filepath.Join(dir, "data", "postgresql.conf")))
	_, err = devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	if err == nil || !strings.Contains(err.Error(), "could not access the server configuration file") {
		t.Errorf("error = %v, want the reason from the log", err)
	}
}

func TestAStartEndsWithItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	dir := postgresDir(t)
	if _, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: dir}); err == nil {
		t.Error("Postgres started")
	}
	postgres, err := devstack.StartPostgres(t.Context(), devstack.PostgresOptions{Dir: dir})
	check(t, err)
	check(t, postgres.Kill())
}

func TestRedisRestarts(t *testing.T) {
	for _, persist := range []bool{true, false} {
		t.Run("persist="+strconv.FormatBool(persist), func(t *testing.T) {
			server, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: t.TempDir(), Persist: persist})
			check(t, err)
			t.Cleanup(func() { check(t, server.Kill()) })
			options, err := redis.ParseURL(server.URL())
			check(t, err)
			client := redis.NewClient(options)
			t.Cleanup(func() { check(t, client.Close()) })

			check(t, client.Set(t.Context(), "key", "value", 0).Err())
			check(t, server.Kill())
			if conn, err := net.Dial("tcp", options.Addr); err == nil {
				check(t, conn.Close())
				t.Error("a killed server accepts connections")
			}
			check(t, server.Start(t.Context()))
			if kept, err := client.Exists(t.Context(), "key").Result(); err != nil || (kept == 1) != persist {
				t.Errorf("keys after a restart = %d, %v", kept, err)
			}
			check(t, server.Stop(t.Context()))
			check(t, server.Start(t.Context()))
		})
	}
}

func TestRedisReplacesALeftover(t *testing.T) {
	dir := t.TempDir()
	leftover, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: dir})
	check(t, err)
	server, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: dir})
	check(t, err)
	<-leftover.Done()
	check(t, server.Stop(t.Context()))
}

func TestNATSKeepsItsStreams(t *testing.T) {
	server, err := devstack.StartNATS(t.Context(), devstack.NATSOptions{Dir: t.TempDir(), SyncAlways: true})
	check(t, err)
	t.Cleanup(func() { check(t, server.Stop(context.Background())) })
	conn, err := nats.Connect(server.URL(), nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	check(t, err)
	defer conn.Close()
	js, err := jetstream.New(conn)
	check(t, err)
	stream := jetstream.StreamConfig{Name: "NOTES", Subjects: []string{"notes"}, Storage: jetstream.FileStorage}
	_, err = js.CreateStream(t.Context(), stream)
	check(t, err)
	_, err = js.Publish(t.Context(), "notes", []byte("kept"))
	check(t, err)

	check(t, server.Stop(t.Context()))
	check(t, server.Start(t.Context()))
	eventually(t, "reconnect", conn.IsConnected)
	notes, err := js.Stream(t.Context(), "NOTES")
	check(t, err)
	if count := notes.CachedInfo().State.Msgs; count != 1 {
		t.Errorf("%d messages after a restart, want 1", count)
	}
}

func TestServersAvoidATakenPort(t *testing.T) {
	taken, err := devstack.FreePort(0)
	check(t, err)
	listener, err := net.Listen("tcp", net.JoinHostPort("127.0.0.1", strconv.Itoa(taken)))
	check(t, err)
	t.Cleanup(func() { check(t, listener.Close()) })

	port, err := devstack.FreePort(taken)
	check(t, err)
	if port <= taken {
		t.Errorf("free port = %d, want one after %d", port, taken)
	}
	server, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: t.TempDir(), Port: taken})
	check(t, err)
	check(t, server.Stop(t.Context()))

	bus := devstack.NATSForTest(t)
	check(t, bus.Stop(t.Context()))
	squatter, err := net.Listen("tcp", strings.TrimPrefix(bus.URL(), "nats://"))
	check(t, err)
	if err := bus.Start(t.Context()); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("start on a taken port = %v", err)
	}
	check(t, squatter.Close())
	check(t, bus.Start(t.Context()))
}

var migrations atomic.Int32

func migrate(ctx context.Context, url string) error {
	migrations.Add(1)
	conn, err := pgx.Connect(ctx, url)
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE TABLE tests (name text)")
	return errors.Join(err, conn.Close(ctx))
}

func TestEveryTestHasItsOwnMigratedDatabase(t *testing.T) {
	t.Parallel()
	for i := range 4 {
		t.Run(strconv.Itoa(i), func(t *testing.T) {
			t.Parallel()
			url := devstack.DatabaseForTest(t, migrate)
			query(t, url, "INSERT INTO tests VALUES ('one') RETURNING name")
			if count := query(t, url, "SELECT count(*)::text FROM tests"); count != "1" {
				t.Errorf("rows = %s, want only the test's own", count)
			}
			if count := migrations.Load(); count != 1 {
				t.Errorf("migrations = %d, want 1 in the process", count)
			}
		})
	}
}

func TestRedisForTestIsEmpty(t *testing.T) {
	options, err := redis.ParseURL(devstack.RedisForTest(t).URL())
	check(t, err)
	client := redis.NewClient(options)
	t.Cleanup(func() { check(t, client.Close()) })
	if size, err := client.DBSize(t.Context()).Result(); err != nil || size != 0 {
		t.Errorf("size = %d, %v", size, err)
	}
}

// postgresDir is removed also when Postgres is outside of it, because a user
// who is not root cannot enter t.TempDir.
func postgresDir(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	t.Cleanup(func() {
		where, err := filepath.EvalSymlinks(dir)
		check(t, err)
		check(t, os.RemoveAll(where))
	})
	return dir
}

func query(t *testing.T, url, sql string) string {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	check(t, err)
	rows, err := conn.Query(t.Context(), sql)
	check(t, err)
	values, err := pgx.CollectRows(rows, pgx.RowTo[string])
	check(t, err)
	check(t, conn.Close(t.Context()))
	return strings.Join(values, ",")
}

func ping(t *testing.T, url string) error {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		return err
	}
	return conn.Close(t.Context())
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(30 * time.Second)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within 30 seconds", what)
		case <-tick.C:
		}
	}
}

func check(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
