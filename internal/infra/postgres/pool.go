package postgres

import (
	"context"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// DB is the database: a pool of connections to its primary, which are made when
// they are first needed, and made again after they were lost. It is safe for
// concurrent use.
type DB struct {
	pool  *pgxpool.Pool
	share chan struct{} // has an element for each connection in use; nil: all may be used
}

// Open returns the database of c. It does not wait for it.
func Open(ctx context.Context, c *Config) (*DB, error) {
	pool, err := pgxpool.NewWithConfig(ctx, c.pool.Copy())
	if err != nil {
		return nil, fmt.Errorf("open database pool: %w", err)
	}
	return &DB{pool: pool}, nil
}

// Share returns the same database with a part of its connections, in percent, and
// one at least. Whoever may wait for somebody's lock gets a share, so that there
// are connections left for those who never do.
func (d *DB) Share(percent int) *DB {
	size := max(1, int(d.pool.Config().MaxConns)*percent/100)
	return &DB{d.pool, make(chan struct{}, size)}
}

// Close waits until all connections were given back, and closes them.
func (d *DB) Close() { d.pool.Close() }

// Stat returns the present state of the pool.
func (d *DB) Stat() *pgxpool.Stat { return d.pool.Stat() }

// Ready returns nil if a transaction can begin that may write.
func (d *DB) Ready(ctx context.Context) error {
	return classify(d.runTx(ctx, func(pgx.Tx) error { return nil }))
}

// use runs f with a connection. One that f's error says is to another server than
// the primary, or of before a migration, is not used again.
func (d *DB) use(ctx context.Context, f func(*pgxpool.Conn) error) error {
	if d.share != nil {
		select {
		case d.share <- struct{}{}:
			defer func() { <-d.share }()
		case <-ctx.Done():
			return fmt.Errorf("wait for a connection: %w", ctx.Err())
		}
	}
	conn, err := d.pool.Acquire(ctx)
	if err != nil {
		return fmt.Errorf("connect: %w", err)
	}
	defer conn.Release()
	if err = f(conn); outdated(err) {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), time.Second)
		defer cancel()
		_ = conn.Conn().Close(ctx) // the pool throws away what is closed
	}
	return err
}
