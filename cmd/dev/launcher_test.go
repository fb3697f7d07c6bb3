package main

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/winaity/billing/internal/devstack"
)

// dev is a running launcher.
type dev struct {
	*exec.Cmd
	t    *testing.T
	dir  string
	out  *lines
	once sync.Once
}

// checkout is a directory as `make run` leaves it before it starts dev.
func checkout(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	bin := filepath.Join(dir, ".dev", "bin")
	check(t, os.MkdirAll(bin, 0o755))
	self, err := os.ReadFile(os.Args[0])
	check(t, err)
	for _, program := range []string{"dev", "billing"} {
		check(t, os.WriteFile(filepath.Join(bin, program), self, 0o755))
	}
	t.Cleanup(func() {
		// Postgres may live outside, when it cannot enter the directory.
		if where, err := filepath.EvalSymlinks(filepath.Join(dir, ".dev", "postgres")); err == nil {
			check(t, os.RemoveAll(where))
		}
	})
	return dir
}

// runningServers is an environment that names servers, which are there sooner
// than private ones.
func runningServers(t *testing.T) []string {
	t.Helper()
	return []string{
		"DATABASE_URL=" + devstack.DatabaseForTest(t, nil),
		"NATS_URL=" + devstack.NATSForTest(t).URL(),
		"REDIS_URL=" + devstack.RedisForTest(t).URL(),
	}
}

func start(t *testing.T, dir string, env ...string) *dev {
	t.Helper()
	cmd := exec.Command(filepath.Join(dir, ".dev", "bin", "dev"))
	cmd.Dir = dir
	// Under the race detector every exit would take a second more.
	cmd.Env = append(append(os.Environ(), "GORACE=atexit_sleep_ms=0"), env...)
	d := &dev{Cmd: cmd, t: t, dir: dir, out: &lines{changed: make(chan struct{}, 1)}}
	cmd.Stdout, cmd.Stderr = d.out, d.out
	check(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		d.wait()
	})
	return d
}

// wait returns the exit code.
func (d *dev) wait() int {
	d.once.Do(func() {
		impatience := time.AfterFunc(time.Minute, func() { _ = d.Process.Signal(syscall.SIGQUIT) })
		defer impatience.Stop()
		_ = d.Wait()
	})
	return d.ProcessState.ExitCode()
}

func (d *dev) output() string { return d.out.String() }

func (d *dev) waitFor(text string) {
	d.t.Helper()
	deadline := time.After(time.Minute)
	for !strings.Contains(d.output(), text) {
		select {
		case <-deadline:
			d.t.Fatalf("%q was not written\n%s", text, d.output())
		case <-d.out.changed:
		}
	}
}

// env is what a shell finds in .dev/env.
func (d *dev) env() map[string]string {
	d.t.Helper()
	out, err := exec.Command("sh", "-c", `set -a; . "$0"; env`, filepath.Join(d.dir, ".dev", "env")).Output()
	check(d.t, err)
	env := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), "=")
		if strings.HasSuffix(name, "_URL") {
			env[name] = value
		}
	}
	if len(env) != 4 {
		d.t.Errorf("the env file has %v", env)
	}
	return env
}

func (d *dev) nothingIsLeft(env map[string]string) {
	d.t.Helper()
	for name, address := range env {
		if listening(d.t, address) {
			d.t.Errorf("%s=%s still answers", name, address)
		}
	}
	if _, err := os.Stat(filepath.Join(d.dir, ".dev", "env")); !errors.Is(err, os.ErrNotExist) {
		d.t.Errorf("the env file is still there: %v", err)
	}
}

func listening(t *testing.T, address string) bool {
	t.Helper()
	parsed, err := url.Parse(address)
	check(t, err)
	conn, err := net.Dial("tcp", parsed.Host)
	if err == nil {
		check(t, conn.Close())
	}
	return err == nil
}

// lines is a buffer that says when it grows.
type lines struct {
	mu      sync.Mutex
	buffer  bytes.Buffer
	changed chan struct{}
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	select {
	case l.changed <- struct{}{}:
	default:
	}
	return l.buffer.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.buffer.String()
}

func get(t *testing.T, url string) string {
	t.Helper()
	response, err := http.Get(url)
	check(t, err)
	body, err := io.ReadAll(response.Body)
	check(t, errors.Join(err, response.Body.Close()))
	return string(body)
}

func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	deadline := time.After(time.Minute)
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for !done() {
		select {
		case <-deadline:
			t.Fatalf("%s: not within a minute", what)
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
