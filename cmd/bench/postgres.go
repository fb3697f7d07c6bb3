package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"runtime"
	"strconv"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

const (
	database = "billing"  // the service's
	baseline = "baseline" // a copy of it, for pgbench

	pgbenchClients = 16
)

// What the service writes for a keyed invoice, by its length. A colon before a
// letter or a digit would be a variable to pgbench.
const (
	payload = `{"id":"evt_01M8Q922TVMECY5ZXPJBZ0T3K4","type":"billing.invoice.issued","timestamp":"2026-11-30T22.26.27.28956Z",` +
		`"correlationId":"corr_01M8Q922TP062SGNBE2AG104JP","aggregateId":"inv_01M8Q922TSR06WWVMXF9SBGB8G","aggregateType":"Invoice",` +
		`"version": 1,"data":{"invoiceNumber":"INV-2026-0001","customerId":"cust_42","amount": 15000,"currency":"EUR","dueDate":"2026-12-30"}}`
	traceparent = `00-9faeec119c30cdd139c98eb777271f47-0d2b2f84ec29158d-01`
	fingerprint = `fb36f309161ff3c61771806eb3f323a460fc4276d0bcee8e8136e6f2a9485e81`
	header      = `{"Content-Type":"application/json","ETag":"\"1\"","Location":"/v1/invoices/inv_01M8Q922TSR06WWVMXF9SBGB8G"}`
	answer      = `{"id":"inv_01M8Q922TSR06WWVMXF9SBGB8G","invoiceNumber":"INV-2026-0001","customerId":"cust_42","amount": 15000,` +
		`"currency":"EUR","status":"issued","dueDate":"2026-12-30","issuedAt":"2026-11-30T22.26.27.28956Z","version": 1}`
)

// script is what pgbench does: one transaction with the rows of a keyed invoice.
// It takes no number, so none waits for another. As in the service, ids are in
// the order of time, and keys are not.
const script = `
BEGIN;
INSERT INTO invoices (id, number, customer_id, amount, currency, status, due_date, issued_at, version)
VALUES ('inv_1' || lpad(pg_current_xact_id()::text, 25, '0'), 'INV-2026-' || pg_current_xact_id()::text,
        'cust_42', 15000, 'EUR', 'issued', current_date + 30, now(), 1);
INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, traceparent)
VALUES ('evt_1' || lpad(pg_current_xact_id()::text, 25, '0'), 'Invoice', 'inv_1' || lpad(pg_current_xact_id()::text, 25, '0'),
        'billing.invoice.issued', '` + payload + `', '` + traceparent + `');
INSERT INTO idempotency_keys (key, fingerprint, status, header, body)
VALUES (md5(pg_current_xact_id()::text), '` + fingerprint + `', 201, '` + header + `', convert_to('` + answer + `', 'UTF8'));
COMMIT;
`

var tps = regexp.MustCompile(`(?m)^tps = ([0-9.]+) `)

// pgbench returns how many transactions of the script are committed in a second.
func (s *stack) pgbench(ctx context.Context, o options) (float64, error) {
	if o.warmUp > 0 {
		if _, err := s.pgbenchFor(ctx, o.warmUp); err != nil {
			return 0, err
		}
	}
	return s.pgbenchFor(ctx, o.duration)
}

func (s *stack) pgbenchFor(ctx context.Context, d time.Duration) (float64, error) {
	bin, err := devstack.FindPostgres()
	if err != nil {
		return 0, err
	}
	file := filepath.Join(s.dir, "pgbench.sql")
	if err := os.WriteFile(file, []byte(script), 0o600); err != nil {
		return 0, err
	}
	seconds := int(math.Ceil(d.Seconds()))             // it takes whole ones only
	cmd := exec.Command(filepath.Join(bin, "pgbench"), //nolint:gosec,noctx // it is killed below, and with this process
		"--no-vacuum", "--protocol=prepared", fmt.Sprint("--client=", pgbenchClients),
		fmt.Sprint("--jobs=", min(pgbenchClients, runtime.NumCPU())), fmt.Sprint("--time=", seconds),
		"--file="+file, s.postgres.URL(baseline))
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	process, err := devstack.StartProcess(cmd)
	if err != nil {
		return 0, fmt.Errorf("start pgbench: %w", err)
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		return 0, errors.Join(ctx.Err(), process.Kill())
	}
	found := tps.FindSubmatch(out.Bytes())
	if err := process.Err(); err != nil || found == nil {
		return 0, fmt.Errorf("pgbench: %w\n%s", err, &out)
	}
	return strconv.ParseFloat(string(found[1]), 64)
}

// createDatabases makes the service's database, with rows in it, and the copy.
func (s *stack) createDatabases(ctx context.Context, rows int) error {
	if err := s.postgres.CreateDatabase(ctx, database, ""); err != nil {
		return err
	}
	config, err := postgres.ParseURL(s.postgres.URL(database))
	if err != nil {
		return err
	}
	if _, err := postgres.Migrate(ctx, config, sql.Migrations()); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	err = s.fill(ctx, rows)
	// A database that is copied must have no connections.
	if err := errors.Join(err, s.db.Close(ctx)); err != nil {
		return err
	}
	if err := s.postgres.CreateDatabase(ctx, baseline, database); err != nil {
		return err
	}
	if err := s.connect(ctx); err != nil {
		return err
	}
	s.parts = append(s.parts, s.db.Close)
	_, err = s.db.Exec(ctx, "CHECKPOINT")
	return err
}

func (s *stack) connect(ctx context.Context) (err error) {
	s.db, err = pgx.Connect(ctx, s.postgres.URL(database))
	return err
}

// fill makes invoices, their published events, and the answers to their commands.
func (s *stack) fill(ctx context.Context, rows int) error {
	if _, _, err := s.fillInvoices(ctx, rows); err != nil {
		return err
	}
	if _, err := s.db.Exec(ctx, `
		INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, traceparent, published_at)
		SELECT 'evt_' || lpad(n::text, 26, '0'), 'Invoice', 'inv_' || lpad(n::text, 26, '0'), 'billing.invoice.issued', $2, $3, now()
		FROM generate_series(1, $1::bigint) AS n`, rows, payload, traceparent); err != nil {
		return err
	}
	if _, err := s.db.Exec(ctx, `
		INSERT INTO idempotency_keys (key, fingerprint, status, header, body)
		SELECT md5('fill' || n), $2, 201, $3, $4
		FROM generate_series(1, $1::bigint) AS n`, rows, fingerprint, header, []byte(answer)); err != nil {
		return err
	}
	_, err := s.db.Exec(ctx, "VACUUM ANALYZE")
	return err
}

// fillInvoices makes issued invoices with the ids that idOf returns for first to
// last.
func (s *stack) fillInvoices(ctx context.Context, rows int) (first, last int, err error) {
	first, last = s.filled+1, s.filled+rows
	s.filled = last
	_, err = s.db.Exec(ctx, `
		INSERT INTO invoices (id, number, customer_id, amount, currency, status, due_date, issued_at, version)
		SELECT 'inv_' || lpad(n::text, 26, '0'), 'FILL-' || n, 'cust_42', 15000, 'EUR', 'issued', current_date + 30, now(), 1
		FROM generate_series($1::bigint, $2) AS n`, first, last)
	return first, last, err
}
