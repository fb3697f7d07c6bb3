package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os/exec"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/winaity/billing/internal/devstack"
)

// stopTimeout is how long an instance that was told to stop may take: a little
// more than what it grants itself.
const stopTimeout = 15 * time.Second

// instance is a process of the service, which may be started again and again.
type instance struct {
	name, binary, log string
	env               []string
	addr              string
	front             *link   // by which clients reach it
	links             []*link // all that can be disturbed, the front included
	died              func(*instance, error)

	mu   sync.Mutex // held by the fault that has the process
	proc *devstack.Process
	pid  int          // of the leader of the process group
	told *atomic.Bool // to end
}

// start starts the process, which is not ready yet.
func (i *instance) start() error {
	cmd := exec.Command(i.binary, "serve")
	cmd.Env = i.env
	proc, err := startLogged(cmd, i.log)
	if err != nil {
		return err
	}
	told := new(atomic.Bool)
	i.proc, i.pid, i.told = proc, cmd.Process.Pid, told
	go func() {
		<-proc.Done()
		if !told.Load() {
			i.died(i, proc.Err())
		}
	}()
	return nil
}

// ready returns nil when the instance and all that it needs is there.
func (i *instance) ready(ctx context.Context) error {
	select {
	case <-i.proc.Done():
		return fatal{fmt.Errorf("it ended: %w; see %s", i.proc.Err(), i.log)}
	default:
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+i.addr+"/readyz", http.NoBody)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return errors.New(response.Status)
	}
	return nil
}

// kill ends the process at once.
func (i *instance) kill() error {
	i.told.Store(true)
	_ = i.thaw() // what passes signals on may be frozen too; no matter if it is gone
	return i.proc.Kill()
}

// terminate asks the process to end. That it does not is an error.
func (i *instance) terminate(ctx context.Context) error {
	i.told.Store(true)
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	return i.proc.Stop(ctx)
}

// freeze stops the process in the middle of whatever it does; thaw lets it go on
// as if nothing had happened.
func (i *instance) freeze() error { return syscall.Kill(-i.pid, syscall.SIGSTOP) }
func (i *instance) thaw() error   { return syscall.Kill(-i.pid, syscall.SIGCONT) }
