// Command bench measures the whole service side by side with what Postgres alone
// can do: `make bench`. It starts servers that keep what they acknowledge, runs
// pgbench and instances of billing on them in turn, and prints a table.
//
//	bench -duration 10s -instances 1,2,4 -rows 0,1000000
package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// options are what the command line may set.
type options struct {
	duration    time.Duration // of each load
	warmUp      time.Duration // before each, with the same load
	connections int           // of clients, in all
	instances   []int         // of the service, side by side
	rows        []int         // in the tables before the loads
	billing     string        // the service's program
	dir         string        // for the data of all servers
	svg         string        // file for the chart; empty: none
}

// defaultDuration is also the shortest that there is a chart of.
const defaultDuration = 10 * time.Second

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	o := options{instances: []int{1}, rows: []int{0}}
	flag.DurationVar(&o.duration, "duration", defaultDuration, "of each load")
	flag.DurationVar(&o.warmUp, "warm-up", 2*time.Second, "before each load")
	flag.IntVar(&o.connections, "connections", 64, "of clients, to all instances together")
	flag.Func("instances", "how many instances of the service to run, as a `list`: each but the first with few loads (default 1)", list(&o.instances, 1, 8))
	flag.Func("rows", "how many rows the tables have before the loads, as a `list` (default 0)", list(&o.rows, 0, 100_000_000))
	flag.StringVar(&o.billing, "billing", ".dev/bin/billing", "the service's `program`")
	flag.StringVar(&o.dir, "dir", ".dev", "the `directory` for data, which is removed in the end: on a disk, not in memory")
	flag.StringVar(&o.svg, "svg", "", "the `file` for a chart of the result")
	flag.Parse()
	// The NATS server is in this process, and holds a processor of Go's while it
	// waits for the disk: the clients have others.
	runtime.GOMAXPROCS(runtime.NumCPU() + 4)
	if err := run(ctx, o, os.Stdout); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

// list parses whole numbers from least to most, separated by commas.
func list(numbers *[]int, least, most int) func(string) error {
	return func(text string) error {
		*numbers = nil
		for field := range strings.SplitSeq(text, ",") {
			n, err := strconv.Atoi(field)
			if err != nil || n < least || n > most {
				return fmt.Errorf("not a list of numbers from %d to %d", least, most)
			}
			*numbers = append(*numbers, n)
		}
		return nil
	}
}

// run measures every combination of instances and rows, the first with all loads.
func run(ctx context.Context, o options, out io.Writer) error {
	var results []result
	for _, rows := range o.rows {
		for _, instances := range o.instances {
			r, err := measure(ctx, o, instances, rows, len(results) == 0)
			if err != nil {
				return err
			}
			results = append(results, r)
		}
	}
	if err := printTables(out, results); err != nil {
		return err
	}
	switch {
	case o.svg == "":
		return nil
	case o.duration < defaultDuration || o.connections != 64 || o.instances[0] != 1 || o.rows[0] != 0:
		fmt.Fprintf(os.Stderr, "%s is left as it is: it shows 64 connections, one instance, empty tables and at least %s a load\n", o.svg, defaultDuration)
		return nil
	default:
		return os.WriteFile(o.svg, chart(results[0]), 0o644) //nolint:gosec // a picture for everybody
	}
}
