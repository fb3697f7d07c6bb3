// Command billing is the billing service and its operator's tools. Run
// `billing help` for what it can do.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/signal"
	"runtime/debug"
	"slices"
	"strings"
	"syscall"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	// A second signal ends the process at once.
	context.AfterFunc(ctx, stop)
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(300) // a few megabytes live: more of them are cheaper than to collect them so often
	}
	os.Exit(run(ctx, os.Args[1:], os.Getenv, os.Stdout, os.Stderr))
}

// Exit codes.
const (
	exitOK       = 0
	exitFailure  = 1
	exitBadUsage = 2 // of the command line or the environment; nothing was touched
)

// run is the whole program: tests call it as main does. It returns the exit code.
func run(ctx context.Context, args []string, getenv func(string) string, stdout, stderr io.Writer) int {
	name := "serve"
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		name, args = args[0], args[1:]
	}
	i := slices.IndexFunc(commands, func(c command) bool { return c.name == name })
	if i < 0 {
		printUsage(stderr)
		if name == "help" {
			return exitOK
		}
		fmt.Fprintf(stderr, "\nbilling: unknown command %q\n", name)
		return exitBadUsage
	}
	c := commands[i]
	config, err := loadConfig(getenv, c.needs)
	if err != nil {
		fmt.Fprintln(stderr, err)
		return exitBadUsage
	}
	err = c.run(ctx, program{config: config, log: newLogger(stderr, config), stdout: stdout}, args)
	switch usage := (*usageError)(nil); {
	case err == nil:
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprintf(stderr, "billing %s: %v\nusage: billing %s %s\n", name, err, name, c.args)
		return exitBadUsage
	default:
		fmt.Fprintf(stderr, "billing %s: %v\n", name, err)
		return exitFailure
	}
}

// program is what a command runs with.
type program struct {
	config config
	log    *slog.Logger
	stdout io.Writer
}

// command is one of the things that billing can do.
type command struct {
	name, args, help string
	needs            needs
	run              func(ctx context.Context, p program, args []string) error
}

var commands = []command{
	{"serve", "", "serve the API, publish the outbox, consume events (the default)", needs{database: true, nats: true, redis: true}, serve},
	{"migrate", "", "bring the database up to date", needs{database: true}, migrate},
	{"outbox", "status | republish --since TIME|AGO [--dry-run]", "show what waits to be published; publish again what a stream lost", needs{database: true}, outbox},
	{"dlq", "list | show ID | replay ID…|--all|--type TYPE [--dry-run] | drop …", "show, replay and drop dead letters", needs{nats: true}, dlq},
	{"audit", "[--grace 1m] [--limit 20]", "check numbers, documents and the stream against the tables", needs{database: true, nats: true}, audit},
	{"healthcheck", "", "exit 0 if the service on this machine is alive", needs{}, healthcheck},
}

// usageError is an error of the command line.
type usageError struct{ message string }

func (e *usageError) Error() string { return e.message }

func printUsage(w io.Writer) {
	fmt.Fprint(w, "usage: billing [command]\n\n")
	for _, c := range commands {
		fmt.Fprintf(w, "  %-12s %s\n", c.name, c.help)
		if c.args != "" {
			fmt.Fprintf(w, "  %-12s   billing %s %s\n", "", c.name, c.args)
		}
	}
	fmt.Fprint(w, "\nThe operator's commands take --json. The environment configures all of them: see README.md.\n")
}
