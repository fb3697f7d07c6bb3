package postgres

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
)

// transaction is a groupcommit.Transaction. It begins with its first round trip.
type transaction[T any] struct {
	unit     *groupcommit.Unit
	plumbing *plumbing
	tables   []table
	as       func(member) T
	conn     *pgx.Conn
	waits    bool // for locks
	begun    bool
}

func (s *Store[T]) begin(conn *pgx.Conn, waits bool) *transaction[T] {
	t := &transaction[T]{unit: &groupcommit.Unit{}, conn: conn, waits: waits}
	t.plumbing = newPlumbing(t.unit)
	service := s.service(t.unit)
	t.as = service.as
	// Numbers are locked last, since all others wait for them; and events are
	// written last, after the rows whose locks settle who comes first.
	t.tables = slices.Concat([]table{t.plumbing.answers, t.plumbing.inbox}, service.tables, []table{t.plumbing.numbers, t.plumbing.outbox})
	return t
}

func (t *transaction[T]) Unit() *groupcommit.Unit { return t.unit }

func (t *transaction[T]) As(ctx context.Context) T {
	return t.as(member{t.plumbing, messaging.TraceFrom(ctx)})
}

// Load implements groupcommit.Transaction.
func (t *transaction[T]) Load(ctx context.Context) error {
	p, err := t.pipeline(ctx)
	if err != nil {
		return err
	}
	for _, table := range t.tables {
		table.load(ctx, p, t.waits)
	}
	return p.run(ctx, t.conn)
}

// Commit implements groupcommit.Transaction. Whether it has committed is not known
// after an error that is not the server's, nor after one that is its answer to the
// commit itself: these are commitErrors.
func (t *transaction[T]) Commit(ctx context.Context) error {
	p, err := t.pipeline(ctx)
	if err != nil {
		return err
	}
	for _, table := range t.tables {
		table.save(ctx, p)
	}
	p.statement("COMMIT", func(err error) error { return &commitError{err} })
	err = p.run(ctx, t.conn)
	if _, isServers := errors.AsType[*pgconn.PgError](err); err != nil && !isServers {
		return &commitError{err}
	}
	return err
}

// planned makes the server plan a statement once a connection, and look up each
// row by its key: the plan is kept, and was maybe made while the tables were empty.
const planned = ", set_config('plan_cache_mode', 'force_generic_plan', true)" +
	", set_config('enable_seqscan', 'off', true), set_config('enable_bitmapscan', 'off', true)" +
	", set_config('enable_hashjoin', 'off', true), set_config('enable_mergejoin', 'off', true)"

// pipeline returns a round trip, with which the transaction begins if it has not
// yet.
func (t *transaction[T]) pipeline(ctx context.Context) (*pipeline, error) {
	p := newPipeline()
	if t.begun {
		return p, nil
	}
	t.begun = true
	settings := settings(t.conn.PgConn()) + planned
	begins := func(err error) error { return fmt.Errorf("begin: %w", err) }
	if early, _ := t.conn.PgConn().CustomData()[lookupKey].(bool); early {
		if _, err := t.conn.Exec(ctx, begin+"; "+settings); err != nil {
			return nil, begins(err)
		}
		return p, nil
	}
	p.statement(begin, begins)
	p.statement(settings, begins)
	return p, nil
}

// rollBack ends the transaction, unless it has ended. The connection must be clean
// also when the caller has given up.
func (t *transaction[T]) rollBack(ctx context.Context) error {
	if conn := t.conn.PgConn(); conn.IsClosed() || conn.TxStatus() == 'I' {
		return nil
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
	defer cancel()
	if _, err := t.conn.Exec(ctx, "ROLLBACK"); err != nil {
		return fmt.Errorf("rollback: %w", err)
	}
	return nil
}
