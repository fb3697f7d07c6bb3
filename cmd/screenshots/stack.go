package main

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"

	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

// stack is the service with all that it needs, and a collector for its spans.
type stack struct {
	url   string
	spans *collector
	parts []func(context.Context) error // stop what was started, in the order of starting
}

// startStack starts everything. What was started is in the stack that it
// returns, also with an error.
func startStack(ctx context.Context, billing string) (*stack, error) {
	s := &stack{}
	dir, err := os.MkdirTemp("", "billing-screenshots-")
	if err != nil {
		return s, err
	}
	s.parts = append(s.parts, func(context.Context) error { return os.RemoveAll(dir) })

	database, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: filepath.Join(dir, "postgres")})
	if err != nil {
		return s, err
	}
	s.parts = append(s.parts, database.Stop)
	redis, err := devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(dir, "redis")})
	if err != nil {
		return s, err
	}
	s.parts = append(s.parts, redis.Stop)
	nats, err := devstack.StartNATS(ctx, devstack.NATSOptions{Dir: filepath.Join(dir, "nats")})
	if err != nil {
		return s, err
	}
	s.parts = append(s.parts, nats.Stop)
	if s.spans, err = startCollector(); err != nil {
		return s, err
	}
	s.parts = append(s.parts, s.spans.stop)

	const name = "billing"
	if err := database.CreateDatabase(ctx, name, ""); err != nil {
		return s, err
	}
	config, err := postgres.ParseURL(database.URL(name))
	if err != nil {
		return s, err
	}
	if _, err := postgres.Migrate(ctx, config, sql.Migrations()); err != nil {
		return s, err
	}
	port, err := devstack.FreePort(0)
	if err != nil {
		return s, err
	}
	address := fmt.Sprintf("127.0.0.1:%d", port)
	s.url = "http://" + address

	service := exec.Command(billing, "serve")
	service.Env = append(os.Environ(),
		"DATABASE_URL="+database.URL(name), "NATS_URL="+nats.URL(), "REDIS_URL="+redis.URL(),
		"BILLING_HTTP_ADDR="+address, "BILLING_CONSOLE=demo", "BILLING_LOG_LEVEL=warn", "BILLING_LOG_FORMAT=text",
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT="+s.spans.url, "OTEL_BSP_SCHEDULE_DELAY=200")
	service.Stdout, service.Stderr = os.Stdout, os.Stderr
	process, err := devstack.StartProcess(service)
	if err != nil {
		return s, err
	}
	s.parts = append(s.parts, process.Stop)
	return s, s.awaitReady(ctx)
}

func (s *stack) awaitReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, patience, errors.New("the service did not become ready"))
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		request, err := http.NewRequestWithContext(ctx, http.MethodGet, s.url+"/readyz", http.NoBody)
		if err != nil {
			return err
		}
		response, err := http.DefaultClient.Do(request)
		if err == nil && response.Body.Close() == nil && response.StatusCode == http.StatusOK {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// stop stops what was started, the last first.
func (s *stack) stop(ctx context.Context) (err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for _, part := range slices.Backward(s.parts) {
		err = errors.Join(err, part(ctx))
	}
	return err
}
