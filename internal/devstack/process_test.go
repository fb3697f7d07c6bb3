package devstack_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/winaity/billing/internal/devstack"
)

// doomedDir makes the test binary a process that starts servers in that
// directory and then waits for its death.
const doomedDir = "DEVSTACK_TEST_DOOMED_DIR"

type doomed struct{ Postgres, Redis string }

func runDoomed(dir string) {
	var (
		ctx = context.Background()
		t   doomedTB
	)
	database := devstack.DatabaseForTest(t, nil)
	redis := devstack.RedisForTest(t)
	if _, err := devstack.StartProcess(exec.Command("sh", "-c", `echo $$ >"$0/pid"; exec sleep 1000`, dir)); err != nil {
		t.Fatal(err)
	}
	_, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		t.Fatal(err)
	}
	if err := json.NewEncoder(os.Stdout).Encode(doomed{database, redis.URL()}); err != nil {
		t.Fatal(err)
	}
	select {}
}

// doomedTB is a test that never gets to its cleanup.
type doomedTB struct{ testing.TB }

func (doomedTB) Helper()                  {}
func (doomedTB) Cleanup(func())           {}
func (doomedTB) Context() context.Context { return context.Background() }
func (doomedTB) Fatal(args ...any) {
	fmt.Fprintln(os.Stderr, args...)
	os.Exit(1)
}

func TestNothingOutlivesAKilledProcess(t *testing.T) {
	dir, temp := t.TempDir(), sharedDir(t)
	launcher := exec.Command(os.Args[0])
	launcher.Env = append(os.Environ(), doomedDir+"="+dir, "TMPDIR="+temp)
	launcher.Stderr = os.Stderr
	check(t, os.Chmod(temp, 0o1777))
	out, err := launcher.StdoutPipe()
	check(t, err)
	check(t, launcher.Start())
	t.Cleanup(func() { _ = launcher.Process.Kill() })
	line, err := bufio.NewReader(out).ReadBytes('\n')
	check(t, err)
	var started doomed
	check(t, json.Unmarshal(line, &started))
	check(t, ping(t, started.Postgres))
	eventually(t, "all files", func() bool { return len(processesIn(t, dir, temp)) == 4 })
	pids := processesIn(t, dir, temp)

	check(t, launcher.Process.Kill())
	_ = launcher.Wait()

	for _, pid := range pids {
		eventually(t, "end of process "+fmt.Sprint(pid), func() bool { return !alive(pid) })
	}
	eventually(t, "removal of the servers' files", func() bool {
		left, err := os.ReadDir(temp)
		check(t, err)
		return len(left) == 0
	})
}

// processesIn reads the files in which programs leave their process ids.
func processesIn(t *testing.T, dirs ...string) []int {
	t.Helper()
	var pids []int
	for _, dir := range dirs {
		for _, pattern := range []string{"pid", "*/redis.pid", "*/data/postmaster.pid"} {
			files, err := filepath.Glob(filepath.Join(dir, pattern))
			check(t, err)
			for _, file := range files {
				content, err := os.ReadFile(file)
				check(t, err)
				var pid int
				if _, err := fmt.Sscan(string(content), &pid); err == nil {
					pids = append(pids, pid)
				}
			}
		}
	}
	return pids
}

func alive(pid int) bool {
	// An orphan may stay a zombie when process 1 is not an init.
	state, err := exec.Command("ps", "-o", "stat=", "-p", fmt.Sprint(pid)).Output()
	return err == nil && !strings.HasPrefix(string(state), "Z")
}

func TestProcessExitStatus(t *testing.T) {
	process, err := devstack.StartProcess(exec.Command("sh", "-c", "exit 3"))
	check(t, err)
	var exit *exec.ExitError
	if err := process.Err(); !errors.As(err, &exit) || exit.ExitCode() != 3 {
		t.Errorf("error = %v, want exit status 3", err)
	}
	if _, err := devstack.StartProcess(exec.Command("no-such-program")); err == nil {
		t.Error("started a program that does not exist")
	}
}

func TestProcessStop(t *testing.T) {
	process, err := devstack.StartProcess(exec.Command("sleep", "1000"))
	check(t, err)
	check(t, process.Stop(t.Context()))
	check(t, process.Stop(t.Context()))
	check(t, process.Kill())
}

func TestProcessThatIgnoresSIGTERMIsKilled(t *testing.T) {
	ready := filepath.Join(t.TempDir(), "ready")
	process, err := devstack.StartProcess(exec.Command("sh", "-c", `trap '' TERM; >"$0"; while :; do sleep 0.1; done`, ready))
	check(t, err)
	eventually(t, "trap", func() bool { _, err := os.Stat(ready); return err == nil })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := process.Stop(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("stop = %v, want that it was killed", err)
	}
	<-process.Done()
}

func TestProcessHasItsOwnGroup(t *testing.T) {
	out := filepath.Join(t.TempDir(), "pid")
	process, err := devstack.StartProcess(exec.Command("sh", "-c", `echo $$ >"$0"; exec sleep 1000`, out))
	check(t, err)
	t.Cleanup(func() { check(t, process.Kill()) })
	var pid int
	eventually(t, "process id", func() bool {
		content, _ := os.ReadFile(out)
		_, err := fmt.Sscan(string(content), &pid)
		return err == nil
	})
	group, err := syscall.Getpgid(pid)
	check(t, err)
	if group == syscall.Getpgrp() {
		t.Error("a Ctrl-C in the terminal would reach the process")
	}
}
