package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/infra/postgres"
)

// serve runs the service until ctx ends.
func serve(ctx context.Context, p program, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Sprintf("unexpected argument %q", args[0])}
	}
	p.log.InfoContext(ctx, "starting", "config", p.config)
	s, err := newService(ctx, p.config, p.log, nil)
	if err != nil {
		return err
	}
	return s.run(ctx)
}

// run serves and works until ctx ends or something fails for good. Then it ends
// in order: readiness first, then requests, then batches and deliveries, all
// within the shutdown timeout.
func (s *service) run(ctx context.Context) error {
	// A schema that does not fit ends the service before it serves anything; a
	// database that is away does not.
	first, cancel := context.WithTimeout(ctx, firstCheckTimeout)
	err := s.checkSchema(first)
	cancel()
	if err != nil && !passes(err) {
		s.close()
		return err
	}
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", s.config.HTTPAddr)
	if err != nil {
		s.close()
		return fmt.Errorf("listen: %w", err)
	}
	server := s.newServer()
	failed := make(chan error, 2)
	go func() {
		if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
			failed <- fmt.Errorf("serve: %w", err)
		}
	}()
	// Workers outlive ctx: they end after the requests whose events they relay.
	working, stopWorking := context.WithCancel(context.WithoutCancel(ctx))
	defer stopWorking()
	worked := make(chan struct{})
	go func() {
		defer close(worked)
		if err := s.work(working); err != nil {
			failed <- err
		}
	}()
	s.log.InfoContext(ctx, "serving", "addr", listener.Addr().String())

	var cause error
	select {
	case <-ctx.Done():
		s.log.InfoContext(ctx, "stopping")
	case cause = <-failed:
	}

	end, cancelEnd := context.WithTimeout(context.WithoutCancel(ctx), s.config.ShutdownTimeout)
	defer cancelEnd()
	s.draining.Store(true)
	wait(end, min(drainDelay, s.config.ShutdownTimeout/10))
	if err := server.Shutdown(end); err != nil {
		cause = errors.Join(cause, fmt.Errorf("requests were cut off: %w", err))
	}
	stopWorking()
	select {
	case <-worked:
		s.close()
	case <-end.Done():
		// Nothing is closed that a worker still uses: the process ends now.
		cause = errors.Join(cause, errors.New("work was cut off: the shutdown timeout is over"))
	}
	s.log.InfoContext(ctx, "stopped")
	if err := s.flush(end); err != nil {
		s.log.WarnContext(ctx, "the last of the telemetry is lost", "error", err)
	}
	return cause
}

// firstCheckTimeout bounds how long the service looks at the schema before it
// serves.
const firstCheckTimeout = 2 * time.Second

// drainDelay is how long the service still takes requests while it says that it
// is not ready, so that whoever sends them can notice.
const drainDelay = 500 * time.Millisecond

func (s *service) newServer() *http.Server {
	server := &http.Server{
		Handler:           s.api,
		ReadHeaderTimeout: requestTimeout,
		ReadTimeout:       2 * requestTimeout, // the header's, then the request's
		WriteTimeout:      3 * requestTimeout, // the request's, then twice as long for the answer
		IdleTimeout:       2 * time.Minute,
		MaxHeaderBytes:    32 << 10,
		ErrorLog:          slog.NewLogLogger(s.log.Handler(), slog.LevelWarn),
	}
	for _, end := range s.onShutdown {
		server.RegisterOnShutdown(end)
	}
	return server
}

// work runs the watchers and the workers until ctx ends.
func (s *service) work(ctx context.Context) error {
	group, ctx := errgroup.WithContext(ctx)
	for _, watcher := range s.watchers {
		group.Go(func() error { watcher(ctx); return nil })
	}
	group.Go(func() error { return s.relayAndConsume(ctx) })
	return group.Wait()
}

// relayAndConsume prepares what the workers need, however long that is away, and
// runs them until ctx ends.
func (s *service) relayAndConsume(ctx context.Context) error {
	if err := s.eventually(ctx, "database schema", s.checkSchema); err != nil {
		return err
	}
	if err := s.eventually(ctx, "streams", s.ensureTopology); err != nil {
		return err
	}
	s.log.InfoContext(ctx, "relaying and consuming")
	var workers sync.WaitGroup
	for _, worker := range s.workers {
		workers.Go(func() { worker(ctx) })
	}
	workers.Wait()
	return nil
}

// eventually tries until try succeeds, ctx ends (which is no error), or try
// fails for a reason that does not pass.
func (s *service) eventually(ctx context.Context, what string, try func(context.Context) error) error {
	for delay := 50 * time.Millisecond; ; delay = min(2*delay, time.Second) {
		attempt, cancel := context.WithTimeout(ctx, 2*requestTimeout)
		err := try(attempt)
		cancel()
		if err == nil {
			return nil
		}
		if ctx.Err() != nil {
			return nil //nolint:nilerr // whoever ended ctx knows why
		}
		if !passes(err) {
			return fmt.Errorf("%s: %w", what, err)
		}
		s.log.WarnContext(ctx, "waiting", "for", what, "error", err)
		wait(ctx, delay)
	}
}

// passes reports whether what failed at the start may be waited for.
func passes(err error) bool {
	return fault.KindOf(err) == fault.Unavailable && !postgres.IsRefusal(err)
}

func wait(ctx context.Context, d time.Duration) {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
	case <-timer.C:
	}
}
