package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"

	"github.com/jackc/pgx/v5"
)

// FindPgBouncer returns the path of PgBouncer.
func FindPgBouncer() (string, error) {
	return find("pgbouncer", "pgbouncer", "/usr/sbin/pgbouncer", "/opt/homebrew/bin/pgbouncer", "/usr/local/bin/pgbouncer")
}

// PgBouncer pools the connections to a Postgres, by transactions.
type PgBouncer struct {
	port int
	daemon
}

const pgBouncerConfig = `[databases]
* = host=127.0.0.1 port=%d user=billing password=billing
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = %d
unix_socket_dir =
auth_type = any
pool_mode = transaction
default_pool_size = 5
max_client_conn = 200
`

// PgBouncerForTest returns a transaction pooler in front of p. With five
// connections for all, no client can count on having one twice.
func PgBouncerForTest(tb testing.TB, p *Postgres) *PgBouncer {
	tb.Helper()
	bin, err := FindPgBouncer()
	failIf(tb, err)
	user, err := serverUser() // it refuses to be root, too
	failIf(tb, err)
	dir, err := place(tb.TempDir(), user)
	failIf(tb, err)
	b := &PgBouncer{daemon: daemon{name: "PgBouncer", log: filepath.Join(dir, "log"), death: syscall.SIGKILL, scratch: dir}}
	config := filepath.Join(dir, "pgbouncer.ini")
	failIf(tb, onFreePort(0, func(port int) error {
		b.port = port
		if err := os.WriteFile(config, fmt.Appendf(nil, pgBouncerConfig, p.port, port), 0o644); err != nil {
			return err
		}
		cmd := exec.Command(bin, config)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: user}
		return b.start(tb.Context(), cmd, b.ready)
	}))
	tb.Cleanup(func() { failIf(tb, errors.Join(b.proc.Kill(), os.RemoveAll(dir))) })
	return b
}

// URL is the address of a database of the Postgres, by way of the pooler.
func (b *PgBouncer) URL(database string) string {
	return fmt.Sprintf("postgres://billing:billing@127.0.0.1:%d/%s?sslmode=disable", b.port, database)
}

func (b *PgBouncer) ready(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, b.URL("postgres"))
	if err != nil {
		return err
	}
	return conn.Close(ctx)
}
