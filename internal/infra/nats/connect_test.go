package natsbus

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"testing"

	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/fault"
)

func TestConnectSurvivesWithoutServer(t *testing.T) {
	t.Parallel()
	server := devstack.NATSForTest(t)
	if err := server.Stop(timeout(t)); err != nil {
		t.Fatal(err)
	}
	var log buffer
	connected := make(chan struct{}, 10)
	config, err := ParseURL(strings.Replace(server.URL(), "nats://", "nats://user:secret@", 1))
	if err != nil {
		t.Fatal(err)
	}
	conn, err := Connect(config, t.Name(), slog.New(slog.NewTextHandler(&log, nil)), func() { connected <- struct{}{} })
	if err != nil {
		t.Fatalf("Connect without a server: %v", err)
	}
	defer conn.Close()
	if err := conn.Ready(timeout(t)); fault.KindOf(err) != fault.Unavailable {
		t.Errorf("Ready without a server: %v, want an Unavailable error", err)
	}

	for range 2 {
		if err := server.Start(timeout(t)); err != nil {
			t.Fatal(err)
		}
		select {
		case <-connected:
		case <-timeout(t).Done():
			t.Fatal("onConnect was not called")
		}
		if err := conn.Ready(timeout(t)); err != nil {
			t.Errorf("Ready with a server: %v", err)
		}
		if err := server.Stop(timeout(t)); err != nil {
			t.Fatal(err)
		}
		eventually(t, "unready", func(ctx context.Context) error {
			if conn.Ready(ctx) == nil {
				return errors.New("ready")
			}
			return nil
		})
	}
	if strings.Contains(log.String(), "secret") {
		t.Errorf("the log tells the password:\n%s", log.String())
	}
}

// buffer is a bytes.Buffer for several goroutines.
type buffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}
