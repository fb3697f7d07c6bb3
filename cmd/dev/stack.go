package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"github.com/winaity/billing/internal/devstack"
)

// stack is billing and the servers that it connects to.
type stack struct {
	api     endpoint
	servers []server
	running []running // in the order of their start
}

// server is what billing connects to.
type server struct {
	name     string
	variable string // of the environment, with the URL
	url      string
	private  bool // started by us
}

type running struct {
	name string
	part
}

// part is what devstack starts.
type part interface {
	Done() <-chan struct{}
	Err() error
	Stop(ctx context.Context) error
}

// run starts everything and returns when ctx is over or a part ends by itself.
// Either way stop has to be called.
func (s *stack) run(ctx context.Context) error {
	if err := s.startServers(ctx); err != nil {
		return err
	}
	if err := s.migrate(ctx); err != nil {
		return err
	}
	if err := s.serve(); err != nil {
		return err
	}
	ended, ready := s.ended(), s.api.ready(ctx)
	for {
		select {
		case <-ctx.Done():
			return nil
		case err := <-ended:
			return err
		case <-ready:
			ready = nil
			if err := s.announce(); err != nil {
				return err
			}
		}
	}
}

// kinds are the servers that billing connects to, in the order of their start.
var kinds = []struct {
	name, variable string
	needs          []program
	start          func(context.Context) (part, string, error)
}{
	{"Postgres", "DATABASE_URL", []program{postgres}, startPostgres},
	{"NATS", "NATS_URL", nil, startNATS},
	{"Redis", "REDIS_URL", []program{redis}, startRedis},
}

func (s *stack) startServers(ctx context.Context) error {
	var needs []program
	for _, kind := range kinds {
		if os.Getenv(kind.variable) == "" {
			needs = append(needs, kind.needs...)
		}
	}
	if err := install(ctx, needs); err != nil {
		return err
	}

	for _, kind := range kinds {
		if url := os.Getenv(kind.variable); url != "" {
			s.servers = append(s.servers, server{name: kind.name, variable: kind.variable, url: url})
			continue
		}
		fmt.Printf("Starting %s.\n", kind.name)
		p, url, err := kind.start(ctx)
		if p != nil {
			s.running = append(s.running, running{kind.name, p})
		}
		if err != nil {
			return err
		}
		s.servers = append(s.servers, server{name: kind.name, variable: kind.variable, url: url, private: true})
	}
	return nil
}

func startPostgres(ctx context.Context) (part, string, error) {
	p, err := devstack.StartPostgres(ctx, devstack.PostgresOptions{
		Dir:     filepath.Join(directory, "postgres"),
		Port:    15432,
		Durable: true,
	})
	if err != nil {
		return nil, "", err
	}
	return p, p.URL("billing"), p.CreateDatabase(ctx, "billing", "")
}

func startNATS(ctx context.Context) (part, string, error) {
	n, err := devstack.StartNATS(ctx, devstack.NATSOptions{
		Dir:        filepath.Join(directory, "nats"),
		Port:       14222,
		SyncAlways: true,
	})
	if err != nil {
		return nil, "", err
	}
	return n, n.URL(), nil
}

func startRedis(ctx context.Context) (part, string, error) {
	r, err := devstack.StartRedis(ctx, devstack.RedisOptions{
		Dir:     filepath.Join(directory, "redis"),
		Port:    16379,
		Persist: true,
	})
	if err != nil {
		return nil, "", err
	}
	return r, r.URL(), nil
}

// ended sends an error for every part that ends.
func (s *stack) ended() <-chan error {
	ended := make(chan error, len(s.running))
	for _, r := range s.running {
		go func() {
			<-r.Done()
			if err := r.Err(); err != nil {
				ended <- fmt.Errorf("%s ended by itself: %w", r.name, err)
			} else {
				ended <- fmt.Errorf("%s ended by itself", r.name)
			}
		}()
	}
	return ended
}

// stop stops what was started, the last first. When ctx is over, it kills.
func (s *stack) stop(ctx context.Context) error {
	var errs []error
	for _, r := range slices.Backward(s.running) {
		if err := r.Stop(ctx); err != nil {
			errs = append(errs, fmt.Errorf("stop %s: %w", r.name, err))
		}
	}
	return errors.Join(append(errs, removeEnvFile())...)
}
