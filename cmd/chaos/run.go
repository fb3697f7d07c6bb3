package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/winaity/billing/cmd/chaos/internal/check"
)

const progressInterval = 5 * time.Second

// run is one run: start, load and faults, quiet, verdict.
func run(ctx context.Context, o options, stderr io.Writer) (_ result, err error) {
	log := &shared{w: stderr}
	r := result{options: o, began: time.Now()}
	breaker := &injector{log: log, verbose: o.verbose, done: map[kind]int{}}
	fmt.Fprintf(log, "seed %d: starting Postgres, Redis, NATS and %d instances\n", o.seed, o.instances)
	s, err := startStack(ctx, o, breaker.disobeyed)
	defer func() { //nolint:contextcheck // what was started is stopped, also when ctx has ended
		keep := o.keep || err != nil || len(r.report.Violations) > 0
		if keep && s.dir != "" {
			fmt.Fprintln(log, "data and logs are in", s.dir)
		}
		err = errors.Join(err, s.stop(keep))
	}()
	if err != nil {
		return r, err
	}
	breaker.stack = s

	l := newLoad(o.seed, s.fronts())
	if err := s.chaos(ctx, o, log, l, breaker); err != nil {
		return r, err
	}
	watch, err := s.observe(ctx)
	if err != nil {
		return r, err
	}
	defer watch.close()
	quiet := time.Now()
	fmt.Fprintln(log, "all is mended: waiting for quiet")
	watch.awaitQuiet(ctx, log)
	r.quietAfter = time.Since(quiet)

	fmt.Fprintf(log, "asking for each of %d commands again, with Redis emptied\n", len(l.ledger))
	if err := s.flushRedis(ctx); err != nil {
		return r, err
	}
	again, cancel := context.WithTimeout(ctx, patience+time.Duration(len(l.ledger))*10*time.Millisecond)
	defer cancel()
	if err := l.askAgain(again); err != nil && ctx.Err() != nil {
		return r, err
	}
	watch.awaitQuiet(ctx, log)

	snapshot, err := watch.snapshot(ctx)
	if err != nil {
		return r, err
	}
	snapshot.Restarts = breaker.restarts
	ledger := make([]check.Command, len(l.ledger))
	for n, command := range l.ledger {
		ledger[n] = *command
	}
	r.report = check.Check(ledger, snapshot)
	for _, what := range breaker.disobedience() {
		r.report.Violate(check.Died, "%s", what)
	}
	r.faults, r.longestWait, r.longestQuiet = breaker.done, l.longestWait, l.longestQuiet
	r.took = time.Since(r.began)
	return r, nil
}

// shared is a writer for several goroutines.
type shared struct {
	mu sync.Mutex
	w  io.Writer
}

func (s *shared) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.w.Write(p)
}

func (s *stack) fronts() []string {
	var urls []string
	for _, i := range s.instances {
		urls = append(urls, "http://"+i.front.addr())
	}
	return urls
}

// chaos runs the load and the faults side by side. In the end all is mended.
func (s *stack) chaos(ctx context.Context, o options, log io.Writer, l *load, breaker *injector) error {
	loading, end := context.WithTimeout(ctx, o.duration)
	defer end()
	broken := make(chan struct{})
	go func() {
		defer close(broken)
		breaker.run(loading, plan(o.seed, o.duration, o.instances))
	}()
	loaded := make(chan struct{})
	go func() {
		defer close(loaded)
		l.run(loading)
	}()
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for waiting := true; waiting; {
		select {
		case <-loaded:
			waiting = false
		case <-tick.C:
			commands, answered := l.progress()
			fmt.Fprintf(log, "%4.0fs  %d commands, %d answered, %d faults\n", time.Since(l.began).Seconds(), commands, answered, breaker.count())
		}
	}
	<-broken
	s.heal()
	if err := errors.Join(append(breaker.errs, ctx.Err())...); err != nil {
		return err
	}
	for _, i := range s.instances {
		if err := eventually(ctx, i.name+" is ready", func() error { return i.ready(ctx) }); err != nil {
			return err
		}
	}
	return nil
}
