package devstack

import (
	"context"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"

	"github.com/redis/go-redis/v9"
)

// RedisOptions says what StartRedis starts.
type RedisOptions struct {
	Dir     string // of the data and the log; made if it is missing
	Port    int    // preferred; the next free one is taken if it is in use, 0 means any
	Persist bool   // false: every start is an empty one

	scratch bool // remove Dir when this process dies
}

// Redis is a private server on the loopback interface. Its methods, but not the
// server, are for one goroutine at a time.
type Redis struct {
	opts RedisOptions
	bin  string
	dir  string
	port int
	daemon
}

// StartRedis returns when the server answers. A server that a former run left
// behind in the same directory is stopped first.
func StartRedis(ctx context.Context, opts RedisOptions) (*Redis, error) {
	bin, err := FindRedis()
	if err != nil {
		return nil, err
	}
	dir, err := place(opts.Dir, nil)
	if err != nil {
		return nil, err
	}
	r := &Redis{opts: opts, bin: bin, dir: dir}
	r.daemon = daemon{name: "Redis", log: filepath.Join(dir, "log"), death: syscall.SIGTERM}
	if opts.scratch {
		r.scratch = dir
	}

	if err := stopLeftover(ctx, r.pidFile(), r.pidFile(), syscall.SIGTERM); err != nil {
		return nil, err
	}
	err = onFreePort(opts.Port, func(port int) error {
		r.port = port
		return r.Start(ctx)
	})
	if err != nil {
		return nil, err
	}
	return r, nil
}

// URL is the address of the server, with its first database.
func (r *Redis) URL() string { return fmt.Sprintf("redis://127.0.0.1:%d/0", r.port) }

// Start starts the server again after Stop or Kill, on the same port.
func (r *Redis) Start(ctx context.Context) error {
	appendOnly := "no"
	if r.opts.Persist {
		appendOnly = "yes"
	}
	cmd := exec.Command(r.bin,
		"--bind", "127.0.0.1",
		"--port", strconv.Itoa(r.port),
		"--dir", r.dir,
		"--save", "",
		"--appendonly", appendOnly,
		"--pidfile", r.pidFile(),
		"--set-proc-title", "no", // the command line has to stay: stopLeftover looks at it
	)
	return r.start(ctx, cmd, r.ready)
}

// Stop ends the server; the end of ctx makes it a Kill.
func (r *Redis) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return r.proc.Stop(ctx)
}

// Kill ends the server at once.
func (r *Redis) Kill() error { return r.proc.Kill() }

func (r *Redis) ready(ctx context.Context) error {
	address := net.JoinHostPort("127.0.0.1", strconv.Itoa(r.port))
	// The client writes every failed dial to stderr.
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return err
	}
	if err := conn.Close(); err != nil {
		return err
	}
	client := redis.NewClient(&redis.Options{Addr: address})
	defer func() { _ = client.Close() }()
	if err := client.Ping(ctx).Err(); err != nil {
		return err
	}
	info, err := client.Info(ctx, "server").Result()
	if err != nil {
		return err
	}
	pid, err := os.ReadFile(r.pidFile())
	if err != nil {
		return err
	}
	if !strings.Contains(info, "process_id:"+strings.TrimSpace(string(pid))+"\r\n") {
		return fmt.Errorf("port %d belongs to another Redis: address already in use", r.port)
	}
	return nil
}

func (r *Redis) pidFile() string { return filepath.Join(r.dir, "redis.pid") }
