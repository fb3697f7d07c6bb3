// Package devstack runs what billing needs without Docker: private Postgres and
// Redis processes and an in-process NATS server. `make run` and the integration
// tests use it; the service itself must not.
package devstack

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os/exec"
	"strconv"
	"syscall"
	"time"
)

// watcher runs a program and sends it the signals that arrive on stdin, one
// number a line. Only the parent holds the other end of that pipe, so when it
// closes the parent is dead, however it died, and the program has to end too.
const watcher = `
death=$1 scratch=$2
shift 2
exec 3<&0
"$@" </dev/null 3<&- &
pid=$!
exec >/dev/null 2>&1
(
	while read -r signal <&3; do kill -"$signal" "$pid"; done
	trap '' TERM # outlive the shell below, which ends with the program
	kill -"$death" "$pid"
	tries=300
	while [ $tries -gt 0 ] && kill -0 "$pid"; do
		sleep 0.1
		tries=$((tries - 1))
	done
	[ $tries -gt 0 ] || kill -KILL "$pid"
	[ -z "$scratch" ] || rm -rf "$scratch"
) &
watch=$!
wait "$pid"
code=$?
kill "$watch"
exit $code
`

const killTimeout = 10 * time.Second

// Process is a child process that never outlives this one, even if this one is
// killed with SIGKILL. It has a process group of its own, so a Ctrl-C in the
// terminal does not reach it.
type Process struct {
	cmd     *exec.Cmd
	signals io.Writer
	done    chan struct{}
	err     error
}

// StartProcess starts cmd, whose Stdin must be unset. When this process dies
// cmd is sent SIGTERM.
func StartProcess(cmd *exec.Cmd) (*Process, error) {
	return startProcess(cmd, syscall.SIGTERM, "")
}

// startProcess also says which signal follows the death of this process, and
// which directory, if any, is removed then.
func startProcess(cmd *exec.Cmd, death syscall.Signal, scratch string) (*Process, error) {
	if cmd.Err != nil {
		return nil, cmd.Err
	}
	args := []string{"sh", "-c", watcher, "sh", strconv.Itoa(int(death)), scratch, cmd.Path}
	cmd.Args = append(args, cmd.Args[1:]...)
	cmd.Path = "/bin/sh"
	if cmd.SysProcAttr == nil {
		cmd.SysProcAttr = &syscall.SysProcAttr{}
	}
	cmd.SysProcAttr.Setpgid = true

	signals, err := cmd.StdinPipe()
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	p := &Process{cmd: cmd, signals: signals, done: make(chan struct{})}
	go func() {
		p.err = cmd.Wait()
		close(p.done)
	}()
	return p, nil
}

// Done is closed when the process has ended.
func (p *Process) Done() <-chan struct{} { return p.done }

// Err is nil when the process ended with exit status 0. It waits for the end.
func (p *Process) Err() error {
	<-p.done
	return p.err
}

// Stop sends SIGTERM and waits for the end. When ctx is over before, the
// process is killed, which is an error.
func (p *Process) Stop(ctx context.Context) error {
	return p.stop(ctx, syscall.SIGTERM)
}

func (p *Process) stop(ctx context.Context, sig syscall.Signal) error {
	p.Signal(sig)
	select {
	case <-p.done:
		return nil
	case <-ctx.Done():
	}
	if err := p.Kill(); err != nil {
		return err
	}
	return fmt.Errorf("killed, because it did not stop in time: %w", context.Cause(ctx))
}

// Kill ends the process at once and returns when it is gone.
func (p *Process) Kill() error {
	p.Signal(syscall.SIGKILL)
	select {
	case <-p.done:
		return nil
	case <-time.After(killTimeout):
		group := p.cmd.Process.Pid
		return errors.Join(fmt.Errorf("process group %d does not end", group), syscall.Kill(-group, syscall.SIGKILL))
	}
}

// Signal sends sig to the process, unless it has ended.
func (p *Process) Signal(sig syscall.Signal) {
	// The write fails only when the process has ended.
	_, _ = fmt.Fprintln(p.signals, int(sig))
}
