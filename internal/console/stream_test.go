package console

import (
	"context"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	httpapi "github.com/winaity/billing/internal/http"
)

// A stream outlives the timeouts that the server has for requests, as long as its
// client reads; one that does not is dropped.
func TestStreamLastsAsLongAsItsClientReads(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		c := New(Options{Mode: Read})
		listener := make(pipes)
		server := &http.Server{Handler: httpapi.Handle(c.stream), ReadTimeout: 10 * time.Second, WriteTimeout: 15 * time.Second}
		go func() { _ = server.Serve(listener) }()
		transport := &http.Transport{DialContext: listener.dial}
		open := func() io.ReadCloser {
			t.Helper()
			r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://console/console/stream", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			res, err := transport.RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			return res.Body
		}
		wantReaders := func(want int) {
			t.Helper()
			synctest.Wait()
			c.feed.mu.Lock()
			defer c.feed.mu.Unlock()
			if n := len(c.feed.readers); n != want {
				t.Errorf("%d readers, want %d", n, want)
			}
		}
		reading, idle := open(), open()
		heard := make(chan string, 1)
		go func() {
			text, _ := io.ReadAll(reading)
			heard <- string(text)
		}()
		wantReaders(2)

		long := strings.Repeat("x", 1<<20) // more than the client's library reads ahead
		c.feed.setState(state{DeadLetters: []Letter{{Payload: long}}})
		<-time.After(writeTimeout + time.Second)
		wantReaders(1)
		<-time.After(10 * time.Minute)
		wantReaders(1)
		c.feed.setState(state{Relay: "paused"})
		synctest.Wait()
		c.End()
		wantReaders(0)
		if text := <-heard; !strings.HasPrefix(text, "retry: 1000\n\nevent: state\n") || !strings.Contains(text, "\n\n:\n\n") || !strings.HasSuffix(text, "paused\",\"dependencies\":null,\"invoices\":null,\"deadLetters\":null}\n\n") {
			t.Errorf("heard %.100q … %q", text, text[max(len(text)-200, 0):])
		}
		_ = idle.Close()
		_ = server.Close()
		transport.CloseIdleConnections()
	})
}

// pipes is a net.Listener whose connections buffer nothing.
type pipes chan net.Conn

func (p pipes) dial(_ context.Context, _, _ string) (net.Conn, error) {
	client, server := net.Pipe()
	p <- server
	return client, nil
}

func (p pipes) Accept() (net.Conn, error) {
	conn, ok := <-p
	if !ok {
		return nil, net.ErrClosed
	}
	return conn, nil
}

func (p pipes) Close() error { close(p); return nil }

func (p pipes) Addr() net.Addr { return &net.UnixAddr{} }
