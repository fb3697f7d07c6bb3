package devstack_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/winaity/billing/internal/devstack"
)

// doomedDir in the environment makes TestNothingOutlivesAKilledProcess the
// process that is killed.
const doomedDir = "DEVSTACK_TEST_DOOMED_DIR"

func TestNothingOutlivesAKilledProcess(t *testing.T) {
	if dir := os.Getenv(doomedDir); dir != "" {
		waitForDeath(t, dir)
	}
	dir, temp := t.TempDir(), t.TempDir()
	doomed := exec.Command(os.Args[0], "-test.run=^"+t.Name()+"$")
	doomed.Env = append(os.Environ(), doomedDir+"="+dir, "TMPDIR="+temp)
	doomed.Stderr = os.Stderr
	out, err := doomed.StdoutPipe()
	check(t, err)
	check(t, doomed.Start())
	t.Cleanup(func() { _ = doomed.Process.Kill() })
	database, err := bufio.NewReader(out).ReadString('\n')
	check(t, err)
	check(t, ping(t, strings.TrimSpace(database)))
	pidFiles := []string{
		filepath.Join(dir, "pid"),
		filepath.Join(dir, "redis.pid"),
		filepath.Join(temp, "*", "*", "redis.pid"),
		filepath.Join(temp, "*", "data", "postmaster.pid"),
	}
	var pids []int
	for _, file := range pidFiles {
		eventually(t, file, func() bool {
			pid, ok := readPid(t, file)
			if ok {
				pids = append(pids, pid)
			}
			return ok
		})
	}

	check(t, doomed.Process.Kill())
	_ = doomed.Wait()

	for _, pid := range pids {
		eventually(t, "end of process "+strconv.Itoa(pid), func() bool { return !alive(pid) })
	}
	eventually(t, "removal of the tests' files", func() bool {
		left, err := filepath.Glob(filepath.Join(temp, "*", "*"))
		check(t, err)
		return len(left) == 0
	})
}

func waitForDeath(t *testing.T, dir string) {
	t.Helper()
	database := devstack.DatabaseForTest(t, nil)
	devstack.RedisForTest(t)
	_, err := devstack.StartRedis(t.Context(), devstack.RedisOptions{Dir: dir})
	check(t, err)
	_, err = devstack.StartProcess(exec.Command("sh", "-c", `echo $$ >"$0/pid"; exec sleep 1000`, dir))
	check(t, err)
	_, err = os.Stdout.WriteString(database + "\n")
	check(t, err)
	<-t.Context().Done()
}

func readPid(t *testing.T, pattern string) (pid int, ok bool) {
	t.Helper()
	files, err := filepath.Glob(pattern)
	check(t, err)
	if len(files) != 1 {
		return 0, false
	}
	content, err := os.ReadFile(files[0])
	check(t, err)
	_, err = fmt.Sscan(string(content), &pid)
	return pid, err == nil
}

func alive(pid int) bool {
	// An orphan may stay a zombie when process 1 is not an init.
	state, err := exec.Command("ps", "-o", "stat=", "-p", strconv.Itoa(pid)).Output()
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
		var ok bool
		pid, ok = readPid(t, out)
		return ok
	})
	group, err := syscall.Getpgid(pid)
	check(t, err)
	if group == syscall.Getpgrp() {
		t.Error("a Ctrl-C in the terminal would reach the process")
	}
}
