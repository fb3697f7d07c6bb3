// Package postgres keeps the state of the service in PostgreSQL 15 or later: its
// tables, the outbox, the inbox, and the answers to commands.
package postgres

import (
	"context"
	"errors"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
)

// Store runs transactions, which those that wait at the same time share. T is what
// they work on. It is safe for concurrent use.
type Store[T any] struct {
	options StoreOptions
	service func(*groupcommit.Unit) service[T]
	group   *groupcommit.Group[T]
}

// StoreOptions say what a Store works with; all are required.
type StoreOptions struct {
	DB *DB
	// Alone is the same database for the transactions that wait for locks: the
	// share of it bounds how many do.
	Alone *DB
	// Groups says how many transactions share one; its zero value: none.
	Groups groupcommit.Size
	// Appended is notified after each commit that added events to the outbox.
	Appended messaging.Signal
}

// service is what a service adds to the plumbing: tables, in the order in which
// they are locked and written, and what its transactions work on.
type service[T any] struct {
	tables []table
	as     func(member) T
}

// table is the part of a transaction that is about the rows of one kind.
type table interface {
	// load queues what loads the rows that were asked for. If waits is set, it
	// waits for those that others have locked.
	load(ctx context.Context, p *pipeline, waits bool)
	// save queues what writes the rows that were changed.
	save(ctx context.Context, p *pipeline)
}

func newStore[T any](o StoreOptions, service func(*groupcommit.Unit) service[T]) *Store[T] {
	s := &Store[T]{options: o, service: service}
	s.group = groupcommit.New(s, o.Groups)
	return s
}

// Atomically implements messaging.Store.
func (s *Store[T]) Atomically(ctx context.Context, f func(T) error) error {
	return classify(s.group.Atomically(ctx, f))
}

// Transact implements groupcommit.Database.
func (s *Store[T]) Transact(ctx context.Context, waits bool, f func(groupcommit.Transaction[T]) error) error {
	db := s.options.DB
	if waits {
		db = s.options.Alone
	}
	return db.use(ctx, func(conn *pgxpool.Conn) (err error) {
		t := s.begin(conn.Conn(), waits)
		defer func() { err = errors.Join(err, t.rollBack(ctx)) }()
		if err := f(t); err != nil {
			return err
		}
		if t.plumbing.appended() {
			s.options.Appended.Notify()
		}
		return nil
	})
}

// Judge implements groupcommit.Database.
func (s *Store[T]) Judge(err error) groupcommit.Verdict {
	if retryable(err) {
		return groupcommit.Again
	}
	if _, unknown := errors.AsType[*commitError](err); unknown {
		return groupcommit.Final
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		switch verdict := sqlState(pg.Code); {
		case pg.Code == lockNotAvailable:
			return groupcommit.Disband
		case verdict == ours || verdict == callers:
			return groupcommit.Divide
		}
	}
	return groupcommit.Final
}
