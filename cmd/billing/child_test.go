package main

import (
	"context"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"os/exec"
	"os/signal"
	"strings"
	"sync"
	"syscall"
	"testing/fstest"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

// childVariable says, in the environment of this test binary, that it is to be
// one of the children instead of running tests.
const childVariable = "BILLING_TEST_CHILD"

// poisonVariable has the id of the event that a child dies of.
const poisonVariable = "BILLING_TEST_POISON"

// hurry is the time for a batch of the child that stops in one.
const hurry = time.Second

// The children: programs that die, or hang, at an exact step.
const (
	diesBeforeCommit     = "dies after the work, before the commit"
	diesAfterCommit      = "dies after the commit, before the answer"
	diesBeforePublish    = "dies after the commit, before the publication"
	diesAfterPublish     = "dies after the publication, before the mark"
	diesAfterEffect      = "dies after the commit of an effect, before the acknowledgement"
	diesOfPoison         = "dies of one event, at each delivery"
	hangsInBatch         = "hangs with a batch in hand, for ever"
	stopsInBatch         = "is stopped between two waves of a batch"
	stopsInTransaction   = "is stopped between the writes and the commit"
	serves               = "serves"
	migratesWithoutHaste = "migrates"
)

var children = map[string]func() int{
	diesBeforeCommit:  serving(func(p *ports) { p.commands = hookedStore{Store: p.commands, written: die} }),
	diesAfterCommit:   serving(func(p *ports) { p.commands = hookedStore{Store: p.commands, committed: die} }),
	diesBeforePublish: serving(func(p *ports) { p.publisher = hookedPublisher{Publisher: p.publisher, before: dieOf} }),
	diesAfterPublish:  serving(func(p *ports) { p.publisher = hookedPublisher{Publisher: p.publisher, after: die} }),
	diesAfterEffect:   serving(func(p *ports) { p.claims = hookedClaims{Claims: p.claims, done: die} }),
	diesOfPoison: serving(func(p *ports) {
		p.claims = hookedClaims{Claims: p.claims, claimed: func(key string) {
			if strings.HasPrefix(key, os.Getenv(poisonVariable)+":") {
				die()
			}
		}}
	}),
	hangsInBatch: serving(func(p *ports) {
		p.publisher = hookedPublisher{Publisher: p.publisher, before: func([]messaging.Message) {
			fmt.Fprintln(os.Stderr, "hanging")
			select {}
		}}
	}),
	stopsInBatch: serving(func(p *ports) {
		p.outbox = hurriedOutbox{p.outbox, hurry}
		p.publisher = hookedPublisher{Publisher: p.publisher, before: func(batch []messaging.Message) {
			fmt.Fprintln(os.Stderr, "publishing", len(batch))
		}, after: sync.OnceFunc(stop)}
	}),
	stopsInTransaction: serving(func(p *ports) { p.commands = hookedStore{Store: p.commands, written: stop} }),
	serves:             serving(nil),
	migratesWithoutHaste: func() int {
		_, err := postgres.Migrate(context.Background(), must(postgres.ParseURL(os.Getenv("DATABASE_URL"))), withBlockedMigration())
		fmt.Fprintln(os.Stderr, err)
		return exitFailure
	},
}

func serving(wrap func(*ports)) func() int {
	return func() int { return runWrapped(context.Background(), os.Getenv, os.Stderr, wrap) }
}

// die ends the process as a power cut would.
func die() {
	_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	select {}
}

func dieOf([]messaging.Message) { die() }

// stop is what a hung virtual machine is like. It returns when the process is
// continued.
func stop() {
	continued := make(chan os.Signal, 1)
	signal.Notify(continued, syscall.SIGCONT)
	fmt.Fprintln(os.Stderr, "stopped")
	_ = syscall.Kill(os.Getpid(), syscall.SIGSTOP)
	<-continued // the signal may reach this thread last
	fmt.Fprintln(os.Stderr, "continued")
}

// child is an instance in a process of its own.
type child struct {
	*instance
	process *devstack.Process
}

// start starts a child. It may be gone before it takes a request.
func (s *stack) start(name string, overrides map[string]string) *child {
	s.Helper()
	env := map[string]string{childVariable: name}
	maps.Copy(env, s.variables(overrides))
	cmd := exec.Command(os.Args[0])
	cmd.Env = os.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	c := &child{instance: &instance{stack: s, log: &logBuffer{}}}
	cmd.Stderr = c.log
	var err error
	c.process, err = devstack.StartProcess(cmd)
	s.must(err)
	s.Cleanup(func() {
		s.must(c.process.Kill())
		if s.Failed() {
			s.Logf("the log of the child that %s:\n%s", name, c.log)
		}
	})
	return c
}

// serveIn is start, and waits until the child takes requests.
func (s *stack) serveIn(name string, overrides map[string]string) *child {
	s.Helper()
	c := s.start(name, overrides)
	c.awaitAddress()
	return c
}

// awaitDeath waits until the child has killed itself.
func (c *child) awaitDeath() {
	c.Helper()
	c.eventually("the child is dead", func() bool {
		select {
		case <-c.process.Done():
			return true
		default:
			return false
		}
	})
	if err := c.process.Err(); err == nil || !strings.Contains(err.Error(), "137") {
		c.Fatalf("the child did not die as it should: %v\n%s", err, c.log)
	}
}

// says waits until the child has written line.
func (c *child) says(line string) {
	c.Helper()
	c.eventually("the child says "+line, func() bool { return strings.Contains(c.log.String(), line+"\n") })
}

// withBlockedMigration returns the migrations and one more, which has done half
// of its work when it has to wait for whoever reads the outbox.
func withBlockedMigration() fs.FS {
	all := fstest.MapFS{"99999_half_done.sql": {Data: []byte("-- +goose Up\nCREATE TABLE half_done ();\nALTER TABLE outbox ADD COLUMN half_done text;\n")}}
	migrations := sql.Migrations()
	for _, name := range must(fs.Glob(migrations, "*.sql")) {
		all[name] = &fstest.MapFile{Data: must(fs.ReadFile(migrations, name))}
	}
	return all
}

// must is for what cannot fail: the files are embedded.
func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}
