// Command dev runs billing without Docker: `make run` builds and starts it. It
// starts a private Postgres, Redis and NATS with their data under .dev, migrates
// the database, and runs the service until Ctrl-C.
//
// Where DATABASE_URL, NATS_URL or REDIS_URL is set, that server is used instead.
//
// `dev install` only makes sure that the programs for that are installed.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
)

const directory = ".dev"

func main() {
	stop, kill := signals()
	if err := run(stop, kill, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "dev:", err)
		os.Exit(1)
	}
}

// signals returns a context that the first signal ends, and one that the second
// ends.
func signals() (stop, kill context.Context) {
	stop, first := context.WithCancel(context.Background())
	kill, second := context.WithCancelCause(context.Background())
	received := make(chan os.Signal, 2)
	signal.Notify(received, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	go func() {
		<-received
		first()
		<-received
		second(errors.New("a second signal came"))
	}()
	return stop, kill
}

func run(stop, kill context.Context, args []string) error {
	switch {
	case len(args) == 0:
		return launch(stop, kill)
	case len(args) == 1 && args[0] == "install":
		return install(stop, programs)
	default:
		return errors.New("usage: dev [install]")
	}
}

func launch(stop, kill context.Context) error {
	unlock, err := lock(filepath.Join(directory, "lock"))
	if err != nil {
		return err
	}
	defer unlock()

	if err := removeEnvFile(); err != nil { // of a run that was killed
		return err
	}

	s := &stack{}
	err = s.run(stop)
	if stop.Err() != nil {
		err = nil // it ended because it was told to
	}
	if len(s.running) > 0 {
		fmt.Println("Stopping; another Ctrl-C does not wait.")
	}
	return errors.Join(err, s.stop(kill))
}

// lock fails when another process has locked the same file. The lock goes with
// the process, however it ends.
func lock(path string) (unlock func(), err error) {
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		return nil, err
	}
	file, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return nil, err
	}
	err = syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
	if errors.Is(err, syscall.EWOULDBLOCK) {
		err = errors.New("billing already runs in this directory: stop the other `make run` first")
	}
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	return func() { _ = file.Close() }, nil
}
