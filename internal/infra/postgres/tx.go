package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// attempts bounds how often a transaction is run.
const attempts = 4

// commitError says that it is unknown whether the transaction was committed.
type commitError struct{ err error }

func (e *commitError) Error() string { return "commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// inTx runs f in a READ COMMITTED transaction. It runs it again, a bounded number
// of times, when it certainly had no effect for a reason that passes: a deadlock,
// a lost connection. The error that it returns has a kind if it is the database's.
func (d *DB) inTx(ctx context.Context, f func(*dbgen.Queries) error) error {
	for attempt := 1; ; attempt++ {
		err := d.runTx(ctx, func(tx pgx.Tx) error { return f(dbgen.New(tx)) })
		if err == nil || attempt == attempts || ctx.Err() != nil || !retryable(err) {
			return classify(err)
		}
		select {
		case <-ctx.Done():
			return classify(err)
		case <-time.After(rand.N(time.Duration(attempt) * 20 * time.Millisecond)):
		}
	}
}

// ask runs one query in a transaction of its own. What it is about begins the
// error.
func ask[T any](ctx context.Context, db *DB, what string, query func(*dbgen.Queries) (T, error)) (answer T, err error) {
	err = db.inTx(ctx, func(queries *dbgen.Queries) (err error) {
		answer, err = query(queries)
		return err
	})
	if err != nil {
		return answer, fmt.Errorf("%s: %w", what, err)
	}
	return answer, nil
}

// runTx runs f in a transaction, once.
func (d *DB) runTx(ctx context.Context, f func(pgx.Tx) error) error {
	return d.use(ctx, func(conn *pgxpool.Conn) (err error) {
		tx, err := conn.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin + "; " + settings(conn.Conn().PgConn())})
		if err != nil {
			return fmt.Errorf("begin: %w", err)
		}
		ended := false
		defer func() {
			if ended {
				return
			}
			// The caller may have given up, or f may have panicked: the connection
			// must be clean and go back to the pool all the same.
			rollback, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
			defer cancel()
			if e := tx.Rollback(rollback); e != nil && !errors.Is(e, pgx.ErrTxClosed) {
				err = errors.Join(err, fmt.Errorf("rollback: %w", e))
			}
		}()
		if err := f(tx); err != nil {
			return err
		}
		ended = true // whatever becomes of it: pgx ends the transaction on a failure too
		if err := tx.Commit(ctx); err != nil {
			return &commitError{err}
		}
		return nil
	})
}
