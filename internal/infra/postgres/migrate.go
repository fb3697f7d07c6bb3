package postgres

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"

	_ "github.com/jackc/pgx/v5/stdlib" // goose migrates through database/sql
	"github.com/pressly/goose/v3"
	"github.com/pressly/goose/v3/lock"

	"github.com/winaity/billing/internal/domain/fault"
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

// Migrate brings the database at url up to date and returns what it applied.
// Several may run at once: they wait for each other. It fails with
// ErrSchemaNewer if the database has migrations that are not among these.
func Migrate(ctx context.Context, url string, migrations fs.FS) ([]Migration, error) {
	var applied []Migration
	err := withGoose(url, migrations, func(p *goose.Provider) error {
		if err := notNewer(ctx, p); err != nil {
			return err
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
	return applied, err
}

// CheckSchema fails with ErrSchemaNewer or ErrSchemaOlder unless the database
// at url has exactly the given migrations.
func CheckSchema(ctx context.Context, url string, migrations fs.FS) error {
	return withGoose(url, migrations, func(p *goose.Provider) error {
		if err := notNewer(ctx, p); err != nil {
			return err
		}
		pending, err := p.HasPending(ctx)
		if err != nil {
			return fmt.Errorf("read schema version: %w", err)
		}
		if pending {
			return ErrSchemaOlder
		}
		return nil
	})
}

func notNewer(ctx context.Context, p *goose.Provider) error {
	current, latest, err := p.GetVersions(ctx)
	if err != nil {
		return fmt.Errorf("read schema version: %w", err)
	}
	if current > latest {
		return fmt.Errorf("%w (database: %d, binary: %d)", ErrSchemaNewer, current, latest)
	}
	return nil
}

// lockTries is how often, once a second, a migration asks whether another one
// has ended.
const lockTries = 300

func withGoose(url string, migrations fs.FS, f func(*goose.Provider) error) (err error) {
	db, err := sql.Open("pgx", url)
	if err != nil {
		return fmt.Errorf("open database: %w", err)
	}
	defer func() { err = errors.Join(err, db.Close()) }()
	locker, err := lock.NewPostgresSessionLocker(lock.WithLockTimeout(1, lockTries), lock.WithUnlockTimeout(1, lockTries))
	if err != nil {
		return fmt.Errorf("make migration lock: %w", err)
	}
	p, err := goose.NewProvider(goose.DialectPostgres, db, migrations, goose.WithSessionLocker(locker))
	if err != nil {
		return fmt.Errorf("read migrations: %w", err)
	}
	return classify(f(p))
}
