package main

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"text/tabwriter"
	"time"
)

// printTables prints the first result in full, then all of them if there are
// more, and how they came about.
func printTables(w io.Writer, results []result) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	printAll(table, results[0])
	if len(results) > 1 {
		printEach(table, results)
	}
	fmt.Fprintf(table, "\n%s\n", strings.Join(os.Args, " "))
	fmt.Fprintf(table, "%d cores for the service, its servers and the clients. Postgres has fsync and synchronous_commit on, NATS\n"+
		"has sync_interval: always, the service has BILLING_LOG_LEVEL=warn. pgbench inserts the rows of a keyed invoice\n"+
		"(invoices, outbox, idempotency_keys) in one transaction, without a number. Receipts count from the first payment\n"+
		"that was sent to the last receipt that was committed. Payment to receipt is documents.issued_at − invoices.paid_at,\n"+
		"by the clock of this machine.\n", runtime.NumCPU())
	return table.Flush()
}

func printAll(w io.Writer, r result) {
	row := func(load, result string, m measured, ratio string) {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\n", load, result, milliseconds(m.p50), milliseconds(m.p99), ratio)
	}
	fmt.Fprintln(w, "load\tresult\tp50\tp99\tagainst pgbench")
	row("pgbench, before the rest", fmt.Sprintf("%.0f transactions/s", r.before), measured{}, "")
	row("pgbench, after the rest", fmt.Sprintf("%.0f transactions/s", r.after), measured{}, "")
	row(fmt.Sprintf("pgbench, %d clients, mean", pgbenchClients), fmt.Sprintf("%.0f transactions/s", r.pgbench()), measured{}, r.ratio(r.pgbench()))
	row(fmt.Sprintf("keyed invoices, %d connections", r.connections), fmt.Sprintf("%.0f invoices/s", r.invoices.rate), r.invoices, r.ratio(r.invoices.rate))
	row("keyed invoices, 1 connection", fmt.Sprintf("%.0f invoices/s", r.single.rate), r.single, r.ratio(r.single.rate))
	row("keyed invoices at half the rate", fmt.Sprintf("%.0f invoices/s", r.paced.rate), r.paced, "")
	row(fmt.Sprintf("keyed payments, %d connections", r.connections), fmt.Sprintf("%.0f payments/s", r.payments.rate), r.payments, r.ratio(r.payments.rate))
	row("receipts of these payments", fmt.Sprintf("%.0f receipts/s", r.receipts), measured{}, r.ratio(r.receipts))
	row(fmt.Sprintf("payment to receipt at %d/s", steadyRate), fmt.Sprintf("%.0f payments/s", r.latency.rate), r.latency, "")
	memory := "unknown here"
	if r.memory > 0 {
		memory = fmt.Sprintf("%.0f MB", float64(r.memory)/1e6)
	}
	row("memory of the service at its peak", memory, measured{}, "")
}

// printEach prints a line for each result.
func printEach(w io.Writer, results []result) {
	fmt.Fprintln(w, "\ninstances\trows\tpgbench\tkeyed invoices\tp99\tagainst pgbench\tkeyed payments\tp99\tagainst pgbench\treceipts\tagainst pgbench")
	for _, r := range results {
		fmt.Fprintf(w, "%d\t%d\t%.0f/s\t%.0f/s\t%s\t%s\t%.0f/s\t%s\t%s\t%.0f/s\t%s\n", r.instances, r.rows, r.pgbench(),
			r.invoices.rate, milliseconds(r.invoices.p99), r.ratio(r.invoices.rate),
			r.payments.rate, milliseconds(r.payments.p99), r.ratio(r.payments.rate),
			r.receipts, r.ratio(r.receipts))
	}
}

func (r result) ratio(rate float64) string { return fmt.Sprintf("%.2f×", rate/r.pgbench()) }

func milliseconds(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return fmt.Sprintf("%.1f ms", float64(d)/float64(time.Millisecond))
}

// chart draws what is compared with pgbench, as SVG. Its colours can be read on
// white and on black.
func chart(r result) []byte {
	const width, left, top, step, thick, full = 720, 160, 44, 34, 22, 360
	bars := []struct {
		name  string
		rate  float64
		color string
	}{
		{"pgbench", r.pgbench(), "#8b949e"},
		{"keyed invoices", r.invoices.rate, "#2f81f7"},
		{"keyed payments", r.payments.rate, "#2f81f7"},
		{"receipts", r.receipts, "#2f81f7"},
	}
	longest := 0.0
	for _, bar := range bars {
		longest = max(longest, bar.rate)
	}
	var svg bytes.Buffer
	height := top + len(bars)*step + 26
	fmt.Fprintf(&svg, `<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d" viewBox="0 0 %[1]d %[2]d" font-family="system-ui, sans-serif" font-size="14" fill="#77808a">`+"\n", width, height)
	fmt.Fprintf(&svg, `<text x="0" y="20" font-weight="bold">The service against pgbench, which commits the rows of a keyed invoice</text>`+"\n")
	for n, bar := range bars {
		y := top + n*step
		length := bar.rate / longest * full
		fmt.Fprintf(&svg, `<text x="%d" y="%d" text-anchor="end">%s</text>`+"\n", left-12, y+16, bar.name)
		fmt.Fprintf(&svg, `<rect x="%d" y="%d" width="%.1f" height="%d" rx="3" fill="%s"/>`+"\n", left, y, length, thick, bar.color)
		fmt.Fprintf(&svg, `<text x="%.1f" y="%d">%s · %.0f/s</text>`+"\n", left+length+10, y+16, r.ratio(bar.rate), bar.rate)
	}
	fmt.Fprintf(&svg, `<text x="0" y="%d" font-size="12">%d clients of pgbench, %d connections to one instance, %d cores for everything; all commits and messages are fsynced</text>`+"\n</svg>\n",
		height-8, pgbenchClients, r.connections, runtime.NumCPU())
	return svg.Bytes()
}
