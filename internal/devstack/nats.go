package devstack

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"

	"github.com/nats-io/nats-server/v2/server"
)

// NATSOptions says what StartNATS starts.
type NATSOptions struct {
	Dir        string // of the streams; made if it is missing
	Port       int    // preferred; the next free one is taken if it is in use, 0 means any
	SyncAlways bool   // a publish is acknowledged only after its fsync
	// Config is a file with the server's own settings, such as its users. It is
	// read at each start. Empty: JetStream for everybody.
	Config string
}

// NATS is a server on the loopback interface, inside of this process. Its methods,
// but not the server, are for one goroutine at a time.
type NATS struct {
	opts   NATSOptions
	port   int
	server *server.Server
	done   chan struct{}
}

// StartNATS returns when the server accepts connections.
func StartNATS(ctx context.Context, opts NATSOptions) (*NATS, error) {
	n := &NATS{opts: opts}
	err := onFreePort(opts.Port, func(port int) error {
		n.port = port
		return n.Start(ctx)
	})
	if err != nil {
		return nil, err
	}
	return n, nil
}

// URL is the address of the server.
func (n *NATS) URL() string { return fmt.Sprintf("nats://127.0.0.1:%d", n.port) }

// Start starts the server again after Stop, on the same port.
func (n *NATS) Start(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	opts := &server.Options{JetStream: true}
	if n.opts.Config != "" {
		var err error
		if opts, err = server.ProcessConfigFile(n.opts.Config); err != nil {
			return fmt.Errorf("start NATS: %w", err)
		}
	}
	opts.Host, opts.Port, opts.StoreDir = "127.0.0.1", n.port, n.opts.Dir
	opts.SyncAlways, opts.NoSigs = n.opts.SyncAlways, true
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start NATS: %w", err)
	}
	log := &natsLog{}
	s.SetLoggerV2(log, false, false, false)
	done := make(chan struct{})
	n.server, n.done = s, done
	go func() {
		s.Start()
		s.WaitForShutdown()
		close(done)
	}()
	err = poll(ctx, func() (bool, error) {
		if fatal := log.fatal.Load(); fatal != nil {
			return false, errors.New(*fatal)
		}
		return s.ReadyForConnections(pollInterval), nil
	})
	if err != nil {
		return errors.Join(fmt.Errorf("start NATS: %w", err), n.Stop(ctx))
	}
	return nil
}

// Stop closes all connections and returns when the server is gone.
func (n *NATS) Stop(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, stopTimeout)
	defer cancel()
	go n.server.Shutdown()
	select {
	case <-n.done:
		return nil
	case <-ctx.Done():
		return fmt.Errorf("stop NATS: %w", context.Cause(ctx))
	}
}

// Done is closed when the server has ended.
func (n *NATS) Done() <-chan struct{} { return n.done }

// Err waits for the end of the server, which leaves no error.
func (n *NATS) Err() error {
	<-n.done
	return nil
}

// natsLog keeps why the server could not start. The server's own logger would
// end the process.
type natsLog struct{ fatal atomic.Pointer[string] }

func (l *natsLog) Fatalf(format string, args ...any) {
	message := fmt.Sprintf(format, args...)
	l.fatal.CompareAndSwap(nil, &message)
}

func (l *natsLog) Errorf(string, ...any)  {}
func (l *natsLog) Warnf(string, ...any)   {}
func (l *natsLog) Noticef(string, ...any) {}
func (l *natsLog) Debugf(string, ...any)  {}
func (l *natsLog) Tracef(string, ...any)  {}
