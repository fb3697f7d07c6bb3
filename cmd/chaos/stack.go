package main

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"time"

	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

// patience bounds every wait for something that must happen.
const patience = 2 * time.Minute

// stack is the service with all that it needs, as real processes.
type stack struct {
	dir       string
	postgres  *devstack.Postgres
	redis     *devstack.Redis
	nats      *natsServer
	instances []*instance
}

// startStack starts the servers and then the instances. What was started is in
// the stack that it returns, also with an error.
func startStack(ctx context.Context, o options, died func(*instance, error)) (s *stack, err error) {
	s = &stack{}
	if s.dir, err = os.MkdirTemp("", "billing-chaos-"); err != nil {
		return s, err
	}
	// Durable: what Postgres acknowledged is on the disk, as it must be.
	if s.postgres, err = devstack.StartPostgres(ctx, devstack.PostgresOptions{Dir: s.postgresDir(), Durable: true}); err != nil {
		return s, err
	}
	if s.redis, err = devstack.StartRedis(ctx, devstack.RedisOptions{Dir: filepath.Join(s.dir, "redis"), Persist: true}); err != nil {
		return s, err
	}
	if s.nats, err = startNATS(ctx, filepath.Join(s.dir, "nats")); err != nil {
		return s, err
	}
	if err := s.postgres.CreateDatabase(ctx, database, ""); err != nil {
		return s, err
	}
	config, err := postgres.ParseURL(s.databaseURL())
	if err != nil {
		return s, err
	}
	if _, err := postgres.Migrate(ctx, config, sql.Migrations()); err != nil {
		return s, err
	}
	for n := range o.instances {
		i, err := s.newInstance(ctx, o.billing, n)
		if err != nil {
			return s, err
		}
		i.died = died
		s.instances = append(s.instances, i)
		if err := i.start(); err != nil {
			return s, err
		}
	}
	for _, i := range s.instances {
		if err := eventually(ctx, i.name+" is ready", func() error { return i.ready(ctx) }); err != nil {
			return s, err
		}
	}
	return s, nil
}

const database = "billing"

func (s *stack) databaseURL() string { return s.postgres.URL(database) }
func (s *stack) postgresDir() string { return filepath.Join(s.dir, "postgres") }

// newInstance makes an instance. All but the first reach what they need by links
// that can be disturbed; the clients reach each by one.
func (s *stack) newInstance(ctx context.Context, binary string, n int) (*instance, error) {
	name := fmt.Sprintf("billing-%d", n+1)
	port, err := devstack.FreePort(0)
	if err != nil {
		return nil, err
	}
	i := &instance{name: name, binary: binary, log: filepath.Join(s.dir, name+".log"), addr: fmt.Sprintf("127.0.0.1:%d", port)}
	if i.front, err = newLink(ctx, "clients → "+name, i.addr); err != nil {
		return nil, err
	}
	i.links = []*link{i.front}
	urls := map[string]string{"DATABASE_URL": s.databaseURL(), "NATS_URL": s.nats.URL(), "REDIS_URL": s.redis.URL()}
	for _, server := range []struct{ name, variable string }{{"Postgres", "DATABASE_URL"}, {"NATS", "NATS_URL"}, {"Redis", "REDIS_URL"}} {
		if n > 0 {
			u, err := url.Parse(urls[server.variable])
			if err != nil {
				return nil, err
			}
			l, err := newLink(ctx, name+" → "+server.name, u.Host)
			if err != nil {
				return nil, err
			}
			i.links = append(i.links, l)
			u.Host = l.addr()
			urls[server.variable] = u.String()
		}
		i.env = append(i.env, server.variable+"="+urls[server.variable])
	}
	i.env = append(i.env,
		"PATH="+os.Getenv("PATH"),
		"BILLING_HTTP_ADDR="+i.addr,
		// Shorter than in earnest, so that what a killed instance held comes
		// again within the run.
		"BILLING_CONSUMER_ACK_WAIT=5s",
		"BILLING_CONSUMER_BACKOFF=500ms",
		"BILLING_SHUTDOWN_TIMEOUT=10s",
	)
	return i, nil
}

// heal ends whatever disturbs a link.
func (s *stack) heal() {
	for _, i := range s.instances {
		for _, l := range i.links {
			l.set(weather{})
		}
	}
}

// stop ends all processes, and removes what they wrote unless it is to be kept.
func (s *stack) stop(keep bool) error {
	var errs []error
	for _, i := range s.instances {
		if i.proc != nil {
			errs = append(errs, i.kill())
		}
		for _, l := range i.links {
			l.close()
		}
	}
	if s.nats != nil && s.nats.proc != nil {
		errs = append(errs, s.nats.Kill())
	}
	if s.redis != nil {
		errs = append(errs, s.redis.Kill())
	}
	if s.postgres != nil {
		errs = append(errs, s.postgres.Kill())
	}
	if keep {
		return errors.Join(errs...)
	}
	// Postgres may be elsewhere, behind a symbolic link, if we are root.
	if elsewhere, err := filepath.EvalSymlinks(s.postgresDir()); err == nil {
		errs = append(errs, os.RemoveAll(elsewhere))
	}
	return errors.Join(append(errs, os.RemoveAll(s.dir))...)
}

// fatal is an error that waiting does not help against.
type fatal struct{ error }

// eventually tries until try succeeds, fails for good, or patience ends.
func eventually(ctx context.Context, what string, try func() error) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	for {
		err := try()
		if err == nil {
			return nil
		}
		if _, final := errors.AsType[fatal](err); final || !pause(ctx, 50*time.Millisecond) {
			return fmt.Errorf("gave up waiting until %s: %w", what, err)
		}
	}
}

// pause returns false when ctx ended first.
func pause(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return false
	case <-timer.C:
		return true
	}
}
