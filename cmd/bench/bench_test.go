package main

import (
	"bytes"
	"context"
	"encoding/xml"
	"fmt"
	"math"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

func TestBench(t *testing.T) {
	o := options{connections: 64, duration: 300 * time.Millisecond, instances: []int{1, 2}, rows: []int{100}, dir: t.TempDir()}
	o.billing = filepath.Join(o.dir, "billing")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", o.billing, "../billing")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the service: %v\n%s", err, out)
	}
	t.Run("the table has every line", func(t *testing.T) { everyLine(t, o) })
	t.Run("pgbench writes what the service writes", func(t *testing.T) { sameRows(t, o) })
}

func everyLine(t *testing.T, o options) {
	t.Helper()
	var out bytes.Buffer
	must(t, run(t.Context(), o, &out))
	t.Logf("\n%s", &out)
	for _, begin := range []string{
		"pgbench, before the rest ", "pgbench, after the rest ", "pgbench, 16 clients, mean ",
		"keyed invoices, 64 connections ", "keyed invoices, 1 connection ", "keyed invoices at half the rate ",
		"keyed payments, 64 connections ", "receipts of these payments ", "payment to receipt at 300/s ",
		"memory of the service at its peak ", "1          100   ", "2          100   ",
	} {
		if !strings.Contains(out.String(), "\n"+begin) {
			t.Errorf("no line begins with %q", begin)
		}
	}
}

func sameRows(t *testing.T, o options) {
	t.Helper()
	s, err := startStack(t.Context(), o, 1, 0)
	t.Cleanup(func() { must(t, s.stop(context.Background())) })
	must(t, err)
	_, err = issue(1, 0).run(t.Context(), o, s.addresses)
	must(t, err)
	_, err = s.pgbench(t.Context(), o)
	must(t, err)
	for _, table := range []string{"invoices", "outbox", "idempotency_keys"} {
		var sizes [2]float64
		for n, name := range []string{database, baseline} {
			conn, err := pgx.Connect(t.Context(), s.postgres.URL(name))
			must(t, err)
			must(t, conn.QueryRow(t.Context(), fmt.Sprintf("SELECT avg(pg_column_size(t.*))::float8 FROM %s AS t", table)).Scan(&sizes[n]))
			must(t, conn.Close(t.Context()))
		}
		if math.Abs(sizes[0]/sizes[1]-1) > 0.05 {
			t.Errorf("a row of %s has %.0f bytes, and %.0f of pgbench", table, sizes[0], sizes[1])
		}
	}
}

func TestChart(t *testing.T) {
	svg := chart(result{before: 4000, after: 5000, invoices: measured{rate: 1500}, payments: measured{rate: 1200}, receipts: 900})
	must(t, xml.Unmarshal(svg, new(struct{})))
	if !bytes.Contains(svg, []byte("0.33× · 1500/s")) {
		t.Errorf("no ratio in\n%s", svg)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
