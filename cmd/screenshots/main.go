// Command screenshots makes the pictures of docs/images: `make screenshots`. It
// runs the service on servers of its own, lets it work for a while so that there
// is something to see, and takes pictures of the console in a browser: light,
// dark and on a phone; and of a trace.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"syscall"
	"time"

	"github.com/winaity/billing/internal/browser"
)

const patience = 30 * time.Second

type options struct {
	billing string        // the program
	out     string        // directory
	warm    time.Duration // how long it works before the first picture
}

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	context.AfterFunc(ctx, stop) // a second signal ends the process at once
	var o options
	flag.StringVar(&o.billing, "billing", ".dev/bin/billing", "the `program`")
	flag.StringVar(&o.out, "out", "docs/images", "the `directory` for the pictures")
	flag.DurationVar(&o.warm, "warm", 130*time.Second, "how long the service works before the first picture; the plots show two minutes")
	flag.Parse()
	if err := run(ctx, o); err != nil {
		fmt.Fprintln(os.Stderr, "screenshots:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, o options) (err error) {
	fmt.Println("Starting the service.")
	s, err := startStack(ctx, o.billing)
	defer func() { err = errors.Join(err, s.stop(context.WithoutCancel(ctx))) }()
	if err != nil {
		return err
	}
	fmt.Println("Letting it work for", o.warm)
	if err := work(ctx, s.url, o.warm); err != nil {
		return err
	}
	page, closeIt, err := browser.Open(ctx)
	if err != nil {
		return err
	}
	defer closeIt()
	if err := takeConsole(ctx, page, s.url, o.out); err != nil {
		return err
	}
	return takeTrace(ctx, page, s.url, s.spans, o.out)
}

// save writes a picture.
func save(page *browser.Page, dir, name string) error {
	png, err := page.Screenshot()
	if err != nil {
		return err
	}
	path := filepath.Join(dir, name)
	fmt.Printf("%s (%d KiB)\n", path, len(png)/1024)
	return os.WriteFile(path, png, 0o644)
}
