package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// injector breaks things as planned, and mends them.
type injector struct {
	stack   *stack
	log     io.Writer
	verbose bool
	began   time.Time

	postgres, nats, redis sync.Mutex // each is held by the fault that has the server

	mu       sync.Mutex
	done     map[kind]int
	restarts []time.Time // of NATS: each has a beginning and an end
	errs     []error     // what could not be broken, or mended
	died     []string    // instances that did not do as they were told
}

// run injects the faults at their times and returns when all is mended. When ctx
// ends, no other fault begins.
func (j *injector) run(ctx context.Context, faults []fault) {
	j.began = time.Now()
	var all sync.WaitGroup
	for _, f := range faults {
		if !pause(ctx, time.Until(j.began.Add(f.at))) {
			break
		}
		all.Go(func() {
			if err := j.inject(ctx, f); err != nil {
				j.mu.Lock()
				j.errs = append(j.errs, fmt.Errorf("%s: %w", f.kind, err))
				j.mu.Unlock()
			}
		})
	}
	all.Wait()
}

func (j *injector) inject(ctx context.Context, f fault) error {
	i := j.stack.instances[f.instance]
	l := i.links[f.link%len(i.links)]
	// What is broken is mended, also when ctx has ended.
	mend := context.WithoutCancel(ctx)
	switch f.kind {
	case killInstance:
		return j.withInstance(f, i, func() error {
			if err := i.kill(); err != nil {
				return err
			}
			pause(ctx, f.lasts)
			return i.start()
		})
	case terminateInstance:
		return j.withInstance(f, i, func() error {
			if err := i.terminate(mend); err != nil {
				j.disobeyed(i, err)
			}
			pause(ctx, f.lasts)
			return i.start()
		})
	case pauseInstance:
		return j.withInstance(f, i, func() error {
			if err := i.freeze(); err != nil {
				return err
			}
			pause(ctx, f.lasts)
			return i.thaw()
		})
	case killPostgres:
		return j.with(f, &j.postgres, "Postgres", func() error {
			return j.restart(ctx, f, j.stack.postgres)
		})
	case killRedis:
		return j.with(f, &j.redis, "Redis", func() error {
			return j.restart(ctx, f, j.stack.redis)
		})
	case killNATS:
		return j.with(f, &j.nats, "NATS", func() error {
			killed := time.Now()
			err := j.restart(ctx, f, j.stack.nats)
			j.mu.Lock()
			j.restarts = append(j.restarts, killed, time.Now())
			j.mu.Unlock()
			return err
		})
	case flushRedis:
		return j.with(f, &j.redis, "Redis", func() error {
			return j.stack.flushRedis(mend)
		})
	default:
		return j.disturb(ctx, f, l)
	}
}

// disturb breaks a link. Links need no lock: the last fault says how the link
// is, and each ends with it being fine.
func (j *injector) disturb(ctx context.Context, f fault, l *link) error {
	j.note(f, l.name)
	defer j.over(f, l.name)
	switch f.kind {
	case slowLink:
		l.set(weather{delay: f.delay})
	case stallLink:
		l.set(weather{stalled: true})
	case deafLink:
		l.set(weather{deaf: true})
	default:
	}
	pause(ctx, f.lasts)
	l.set(weather{})
	if f.kind == cutLink || f.kind == deafLink {
		// After a loss the connection has no more to say.
		l.cut()
	}
	return nil
}

// server is what can be killed and started again.
type server interface {
	Kill() error
	Start(ctx context.Context) error
}

func (j *injector) restart(ctx context.Context, f fault, s server) error {
	if err := s.Kill(); err != nil {
		return err
	}
	pause(ctx, f.lasts)
	return s.Start(context.WithoutCancel(ctx))
}

func (j *injector) withInstance(f fault, i *instance, do func() error) error {
	return j.with(f, &i.mu, i.name, do)
}

// with has one fault at a time break the same thing.
func (j *injector) with(f fault, lock *sync.Mutex, name string, do func() error) error {
	lock.Lock()
	defer lock.Unlock()
	j.note(f, name)
	defer j.over(f, name)
	return do()
}

// note counts a fault that begins.
func (j *injector) note(f fault, name string) {
	j.mu.Lock()
	defer j.mu.Unlock()
	j.done[f.kind]++
	j.tell("%s for %s (%s)", f.kind, f.lasts.Round(time.Millisecond), name)
}

// over says that what a fault broke is mended.
func (j *injector) over(f fault, name string) {
	j.tell("%s is over (%s)", f.kind, name)
}

func (j *injector) tell(format string, args ...any) {
	if j.verbose {
		fmt.Fprintf(j.log, "%6.1fs  %s\n", time.Since(j.began).Seconds(), fmt.Sprintf(format, args...))
	}
}

// disobeyed notes an instance that ended unasked, or did not when asked.
func (j *injector) disobeyed(i *instance, err error) {
	j.mu.Lock()
	defer j.mu.Unlock()
	if err == nil {
		j.died = append(j.died, i.name+" ended unasked")
		return
	}
	j.died = append(j.died, i.name+": "+err.Error())
}

// disobedience returns what instances did against orders so far.
func (j *injector) disobedience() []string {
	j.mu.Lock()
	defer j.mu.Unlock()
	return slices.Clone(j.died)
}

func (s *stack) flushRedis(ctx context.Context) error {
	options, err := redis.ParseURL(s.redis.URL())
	if err != nil {
		return err
	}
	client := redis.NewClient(options)
	defer func() { _ = client.Close() }() // nothing of it is left to lose
	return client.FlushAll(ctx).Err()
}

// count returns how many faults there were so far.
func (j *injector) count() int {
	j.mu.Lock()
	defer j.mu.Unlock()
	n := 0
	for _, times := range j.done {
		n += times
	}
	return n
}
