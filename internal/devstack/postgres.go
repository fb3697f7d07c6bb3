package devstack

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
)

const duplicateDatabase = "42P04"

// PostgresOptions says what StartPostgres starts.
type PostgresOptions struct {
	Dir     string // of the data and the log; made if it is missing
	Port    int    // preferred; the next free one is taken if it is in use, 0 means any
	Durable bool   // false is for tests: faster, and a power cut may lose data
	// Primary is whose stand-by it is to be, by streaming; nil: nobody's.
	Primary *Postgres

	scratch bool // remove Dir when this process dies
}

// Postgres is a private server on the loopback interface. Its methods, but not
// the server, are for one goroutine at a time.
type Postgres struct {
	opts PostgresOptions
	bin  string
	dir  string // where opts.Dir really is
	user *syscall.Credential
	port int
	daemon
}

// StartPostgres returns when the server accepts connections. A server that a
// former run left behind in the same directory is stopped first.
func StartPostgres(ctx context.Context, opts PostgresOptions) (*Postgres, error) {
	bin, err := FindPostgres()
	if err != nil {
		return nil, err
	}
	user, err := serverUser()
	if err != nil {
		return nil, err
	}
	dir, err := place(opts.Dir, user)
	if err != nil {
		return nil, err
	}
	p := &Postgres{opts: opts, bin: bin, dir: dir, user: user}
	p.daemon = daemon{name: "Postgres", log: filepath.Join(dir, "log"), death: syscall.SIGINT}
	if opts.scratch {
		p.scratch = dir
	}

	if err := stopLeftover(ctx, filepath.Join(p.data(), "postmaster.pid"), p.data(), syscall.SIGINT); err != nil {
		return nil, err
	}
	if err := p.initialize(ctx); err != nil {
		return nil, err
	}
	err = onFreePort(opts.Port, func(port int) error {
		p.port = port
		return p.Start(ctx)
	})
	if err != nil {
		return nil, err
	}
	return p, nil
}

// URL is the address of a database; "postgres" exists from the start.
func (p *Postgres) URL(database string) string {
	return fmt.Sprintf("postgres://billing:billing@127.0.0.1:%d/%s?sslmode=disable", p.port, database)
}

// CreateDatabase creates a database as a copy of template, which may be empty.
// A database that exists is left as it is.
func (p *Postgres) CreateDatabase(ctx context.Context, name, template string) error {
	statement := "CREATE DATABASE " + pgx.Identifier{name}.Sanitize()
	if template != "" {
		statement += " TEMPLATE " + pgx.Identifier{template}.Sanitize()
	}
	err := p.exec(ctx, statement)
	if pgErr := (*pgconn.PgError)(nil); errors.As(err, &pgErr) && pgErr.Code == duplicateDatabase {
		return nil
	}
	return err
}

// DropDatabase also ends the connections to the database.
func (p *Postgres) DropDatabase(ctx context.Context, name string) error {
	return p.exec(ctx, "DROP DATABASE IF EXISTS "+pgx.Identifier{name}.Sanitize()+" WITH (FORCE)")
}

func (p *Postgres) exec(ctx context.Context, statement string) error {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, statement)
	return errors.Join(err, conn.Close(ctx))
}

// Start starts the server again after Stop or Kill, on the same port.
func (p *Postgres) Start(ctx context.Context) error {
	settings := []string{
		"listen_addresses=127.0.0.1",
		fmt.Sprintf("port=%d", p.port),
		"unix_socket_directories=",
		"max_connections=200",
	}
	if !p.opts.Durable {
		settings = append(settings, "fsync=off", "full_page_writes=off")
	}
	args := []string{"-D", p.data()}
	for _, setting := range settings {
		args = append(args, "-c", setting)
	}
	return p.start(ctx, p.command("postgres", args...), p.ready)
}

// Stop closes the connections, writes a checkpoint and ends the server. The end
// of ctx makes it a Kill.
func (p *Postgres) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return p.proc.stop(ctx, syscall.SIGINT)
}

// Kill ends the server without a checkpoint: the next start has to recover.
func (p *Postgres) Kill() error {
	ctx, cancel := context.WithTimeout(context.Background(), stopTimeout)
	defer cancel()
	// After SIGKILL the sessions would outlive the server for a moment and keep
	// the next one from starting.
	return p.proc.stop(ctx, syscall.SIGQUIT)
}

func (p *Postgres) ready(ctx context.Context) error {
	conn, err := pgx.Connect(ctx, p.URL("postgres"))
	if err != nil {
		return err
	}
	var data string
	err = conn.QueryRow(ctx, "SHOW data_directory").Scan(&data)
	if err := errors.Join(err, conn.Close(ctx)); err != nil {
		return err
	}
	if data != p.data() {
		return fmt.Errorf("port %d belongs to the Postgres in %s: address already in use", p.port, data)
	}
	return nil
}

func (p *Postgres) initialize(ctx context.Context) error {
	if p.opts.Primary != nil {
		return p.copyFrom(ctx, p.opts.Primary)
	}
	if _, err := os.Stat(p.data()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	// Only the rename makes it count: initdb may be killed half-way.
	draft := p.data() + ".new"
	if err := os.RemoveAll(draft); err != nil {
		return err
	}
	password := filepath.Join(p.dir, "password")
	if err := os.WriteFile(password, []byte("billing\n"), 0o600); err != nil {
		return err
	}
	defer func() { _ = os.Remove(password) }()
	if p.user != nil {
		if err := os.Chown(password, int(p.user.Uid), int(p.user.Gid)); err != nil {
			return err
		}
	}

	args := []string{
		"-D", draft, "--username=billing", "--pwfile=" + password, "--auth=scram-sha-256",
		"--locale=C", "--encoding=UTF8",
	}
	if !p.opts.Durable {
		args = append(args, "--no-sync")
	}
	if err := p.run(ctx, p.command("initdb", args...)); err != nil {
		return err
	}
	return os.Rename(draft, p.data())
}

// copyFrom makes the data a copy of the primary's that follows it.
func (p *Postgres) copyFrom(ctx context.Context, primary *Postgres) error {
	if err := os.RemoveAll(p.data()); err != nil {
		return err
	}
	return p.run(ctx, p.command("pg_basebackup", "-D", p.data(), "-d", primary.URL("postgres"),
		"--write-recovery-conf", "--checkpoint=fast", "--no-sync"))
}

// Promote makes a stand-by a primary.
func (p *Postgres) Promote(ctx context.Context) error { return p.exec(ctx, "SELECT pg_promote()") }

// Follow stops a server, and starts it as a stand-by of primary.
func (p *Postgres) Follow(ctx context.Context, primary *Postgres) error {
	if err := p.Stop(ctx); err != nil {
		return err
	}
	if err := p.copyFrom(ctx, primary); err != nil {
		return err
	}
	return p.Start(ctx)
}

func (p *Postgres) command(program string, args ...string) *exec.Cmd {
	cmd := exec.Command(filepath.Join(p.bin, program), args...)
	cmd.Env = append(cmd.Environ(), "LC_ALL=C")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: p.user}
	return cmd
}

func (p *Postgres) data() string { return filepath.Join(p.dir, "data") }
