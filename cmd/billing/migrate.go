package main

import (
	"context"
	"fmt"

	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

// migrate brings the database up to date.
func migrate(ctx context.Context, p program, args []string) error {
	if len(args) > 0 {
		return &usageError{fmt.Sprintf("unexpected argument %q", args[0])}
	}
	applied, err := postgres.Migrate(ctx, p.config.Database, sql.Migrations())
	for _, m := range applied {
		fmt.Fprintf(p.stdout, "applied %s\n", m.Name)
	}
	if err != nil {
		return err
	}
	if len(applied) == 0 {
		fmt.Fprintln(p.stdout, "the database is up to date")
	}
	return nil
}
