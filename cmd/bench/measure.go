package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"
)

const steadyRate = 300 // payments a second

// result is what one stack was measured with.
type result struct {
	instances, rows int
	connections     int
	before, after   float64 // transactions a second of pgbench: before and after the rest
	invoices        measured
	memory          int // bytes of the largest instance, until the invoices were issued
	payments        measured
	receipts        float64 // a second

	// Of the first stack only:
	single  measured // invoices, one at a time
	paced   measured // invoices, at half the rate
	latency measured // of receipts, at the steady rate
}

// pgbench returns what all else is compared with.
func (r result) pgbench() float64 { return (r.before + r.after) / 2 }

// measure runs the loads one after the other on a stack of their own: all, or
// only those that every stack is measured with.
func measure(ctx context.Context, o options, instances, rows int, all bool) (r result, err error) {
	r = result{instances: instances, rows: rows, connections: o.connections}
	fmt.Fprintf(os.Stderr, "starting Postgres, NATS, Redis and the service: %d of it, %d rows in each table\n", instances, rows)
	s, err := startStack(ctx, o, instances, rows)
	defer func() { err = errors.Join(err, s.stop(context.WithoutCancel(ctx))) }()
	if err != nil {
		return r, err
	}
	for _, step := range []struct {
		what   string
		always bool
		run    func() error
	}{
		{"pgbench", true, func() (err error) {
			r.before, err = s.pgbench(ctx, o)
			return err
		}},
		{"invoices", true, func() (err error) {
			r.invoices, err = issue(o.connections, 0).run(ctx, o, s.addresses)
			r.memory = s.memory()
			return err
		}},
		{"invoices over one connection", false, func() (err error) {
			r.single, err = issue(1, 0).run(ctx, o, s.addresses)
			return err
		}},
		{"invoices at half the rate", false, func() (err error) {
			r.paced, err = issue(o.connections, r.invoices.rate/2).run(ctx, o, s.addresses)
			return err
		}},
		{"payments and their receipts", true, func() (err error) {
			// Payments may be faster than both, but not twice as fast.
			if r.payments, _, err = s.pay(ctx, o, 0, 2*max(r.before, r.invoices.rate)); err != nil {
				return err
			}
			err = s.awaitReceipts(ctx)
			r.receipts = float64(r.payments.sent) / time.Since(r.payments.began).Seconds()
			return err
		}},
		{"receipts at a steady rate", false, func() (err error) {
			r.latency, err = s.receiptLatency(ctx, o)
			return err
		}},
		{"pgbench", true, func() (err error) {
			r.after, err = s.pgbench(ctx, o)
			return err
		}},
	} {
		if !step.always && !all {
			continue
		}
		fmt.Fprintln(os.Stderr, " ", step.what)
		// So that no load pays for what the one before has left in memory.
		if _, err := s.db.Exec(ctx, "CHECKPOINT"); err != nil {
			return r, err
		}
		if err := step.run(); err != nil {
			return r, fmt.Errorf("%s: %w", step.what, err)
		}
		if err := s.awaitQuiet(ctx); err != nil {
			return r, err
		}
	}
	return r, nil
}

func issue(connections int, rate float64) load {
	return load{body: `{"customerId":"cust_42","amount":15000,"currency":"EUR"}`, want: 201, connections: connections, rate: rate}
}

// pay pays invoices that it makes for that, enough for the given rate.
func (s *stack) pay(ctx context.Context, o options, rate, enough float64) (m measured, l load, err error) {
	l = load{body: `{"paymentReference":"SEPA-2026-0815"}`, want: 200, connections: o.connections, rate: rate}
	invoices := int(enough*(o.warmUp+o.duration).Seconds()) + 10*o.connections
	if l.first, l.last, err = s.fillInvoices(ctx, invoices); err != nil {
		return m, l, err
	}
	if _, err := s.db.Exec(ctx, "VACUUM ANALYZE invoices"); err != nil {
		return m, l, err
	}
	m, err = l.run(ctx, o, s.addresses)
	s.paid += m.sent
	return m, l, err
}

// receiptLatency returns how long after the payment the receipt is issued, as the
// rows say: both instants are of the clock of this machine, read inside of the
// two transactions.
func (s *stack) receiptLatency(ctx context.Context, o options) (measured, error) {
	m, l, err := s.pay(ctx, o, steadyRate, steadyRate)
	if err != nil {
		return m, err
	}
	if err := s.awaitReceipts(ctx); err != nil {
		return m, err
	}
	var seconds []float64
	err = s.db.QueryRow(ctx, `
		SELECT percentile_disc(ARRAY[0.5, 0.99]) WITHIN GROUP (ORDER BY extract(epoch FROM d.issued_at - i.paid_at)::float8)
		FROM invoices AS i JOIN documents AS d ON d.invoice_id = i.id
		WHERE i.id BETWEEN $1 AND $2 AND i.paid_at >= $3`,
		idOf(l.first), idOf(l.last), m.began.Add(o.warmUp)).Scan(&seconds)
	if err != nil {
		return m, err
	}
	if len(seconds) != 2 {
		return m, errors.New("nothing was paid after the warm-up")
	}
	m.p50, m.p99 = time.Duration(seconds[0]*float64(time.Second)), time.Duration(seconds[1]*float64(time.Second))
	return m, nil
}

// awaitReceipts waits until every payment has its receipt.
func (s *stack) awaitReceipts(ctx context.Context) error {
	return s.awaitRows(ctx, "every payment has its receipt", "SELECT count(*) = $1 FROM documents", s.paid)
}

// awaitQuiet waits until the service has nothing to do.
func (s *stack) awaitQuiet(ctx context.Context) error {
	return s.awaitRows(ctx, "all events are published", "SELECT NOT EXISTS (SELECT FROM outbox WHERE published_at IS NULL)")
}

func (s *stack) awaitRows(ctx context.Context, what, query string, args ...any) error {
	return await(ctx, what, func() (done bool, err error) {
		err = s.db.QueryRow(ctx, query, args...).Scan(&done)
		return done, err
	})
}
