package main

import (
	"context"
	"errors"
	"io"
	"log"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"syscall"

	"github.com/jackc/pgx/v5"
)

// fakeBilling is a program with the outside of cmd/billing.
func fakeBilling() {
	log.SetFlags(0)
	log.SetPrefix("fake: ")
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, os.Getenv("DATABASE_URL"))
	if err != nil {
		log.Fatal(err)
	}
	switch os.Args[1] {
	case "migrate":
		code, _ := strconv.Atoi(os.Getenv("FAKE_MIGRATE_EXIT"))
		if _, err := conn.Exec(ctx, "CREATE TABLE IF NOT EXISTS runs (at timestamptz)"); err != nil {
			log.Fatal(err)
		}
		os.Exit(code)
	case "serve":
		if err := fakeServe(ctx, conn); err != nil {
			log.Fatal(err)
		}
	}
}

func fakeServe(ctx context.Context, conn *pgx.Conn) error {
	terminated := make(chan os.Signal, 1)
	signal.Notify(terminated, syscall.SIGTERM)

	var runs int
	if err := conn.QueryRow(ctx, "WITH run AS (INSERT INTO runs VALUES (now())) SELECT count(*) + 1 FROM runs").Scan(&runs); err != nil {
		return err
	}
	answer := func(path string, text func(*http.Request) string) {
		http.HandleFunc("GET "+path, func(w http.ResponseWriter, r *http.Request) {
			_, _ = io.WriteString(w, text(r))
		})
	}
	answer("/readyz", func(*http.Request) string { return "ready" })
	answer("/runs", func(*http.Request) string { return strconv.Itoa(runs) })
	answer("/env/{name}", func(r *http.Request) string { return os.Getenv(r.PathValue("name")) })
	answer("/die", func(*http.Request) string { os.Exit(3); return "" })
	listener, err := net.Listen("tcp", os.Getenv("BILLING_HTTP_ADDR"))
	if err != nil {
		return err
	}
	go func() { log.Print(http.Serve(listener, nil)) }()

	for <-terminated; os.Getenv("FAKE_IGNORES_SIGTERM") != ""; <-terminated {
		log.Print("SIGTERM")
	}
	for _, name := range []string{"DATABASE_URL", "NATS_URL", "REDIS_URL"} {
		server, err := url.Parse(os.Getenv(name))
		if err != nil {
			return err
		}
		conn, dialErr := net.Dial("tcp", server.Host)
		if dialErr != nil {
			return dialErr
		}
		if err := conn.Close(); err != nil {
			return err
		}
	}
	log.Print("stopped before its servers")
	return errors.Join(listener.Close(), conn.Close(ctx))
}
