// Command demo drives a running billing service over HTTP and shows what it
// does: each command, the events that follow from it, what caused them, and
// after how many milliseconds. It fails when what has to follow does not.
package main

import (
	"cmp"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
	"time"
)

// patience bounds each scene: the slowest has five deliveries with back-off.
const patience = 15 * time.Second

func main() {
	ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	err := run(ctx, os.Getenv, os.Stdout, isTerminal(os.Stdout) && os.Getenv("NO_COLOR") == "")
	cancel()
	if err != nil {
		fmt.Fprintln(os.Stderr, "\ndemo:", err)
		os.Exit(1)
	}
}

func isTerminal(f *os.File) bool {
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0
}

func run(ctx context.Context, getenv func(string) string, out io.Writer, color bool) error {
	// Everything that the demo does has this in its correlation ids, which is how
	// it knows its own events among those of others.
	name := "demo-" + rand.Text()[:8]

	api := newAPI(cmp.Or(getenv("BILLING_URL"), "http://localhost:8080"))
	state, err := api.ready(ctx)
	if err != nil {
		return fmt.Errorf("no billing service at %s: %w\nStart it with `make run` or `docker compose up --build --wait`, or set BILLING_URL", api.url, err)
	}
	stream, err := openStream(ctx, cmp.Or(getenv("NATS_URL"), "nats://localhost:4222"), name)
	if err != nil {
		return fmt.Errorf("cannot watch the events: %w\nSet NATS_URL to the NATS that the service at %s uses", err, api.url)
	}
	defer stream.close()

	screen := &screen{out: out, color: color}
	screen.header(api.url, state, stream.server())
	for i, s := range scenes {
		screen.scene(i+1, s.title)
		correlationID := fmt.Sprintf("%s-%d", name, i+1)
		d := &demo{api: api.correlatedBy(correlationID), stream: stream, screen: screen, id: correlationID}
		ctx, cancel := context.WithTimeoutCause(ctx, patience, fmt.Errorf("it did not within %s", patience))
		err := s.play(d, ctx)
		cancel()
		if err != nil {
			return fmt.Errorf("scene %d failed: %w", i+1, err)
		}
	}
	screen.end()
	return nil
}
