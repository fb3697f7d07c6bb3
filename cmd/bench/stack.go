package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/winaity/billing/internal/devstack"
)

// patience bounds every wait for something that must happen.
const patience = 5 * time.Minute

// stack is the service with all that it needs, and a database for pgbench.
// Everything is durable: what a server has acknowledged is on the disk.
type stack struct {
	dir       string
	postgres  *devstack.Postgres
	db        *pgx.Conn                     // to the service's database, for what the service does not do
	filled    int                           // invoices, by fillInvoices
	paid      int                           // invoices, by pay
	addresses []string                      // of the instances
	shells    []int                         // whose children the instances are
	parts     []func(context.Context) error // stop what was started, in the order of starting
}

// startStack starts everything. What was started is in the stack that it
// returns, also with an error.
func startStack(ctx context.Context, o options, instances, rows int) (s *stack, err error) {
	s = &stack{}
	if s.dir, err = os.MkdirTemp(o.dir, "bench-"); err != nil {
		return s, err
	}
	s.parts = append(s.parts, s.remove)
	if s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: s.postgresDir(), Durable: true}); err != nil {
		return s, err
	}
	s.parts = append(s.parts, s.postgres.Stop)
	nats, err := devstack.StartNATS(ctx, devstack.NATSOptions{Dir: filepath.Join(s.dir, "nats"), SyncAlways: true})
	if err != nil {
		return s, err
	}
	s.parts = append(s.parts, nats.Stop)
	redis, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(s.dir, "redis")})
	if err != nil {
		return s, err
	}
	s.parts = append(s.parts, redis.Stop)
	if err := s.createDatabases(ctx, rows); err != nil {
		return s, err
	}
	for range instances {
		if err := s.startInstance(ctx, o.billing, nats.URL(), redis.URL()); err != nil {
			return s, err
		}
	}
	return s, nil
}

func (s *stack) postgresDir() string { return filepath.Join(s.dir, "postgres") }

// remove removes what the servers wrote.
func (s *stack) remove(ctx context.Context) error {
	// Postgres may be elsewhere, behind a symbolic link, if we are root.
	elsewhere, err := filepath.EvalSymlinks(s.postgresDir())
	if err != nil {
		elsewhere = s.postgresDir()
	}
	// What initdb started writes for a moment longer when initdb was interrupted.
	return await(ctx, "data is removed from "+elsewhere, func() (bool, error) {
		return os.RemoveAll(elsewhere) == nil && os.RemoveAll(s.dir) == nil, nil
	})
}

// stop stops what was started, the last first.
func (s *stack) stop(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for _, part := range slices.Backward(s.parts) {
		err = errors.Join(err, part(ctx))
	}
	return err
}

// startInstance starts a process of the service and waits until it is ready. What
// it warns of is to be seen.
func (s *stack) startInstance(ctx context.Context, binary, nats, redis string) error {
	port, err := devstack.FreePort(0)
	if err != nil {
		return err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	cmd := exec.Command(binary, "serve") //nolint:noctx // it is stopped in order
	cmd.Env = []string{
		"PATH=" + os.Getenv("PATH"),
		"DATABASE_URL=" + s.postgres.URL(database), "NATS_URL=" + nats, "REDIS_URL=" + redis,
		"BILLING_HTTP_ADDR=" + address, "BILLING_LOG_LEVEL=warn",
	}
	cmd.Stdout, cmd.Stderr = os.Stderr, os.Stderr
	process, err := devstack.StartProcess(cmd)
	if err != nil {
		return err
	}
	s.parts = append(s.parts, process.Stop)
	s.addresses, s.shells = append(s.addresses, address), append(s.shells, cmd.Process.Pid)
	return await(ctx, "the service is ready", func() (bool, error) {
		select {
		case <-process.Done():
			return false, fmt.Errorf("%s ended: %w", binary, process.Err())
		default:
			return ready(ctx, address)
		}
	})
}

func ready(ctx context.Context, address string) (bool, error) {
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+address+"/readyz", http.NoBody)
	if err != nil {
		return false, err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false, nil //nolint:nilerr // it does not listen yet
	}
	return response.StatusCode == http.StatusOK, response.Body.Close()
}

// memory returns how much memory, in bytes, the largest instance had at its peak:
// 0 where there is no /proc to ask.
func (s *stack) memory() int {
	most := 0
	for _, shell := range s.shells {
		children, _ := os.ReadFile(fmt.Sprintf("/proc/%d/task/%d/children", shell, shell))
		for child := range strings.FieldsSeq(string(children)) { // the instance, and what watches over it
			status, _ := os.ReadFile("/proc/" + child + "/status") //nolint:gosec // the kernel says which
			_, peak, _ := strings.Cut(string(status), "VmHWM:")
			peak, _, _ = strings.Cut(peak, "kB")
			kilobytes, _ := strconv.Atoi(strings.TrimSpace(peak))
			most = max(most, kilobytes*1024)
		}
	}
	return most
}

// await waits until done is true or fails.
func await(ctx context.Context, what string, done func() (bool, error)) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("gave up waiting until %s", what))
	defer cancel()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		if !pause(ctx, 50*time.Millisecond) {
			return context.Cause(ctx)
		}
	}
}

// pause returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
