package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"log/slog"
	"time"

	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// operatorTimeout bounds an operator's command.
const operatorTimeout = time.Minute

// connect connects an operator's command to NATS. Unlike the service it does not
// wait for a NATS that is away for longer than a moment.
func connect(ctx context.Context, p program) (*natsbus.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	connected := make(chan struct{}, 1)
	bus, err := natsbus.Connect(p.config.NATS, "billing operator", slog.New(slog.DiscardHandler), func() {
		select {
		case connected <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return nil, err
	}
	select {
	case <-connected:
		return bus, nil
	case <-ctx.Done():
		bus.Close()
		return nil, errors.Join(fmt.Errorf("cannot reach NATS at %s", p.config.NATS), ctx.Err())
	}
}

// newFlags returns the flags of an operator's command: all of them have --json.
func newFlags(name string) (flags *flag.FlagSet, asJSON *bool) {
	flags = flag.NewFlagSet(name, flag.ContinueOnError)
	flags.SetOutput(io.Discard) // run prints the error together with the usage
	return flags, flags.Bool("json", false, "print JSON")
}

func parse(flags *flag.FlagSet, args []string) error {
	if err := flags.Parse(args); err != nil {
		return &usageError{err.Error()}
	}
	return nil
}
