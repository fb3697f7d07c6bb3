package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"time"

	"github.com/winaity/billing/internal/devstack"
)

const (
	preferredPort   = 8080
	shutdownTimeout = 20 * time.Second // of billing, unless BILLING_SHUTDOWN_TIMEOUT says otherwise
	shutdownMargin  = 5 * time.Second
	readyInterval   = 50 * time.Millisecond
	readyTimeout    = 2 * time.Second
)

// endpoint is where the API listens, and where clients find it.
type endpoint struct{ address, url string }

// chooseEndpoint takes BILLING_HTTP_ADDR or, if that is not set, a free port.
func chooseEndpoint() (endpoint, error) {
	wanted := os.Getenv("BILLING_HTTP_ADDR")
	if wanted == "" {
		port, err := devstack.FreePort(preferredPort)
		if err != nil {
			return endpoint{}, err
		}
		if port != preferredPort {
			fmt.Printf("Port %d is taken: billing listens on port %d.\n", preferredPort, port)
		}
		return endpoint{fmt.Sprintf(":%d", port), fmt.Sprintf("http://localhost:%d", port)}, nil
	}

	address, err := net.ResolveTCPAddr("tcp", wanted)
	if err != nil {
		return endpoint{}, fmt.Errorf("BILLING_HTTP_ADDR=%s: %w", wanted, err)
	}
	listener, err := net.ListenTCP("tcp", address)
	if err != nil {
		return endpoint{}, fmt.Errorf("BILLING_HTTP_ADDR=%s: %w", wanted, err)
	}
	host, port := "localhost", strconv.Itoa(address.Port)
	if address.IP != nil && !address.IP.IsUnspecified() {
		host = address.IP.String()
	}
	return endpoint{wanted, "http://" + net.JoinHostPort(host, port)}, listener.Close()
}

// ready is closed when the service answers that it is ready.
func (e endpoint) ready(ctx context.Context) <-chan struct{} {
	ready := make(chan struct{})
	go func() {
		tick := time.NewTicker(readyInterval)
		defer tick.Stop()
		for !e.isReady(ctx) {
			select {
			case <-ctx.Done():
				return
			case <-tick.C:
			}
		}
		close(ready)
	}()
	return ready
}

func (e endpoint) isReady(ctx context.Context) bool {
	ctx, cancel := context.WithTimeout(ctx, readyTimeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, e.url+"/readyz", http.NoBody)
	if err != nil {
		return false
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return false
	}
	return response.Body.Close() == nil && response.StatusCode == http.StatusOK
}

func (s *stack) migrate(ctx context.Context) error {
	fmt.Println("Migrating the database.")
	process, err := s.billing("migrate")
	if err != nil {
		return err
	}
	select {
	case <-process.Done():
	case <-ctx.Done():
		return process.Kill()
	}
	if err := process.Err(); err != nil {
		return fmt.Errorf("billing migrate: %w", err)
	}
	return nil
}

func (s *stack) serve() error {
	var err error
	if s.api, err = chooseEndpoint(); err != nil {
		return err
	}
	fmt.Println("Starting billing.")
	process, err := s.billing("serve", "BILLING_HTTP_ADDR="+s.api.address)
	if err != nil {
		return err
	}
	s.running = append(s.running, running{"billing", service{process}})
	return nil
}

// billing runs the program that was built next to this one.
func (s *stack) billing(command string, env ...string) (*devstack.Process, error) {
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	path, err := exec.LookPath(filepath.Join(filepath.Dir(self), "billing"))
	if err != nil {
		return nil, fmt.Errorf("%w: `make run` builds it", err)
	}
	cmd := exec.Command(path, command)
	cmd.Env = append(s.environment(), env...)
	cmd.Stdout, cmd.Stderr = os.Stdout, os.Stderr
	return devstack.StartProcess(cmd)
}

func (s *stack) environment() []string {
	env := os.Environ()
	if os.Getenv("BILLING_LOG_FORMAT") == "" {
		env = append(env, "BILLING_LOG_FORMAT=text")
	}
	env = append(env, "BILLING_CONSOLE="+consoleMode())
	for _, server := range s.servers {
		env = append(env, server.variable+"="+server.url)
	}
	return env
}

// consoleMode is that of BILLING_CONSOLE: on a stack of its own, people may do
// everything.
func consoleMode() string {
	if mode := os.Getenv("BILLING_CONSOLE"); mode != "" {
		return mode
	}
	return "demo"
}

// service is `billing serve`.
type service struct{ *devstack.Process }

// Stop gives billing the time that it gives itself, and reports if it did not
// end well.
func (s service) Stop(ctx context.Context) error {
	select {
	case <-s.Done():
		return nil
	default:
	}
	timeout, err := time.ParseDuration(os.Getenv("BILLING_SHUTDOWN_TIMEOUT"))
	if err != nil {
		timeout = shutdownTimeout
	}
	ctx, cancel := context.WithTimeoutCause(ctx, timeout+shutdownMargin, errors.New("it takes longer than BILLING_SHUTDOWN_TIMEOUT"))
	defer cancel()
	if err := s.Process.Stop(ctx); err != nil {
		return err
	}
	return s.Err()
}
