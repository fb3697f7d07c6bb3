package main

import (
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/winaity/billing/cmd/chaos/internal/check"
)

// result is what a run has shown.
type result struct {
	options      options
	began        time.Time
	took         time.Duration
	report       check.Report
	faults       map[kind]int
	longestWait  time.Duration // of a client, for the answer to a command
	longestQuiet time.Duration // without an answer to any client
	quietAfter   time.Duration // from the last repair
}

// maxShown bounds how many violations are printed in full.
const maxShown = 30

// print prints the table, and what went wrong.
func (r result) print(w io.Writer) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(name string, value any) { fmt.Fprintf(table, "%s\t%v\n", name, value) }
	row("seed", r.options.seed)
	row("duration", fmt.Sprintf("%s of load with %d instances, %s in all", r.options.duration, r.options.instances, r.took.Round(time.Second)))
	row("commands", fmt.Sprintf("%d in %d attempts", r.report.Commands, r.report.Attempts))
	row("  acknowledged", r.report.Acknowledged)
	row("  too late", r.report.TooLate)
	row("invoices", r.report.Invoices)
	row("documents", r.report.Documents)
	row("events", r.report.Events)
	row("  in the stream", r.report.Messages)
	row("  repeated there", fmt.Sprintf("%d, explained", r.report.Duplicates))
	row("dead letters", r.report.Letters)
	total := 0
	for _, n := range r.faults {
		total += n
	}
	row("faults", total)
	for _, k := range kinds {
		row("  "+string(k), r.faults[k])
	}
	row("longest wait for an answer", r.longestWait.Round(time.Millisecond))
	row("longest silence for all clients", r.longestQuiet.Round(time.Millisecond))
	row("quiet after the last repair", r.quietAfter.Round(time.Millisecond))
	for _, class := range check.Classes {
		row(string(class), r.report.Count(class))
	}
	if err := table.Flush(); err != nil {
		return err
	}
	return r.printViolations(w)
}

func (r result) printViolations(w io.Writer) error {
	if len(r.report.Violations) == 0 {
		_, err := fmt.Fprintln(w, "\nEvery promise was kept.")
		return err
	}
	fmt.Fprintf(w, "\n%d violations:\n", len(r.report.Violations))
	for n, v := range r.report.Violations {
		if n == maxShown {
			fmt.Fprintln(w, "  …")
			break
		}
		fmt.Fprintf(w, "  %s: %s\n", v.Class, v.Detail)
	}
	_, err := fmt.Fprintf(w, "\nRepeat it: chaos -seed %d -duration %s -instances %d\n", r.options.seed, r.options.duration, r.options.instances)
	return err
}
