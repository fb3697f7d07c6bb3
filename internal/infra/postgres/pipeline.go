package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// pipeline is a round trip. It joins the batches that its queries make: they are
// queued when they are made, sent together, and read in the same order.
type pipeline struct {
	queries *dbgen.Queries
	batch   pgx.Batch
	results pgx.BatchResults
	reads   []func() error
}

func newPipeline() *pipeline {
	p := &pipeline{}
	p.queries = dbgen.New(queue{p})
	return p
}

// statement queues a statement. If it fails, fails makes the error.
func (p *pipeline) statement(sql string, fails func(error) error) {
	p.batch.Queue(sql)
	p.reads = append(p.reads, func() error {
		if _, err := p.results.Exec(); err != nil {
			return fails(err)
		}
		return nil
	})
}

// queued says that a statement was queued, and what for.
func (p *pipeline) queued(what string, results func(func(int, error))) {
	p.reads = append(p.reads, func() (err error) {
		results(func(_ int, e error) {
			if e != nil {
				err = fmt.Errorf("%s: %w", what, e)
			}
		})
		return err
	})
}

// each says that a query was queued, and what for, and hands on each row.
func each[R any](p *pipeline, what string, results func(func(int, []R, error)), row func(R)) {
	p.reads = append(p.reads, func() (err error) {
		results(func(_ int, rows []R, e error) {
			if e != nil {
				err = fmt.Errorf("%s: %w", what, e)
			}
			for _, r := range rows {
				row(r)
			}
		})
		return err
	})
}

// run sends what is queued and reads the results, until one is an error.
func (p *pipeline) run(ctx context.Context, conn *pgx.Conn) error {
	p.results = conn.SendBatch(ctx, &p.batch)
	defer func() { _ = p.results.Close() }() // what went wrong was read before
	for _, read := range p.reads {
		if err := read(); err != nil {
			return err
		}
	}
	return nil
}

// queue is a dbgen.DBTX for batches.
type queue struct{ *pipeline }

var errNotQueued = errors.New("a pipeline takes batches only")

func (q queue) SendBatch(_ context.Context, b *pgx.Batch) pgx.BatchResults {
	q.batch.QueuedQueries = append(q.batch.QueuedQueries, b.QueuedQueries...)
	return part(q)
}

func (q queue) Exec(context.Context, string, ...any) (pgconn.CommandTag, error) {
	return pgconn.CommandTag{}, errNotQueued
}

func (q queue) Query(context.Context, string, ...any) (pgx.Rows, error) { return nil, errNotQueued }

func (q queue) QueryRow(context.Context, string, ...any) pgx.Row { return nil }

// part is the results of one of the batches. They are closed with all others.
type part struct{ *pipeline }

func (p part) Exec() (pgconn.CommandTag, error) { return p.results.Exec() }
func (p part) Query() (pgx.Rows, error)         { return p.results.Query() }
func (p part) QueryRow() pgx.Row                { return p.results.QueryRow() }
func (p part) Close() error                     { return nil }
func (p part) Tx() pgx.Tx                       { return nil }
