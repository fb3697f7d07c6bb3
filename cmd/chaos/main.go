// Command chaos puts the service to the test: it runs real servers and several
// instances of billing, drives a seeded load, breaks everything that can break
// meanwhile, and in the end compares what its clients were told with what is in
// the tables and in the stream. It exits with 1 if a promise was not kept.
//
//	chaos -duration 10m -seed 7
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	os.Exit(command(ctx, os.Args[1:], os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK        = 0
	exitViolation = 1
	exitFailure   = 2 // there is no verdict
)

func command(ctx context.Context, args []string, stdout, stderr io.Writer) int {
	if len(args) > 0 && args[0] == natsCommand {
		return exitCode(stderr, serveNATS(ctx, args[1:]))
	}
	o, err := parseOptions(args, stderr)
	if errors.Is(err, flag.ErrHelp) {
		return exitOK
	}
	if err != nil {
		return exitFailure // parsing has said why
	}
	result, err := run(ctx, o, stderr)
	if err != nil {
		return exitCode(stderr, fmt.Errorf("seed %d: %w", o.seed, err))
	}
	if err := result.print(stdout); err != nil {
		return exitCode(stderr, err)
	}
	if len(result.report.Violations) > 0 {
		return exitViolation
	}
	return exitOK
}

func exitCode(stderr io.Writer, err error) int {
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
		return exitFailure
	}
	return exitOK
}

// options are what the command line may set.
type options struct {
	duration  time.Duration // of the load; what follows takes about as long as the last fault
	seed      uint64
	instances int
	billing   string // path of the service's binary
	keep      bool   // the directory with data and logs
	verbose   bool
}

func parseOptions(args []string, stderr io.Writer) (options, error) {
	var o options
	flags := flag.NewFlagSet("chaos", flag.ContinueOnError)
	flags.SetOutput(stderr)
	flags.DurationVar(&o.duration, "duration", time.Minute, "for how long to send commands")
	flags.Uint64Var(&o.seed, "seed", rand.Uint64N(1_000_000), "of the load and the faults; random by default")
	flags.IntVar(&o.instances, "instances", 3, "how many instances of the service to run")
	flags.StringVar(&o.billing, "billing", "", "the service's binary; by default the one beside this program")
	flags.BoolVar(&o.keep, "keep", false, "keep data and logs; they are kept anyway if something is wrong")
	flags.BoolVar(&o.verbose, "v", false, "say what breaks, when")
	if err := flags.Parse(args); err != nil {
		return options{}, err
	}
	err := o.complete(flags.Args())
	if err != nil {
		fmt.Fprintln(stderr, "chaos:", err)
	}
	return o, err
}

// complete checks the options and fills in what is not constant.
func (o *options) complete(rest []string) error {
	switch {
	case len(rest) > 0:
		return fmt.Errorf("unexpected argument %q", rest[0])
	case o.duration < 5*time.Second || o.duration > 24*time.Hour:
		return errors.New("-duration must be from 5s to 24h")
	case o.instances < 1 || o.instances > 10:
		return errors.New("-instances must be from 1 to 10")
	}
	if o.billing == "" {
		self, err := os.Executable()
		if err != nil {
			return err
		}
		o.billing = filepath.Join(filepath.Dir(self), "billing")
	}
	if _, err := os.Stat(o.billing); err != nil {
		return fmt.Errorf("build the service first (go build -o DIR ./cmd/billing), or say where it is by -billing: %w", err)
	}
	return nil
}
