package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/cmd/chaos/internal/check"
	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
)

const (
	progressInterval = 5 * time.Second
	// quietTimeout is how long the service may take, when nothing is broken any
	// more, to finish what is under way. An event that the stream refused is
	// left alone for a minute.
	quietTimeout = 90 * time.Second
)

// run is one run: start, load and faults, quiet, verdict.
func run(ctx context.Context, o options, log io.Writer) (_ result, err error) {
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
	again, cancel := context.WithTimeout(ctx, patience)
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
	for _, what := range breaker.died {
		r.report.Violate(check.Died, "%s", what)
	}
	r.faults, r.longestWait, r.longestQuiet = breaker.done, l.longestWait, l.longestQuiet
	r.took = time.Since(r.began)
	return r, nil
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

// observer looks at the tables and the stream.
type observer struct {
	pool    *pgxpool.Pool
	conn    *natsbus.Conn
	letters *natsbus.DeadLetters
	nc      *nats.Conn
	js      jetstream.JetStream
}

func (s *stack) observe(ctx context.Context) (*observer, error) {
	silence := slog.New(slog.DiscardHandler)
	o := &observer{}
	var err error
	if o.pool, err = postgres.Open(ctx, s.databaseURL()); err != nil {
		return nil, err
	}
	if o.conn, err = natsbus.Connect(s.nats.URL(), "chaos", silence, func() {}); err != nil {
		return nil, err
	}
	o.letters = natsbus.NewDeadLetters(o.conn, silence)
	if o.nc, err = nats.Connect(s.nats.URL()); err != nil {
		return nil, err
	}
	o.js, err = jetstream.New(o.nc)
	return o, err
}

func (o *observer) close() {
	o.nc.Close()
	o.conn.Close()
	o.pool.Close()
}

func (o *observer) snapshot(ctx context.Context) (s check.Snapshot, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.Tables, err = check.ReadTables(ctx, o.pool); err != nil {
		return s, err
	}
	s.Stream, err = check.ReadStream(ctx, o.js, o.letters)
	return s, err
}

// awaitQuiet waits until nothing is under way. If that does not come about, the
// check will show what is left.
func (o *observer) awaitQuiet(ctx context.Context, log io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	for {
		left, err := o.underWay(ctx)
		if err == nil && left == "" {
			return
		}
		if !pause(ctx, 100*time.Millisecond) {
			fmt.Fprintln(log, "it does not become quiet:", left, err)
			return
		}
	}
}

// underWay says what is under way; empty if nothing is.
func (o *observer) underWay(ctx context.Context) (string, error) {
	var unpublished, undocumented int
	err := o.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM outbox WHERE published_at IS NULL),
		       (SELECT count(*) FROM invoices WHERE status <> 'issued') - (SELECT count(*) FROM documents)`).Scan(&unpublished, &undocumented)
	if err != nil {
		return "", err
	}
	unsettled, err := check.Unsettled(ctx, o.js)
	if err != nil {
		return "", err
	}
	if unpublished > 0 || undocumented > 0 || unsettled > 0 {
		return fmt.Sprintf("%d events to publish, %d documents to issue, %d deliveries to settle", unpublished, undocumented, unsettled), nil
	}
	return "", nil
}
