package main

import (
	"context"
	"errors"
	"net"
	"sync"
	"time"
)

// weather is what a link does to the bytes that pass. The zero weather is fine.
type weather struct {
	delay   time.Duration // of each chunk, in each direction
	stalled bool          // nothing passes until the weather changes
	deaf    bool          // requests pass, answers are lost
}

// link is a TCP proxy to one address whose connections can be slowed, stalled
// and cut.
type link struct {
	name     string
	listener net.Listener
	target   string

	mu      sync.Mutex
	weather weather
	changed chan struct{} // closed when the weather changes
	conns   map[net.Conn]struct{}
}

// newLink returns a link to target, for example 127.0.0.1:5432.
func newLink(ctx context.Context, name, target string) (*link, error) {
	listener, err := new(net.ListenConfig).Listen(ctx, "tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	l := &link{name: name, listener: listener, target: target, changed: make(chan struct{}), conns: map[net.Conn]struct{}{}}
	go l.accept() //nolint:contextcheck // it ends with the listener
	return l, nil
}

func (l *link) addr() string { return l.listener.Addr().String() }

// close ends the link and its connections.
func (l *link) close() {
	_ = l.listener.Close() // nobody else has it
	l.cut()
}

// set changes the weather.
func (l *link) set(w weather) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.weather = w
	close(l.changed)
	l.changed = make(chan struct{})
}

// cut ends all present connections.
func (l *link) cut() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for conn := range l.conns {
		_ = conn.Close() // it fails only if the connection is gone
	}
}

func (l *link) accept() {
	for {
		client, err := l.listener.Accept()
		if errors.Is(err, net.ErrClosed) {
			return
		}
		if err == nil {
			go l.serve(client)
		}
	}
}

// serve carries one connection until either end closes it.
func (l *link) serve(client net.Conn) {
	defer l.forget(client)
	l.remember(client)
	server, err := (&net.Dialer{Timeout: time.Second}).DialContext(context.Background(), "tcp", l.target)
	if err != nil {
		return
	}
	defer l.forget(server)
	l.remember(server)
	var both sync.WaitGroup
	both.Go(func() { l.carry(server, client, false) })
	both.Go(func() { l.carry(client, server, true) })
	both.Wait()
}

// carry copies until either end is closed, and then closes both.
func (l *link) carry(to, from net.Conn, answers bool) {
	defer func() {
		_ = to.Close()
		_ = from.Close()
	}()
	chunk := make([]byte, 16<<10)
	for {
		n, err := from.Read(chunk)
		if n > 0 && l.pass(answers) {
			if _, err := to.Write(chunk[:n]); err != nil {
				return
			}
		}
		if err != nil {
			return
		}
	}
}

// pass holds a chunk back as the weather demands, and returns false if it is
// lost.
func (l *link) pass(answer bool) bool {
	for {
		l.mu.Lock()
		w, changed := l.weather, l.changed
		l.mu.Unlock()
		switch {
		case w.stalled:
			<-changed
		case w.deaf:
			return !answer
		case w.delay > 0:
			select {
			case <-time.After(w.delay):
				return true
			case <-changed:
			}
		default:
			return true
		}
	}
}

func (l *link) remember(conn net.Conn) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.conns[conn] = struct{}{}
}

func (l *link) forget(conn net.Conn) {
	_ = conn.Close()
	l.mu.Lock()
	defer l.mu.Unlock()
	delete(l.conns, conn)
}
