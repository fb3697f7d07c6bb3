package postgres

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// attempts bounds how often a transaction or a query is run.
const attempts = 4

// begin is one round trip, and asks nothing of the session, so that a transaction
// pooler works. A transaction never waits for anything but the database: one that
// is idle for seconds belongs to a process that is frozen or cut off, and would
// keep its locks, on a series of numbers for one, until TCP gives the connection
// up, which can take hours.
//
// What waits for such a lock gives up before that: else all that the same process
// had begun would take it over and keep it, one after the other.
const begin = "BEGIN; SET LOCAL lock_timeout = '4s'; SET LOCAL idle_in_transaction_session_timeout = '5s'"

// commitError says that it is unknown whether the transaction was committed.
type commitError struct{ err error }

func (e *commitError) Error() string { return "commit: " + e.err.Error() }
func (e *commitError) Unwrap() error { return e.err }

// inTx runs f in a READ COMMITTED transaction, as often as again allows.
func inTx(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) error {
	return again(ctx, func() error { return runTx(ctx, pool, f) })
}

// again runs f, and runs it again, a bounded number of times, when it certainly
// had no effect for a reason that passes: a deadlock, a lost connection. The
// error that it returns has a kind if it is the database's.
func again(ctx context.Context, f func() error) error {
	for attempt := 1; ; attempt++ {
		err := f()
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

func runTx(ctx context.Context, pool *pgxpool.Pool, f func(pgx.Tx) error) (err error) {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{BeginQuery: begin})
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
}
