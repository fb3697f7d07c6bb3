package main

import (
	"errors"
	"io"
	"net"
	"net/url"
	"sync"
	"sync/atomic"
)

// wire is a way to a server that can be made to hang: it goes on taking
// connections and bytes, and nothing comes through.
type wire struct {
	gate   sync.RWMutex           // locked while the wire hangs
	server atomic.Pointer[string] // host:port
	net.Listener
}

// newWire returns a wire to the server in the URL, and the URL of the wire.
func (s *stack) newWire(server string) (w *wire, wired string) {
	s.Helper()
	u, err := url.Parse(server)
	s.must(err)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	s.must(err)
	w = &wire{Listener: listener}
	w.server.Store(&u.Host)
	wiredURL := *u
	wiredURL.Host = listener.Addr().String()
	go w.serve()
	s.Cleanup(func() { s.must(listener.Close()) })
	return w, wiredURL.String()
}

func (w *wire) serve() {
	for {
		client, err := w.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go w.connect(client)
		}
	}
}

func (w *wire) connect(client net.Conn) {
	defer client.Close()
	server, err := net.Dial("tcp", *w.server.Load())
	if err != nil {
		return
	}
	defer server.Close()
	go func() {
		defer client.Close()
		_, _ = io.Copy(gated{client, &w.gate}, server) // it ends when either side closes
	}()
	_, _ = io.Copy(gated{server, &w.gate}, client)
}

// gated is a writer that waits while the wire hangs.
type gated struct {
	io.Writer
	gate *sync.RWMutex
}

func (g gated) Write(p []byte) (int, error) {
	g.gate.RLock()
	defer g.gate.RUnlock()
	return g.Writer.Write(p)
}

// lead leads new connections to another server; those that are there stay.
func (w *wire) lead(to string) error {
	u, err := url.Parse(to)
	if err == nil {
		w.server.Store(&u.Host)
	}
	return err
}

func (w *wire) hang() { w.gate.Lock() }

func (w *wire) goOn() { w.gate.Unlock() }
