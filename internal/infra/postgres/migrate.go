package postgres

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/jackc/pgx/v5/stdlib" // goose migrates through database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Errors of a schema that this binary cannot work with.
var (
	ErrSchemaNewer = fault.New(fault.Conflict, "schema-newer", "The database is newer than this binary: deploy the binary that migrated it, or a later one.")
	ErrSchemaOlder = fault.New(fault.Conflict, "schema-older", "The database is older than this binary: run `billing migrate` first.")
)

// Migration is a migration that Migrate applied.
type Migration struct {
	Version int64
	Name    string
}

const (
	migrateConns = 2 // one holds the lock
	lockTimeout  = 5 * time.Minute
	lockInterval = 250 * time.Millisecond
)

// Migrate brings the database up to date and returns what it applied. Several may
// run at once: they wait for each other. It fails with ErrSchemaNewer if the
// database has migrations that are not among these.
func Migrate(ctx context.Context, c *Config, migrations fs.FS) (applied []Migration, err error) {
	config := c.pool.Copy()
	config.MaxConns, config.MinConns, config.MinIdleConns = migrateConns, 0, 0
	config.AfterConnect = func(ctx context.Context, conn *pgx.Conn) error {
		_, err := conn.Exec(ctx, c.migrationSettings())
		return err
	}
	pool, err := pgxpool.NewWithConfig(ctx, config)
	if err != nil {
		return nil, fmt.Errorf("open database pool: %w", err)
	}
	defer pool.Close()
	err = whileLocked(ctx, pool, func() error {
		db := stdlib.OpenDBFromPool(pool)
		defer func() { _ = db.Close() }() // it has no connections of its own
		p, err := goose.NewProvider(goose.DialectPostgres, db, migrations)
		if err != nil {
			return fmt.Errorf("read migrations: %w", err)
		}
		current, latest, err := p.GetVersions(ctx)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if current > latest {
			return newer(current, latest)
		}
		results, err := p.Up(ctx)
		for _, r := range results {
			applied = append(applied, Migration{r.Source.Version, r.Source.Path})
		}
		if err != nil {
			return fmt.Errorf("apply migrations: %w", err)
		}
		return nil
	})
	return applied, classify(err)
}

// whileLocked runs f while no other migration runs. The lock belongs to a
// transaction, so that it works through a transaction pooler and cannot be left
// behind. Who wants it asks again and again: who waits in a statement would be
// waited for by an index that is made concurrently.
func whileLocked(ctx context.Context, pool *pgxpool.Pool, f func() error) error {
	for start := time.Now(); ; {
		locked := false
		err := pgx.BeginFunc(ctx, pool, func(tx pgx.Tx) error {
			// By the simple protocol: the portal of the other keeps a snapshot until the
			// transaction ends, which such an index would wait for too.
			err := tx.QueryRow(ctx, "SELECT pg_try_advisory_xact_lock($1)", pgx.QueryExecModeSimpleProtocol, lock.DefaultLockID).Scan(&locked)
			if err != nil || !locked {
				return err
			}
			return f()
		})
		if err != nil || locked {
			return err
		}
		if time.Since(start) > lockTimeout {
			return errors.New("another migration does not end")
		}
		select {
		case <-time.After(lockInterval):
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// schemaVersion is asked of goose's own table, which sqlc does not know. Goose
// itself would make the table.
const (
	schemaVersion  = "SELECT coalesce(max(version_id), 0) FROM goose_db_version WHERE is_applied"
	undefinedTable = "42P01"
)

// CheckSchema fails with ErrSchemaNewer or ErrSchemaOlder unless the database has
// exactly the given migrations, and if the service's role lacks a right.
func (d *DB) CheckSchema(ctx context.Context, migrations fs.FS) error {
	files, err := fs.Glob(migrations, "*.sql")
	if err != nil || len(files) == 0 {
		return errors.New("read migrations: there are none")
	}
	latest, err := goose.NumericComponent(slices.Max(files))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	return classify(d.runTx(ctx, func(tx pgx.Tx) error {
		current := int64(0)
		err := tx.QueryRow(ctx, schemaVersion).Scan(&current)
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && pg.Code == undefinedTable {
			return ErrSchemaOlder
		}
		switch {
		case err != nil:
			return fmt.Errorf("read schema version: %w", err)
		case current > latest:
			return newer(current, latest)
		case current < latest:
			return ErrSchemaOlder
		}
		missing, err := dbgen.New(tx).MissingPrivileges(ctx)
		if err == nil && len(missing) > 0 {
			err = fault.New(fault.Conflict, "missing-privilege", "The database role lacks a right of the service: grant it "+strings.Join(missing, ", ")+".")
		}
		return err
	}))
}

func newer(current, latest int64) error {
	return fmt.Errorf("%w (database: %d, binary: %d)", ErrSchemaNewer, current, latest)
}
