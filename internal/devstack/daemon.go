package devstack

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"time"
)

const (
	startTimeout = time.Minute
	stopTimeout  = 20 * time.Second
	pollInterval = 10 * time.Millisecond
	logTail      = 2000
)

// daemon is a server program that writes a log file.
type daemon struct {
	name    string
	log     string
	death   syscall.Signal // to send when this process dies
	scratch string         // directory, if any, to remove when this process dies
	proc    *Process
}

// start runs cmd until ready returns nil. Without that, nothing stays behind.
func (d *daemon) start(ctx context.Context, cmd *exec.Cmd, ready func(context.Context) error) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := d.launch(cmd); err != nil {
		return err
	}
	var notReady error
	err := poll(ctx, func() (bool, error) {
		select {
		case <-d.proc.Done():
			return false, fmt.Errorf("it ended: %w", d.proc.Err())
		default:
		}
		notReady = ready(ctx)
		return notReady == nil, nil
	})
	if err != nil {
		return d.withLog(errors.Join(err, notReady, d.proc.Kill()))
	}
	return nil
}

// run runs cmd, which is expected to end by itself.
func (d *daemon) run(ctx context.Context, cmd *exec.Cmd) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := d.launch(cmd); err != nil {
		return err
	}
	select {
	case <-d.proc.Done():
	case <-ctx.Done():
		return d.withLog(errors.Join(context.Cause(ctx), d.proc.Kill()))
	}
	return d.Err()
}

func (d *daemon) launch(cmd *exec.Cmd) error {
	log, err := os.Create(d.log)
	if err != nil {
		return err
	}
	defer func() { _ = log.Close() }() // the child has its own
	cmd.Stdout, cmd.Stderr = log, log
	// Another user may not be allowed to enter our working directory.
	cmd.Dir = filepath.Dir(d.log)
	d.proc, err = startProcess(cmd, d.death, d.scratch)
	if err != nil {
		return fmt.Errorf("start %s: %w", d.name, err)
	}
	return nil
}

// Done is closed when the server has ended.
func (d *daemon) Done() <-chan struct{} { return d.proc.Done() }

// Err waits for the end of the server. It is nil when that was exit status 0,
// else it shows the end of the log.
func (d *daemon) Err() error {
	if err := d.proc.Err(); err != nil {
		return d.withLog(err)
	}
	return nil
}

func (d *daemon) withLog(err error) error {
	log, _ := os.ReadFile(d.log)
	if len(log) > logTail {
		log = log[len(log)-logTail:]
	}
	return fmt.Errorf("%s: %w\n%s", d.name, err, bytes.TrimSpace(log))
}

// stopLeftover ends the server of a former run that was killed together with
// its watcher. mark is a part of the command line that only this server has:
// the process id in pidFile may belong to a stranger by now.
func stopLeftover(ctx context.Context, pidFile, mark string, sig syscall.Signal) error {
	content, err := os.ReadFile(pidFile)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	first, _, _ := strings.Cut(string(content), "\n")
	pid, err := strconv.Atoi(strings.TrimSpace(first))
	if err != nil || pid <= 0 {
		return os.Remove(pidFile)
	}
	ours := func() bool { return strings.Contains(commandLine(pid), mark) }
	if ours() {
		if err := endLeftover(ctx, pid, sig, ours); err != nil {
			return fmt.Errorf("stop the leftover process %d: %w", pid, err)
		}
	}
	// The servers refuse to start while the process in their pid file lives.
	if err := os.Remove(pidFile); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

func endLeftover(ctx context.Context, pid int, sig syscall.Signal, alive func() bool) error {
	gone := func() (bool, error) { return !alive(), nil }
	for _, sig := range []syscall.Signal{sig, syscall.SIGKILL} {
		if err := syscall.Kill(pid, sig); err != nil && !errors.Is(err, syscall.ESRCH) {
			return err
		}
		wait, cancel := context.WithTimeout(ctx, stopTimeout)
		err := poll(wait, gone)
		cancel()
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return errors.New("it does not end when killed")
}

// commandLine is empty when there is no such process.
func commandLine(pid int) string {
	if args, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", pid)); err == nil {
		return string(args)
	}
	out, _ := exec.Command("ps", "-ww", "-o", "command=", "-p", strconv.Itoa(pid)).Output()
	return string(out)
}

// poll calls done until it is true or fails, or ctx is over.
func poll(ctx context.Context, done func() (bool, error)) error {
	tick := time.NewTicker(pollInterval)
	defer tick.Stop()
	for {
		if ok, err := done(); ok || err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}
