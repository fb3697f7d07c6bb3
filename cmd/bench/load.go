package main

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"
)

// load is commands of one kind, each with a new Idempotency-Key, over connections
// that are kept.
type load struct {
	body        string
	want        int // status of each answer
	connections int
	rate        float64 // commands a second by the clock; 0: a connection sends when it has its answer
	first, last int     // the invoices to pay, as idOf counts them; 0: invoices are issued
}

// measured is what became of a load.
type measured struct {
	began    time.Time // with the warm-up
	sent     int       // with the warm-up
	rate     float64   // answers a second
	p50, p99 time.Duration
}

// run fails also if an answer is another one than it should be. Latencies of a
// load by the clock count from the instant when a command was due.
func (l load) run(ctx context.Context, o options, addresses []string) (m measured, err error) {
	ctx, fail := context.WithCancelCause(ctx)
	defer fail(nil)
	workers := make([]*worker, l.connections)
	for n := range workers {
		conn, err := new(net.Dialer).DialContext(ctx, "tcp", addresses[n%len(addresses)])
		if err != nil {
			return m, err
		}
		context.AfterFunc(ctx, func() { _ = conn.Close() })
		workers[n] = &worker{conn: conn, in: bufio.NewReader(conn), answers: map[int]int{}}
	}
	m.began = time.Now()
	warm := m.began.Add(o.warmUp)
	var next atomic.Int64
	var working sync.WaitGroup
	for _, w := range workers {
		working.Go(func() {
			if err := w.work(ctx, l, &next, m.began, warm, warm.Add(o.duration)); err != nil {
				fail(err)
			}
		})
	}
	working.Wait()
	if ctx.Err() != nil {
		return m, context.Cause(ctx)
	}
	var latencies []time.Duration
	answers, inTime := map[int]int{}, 0
	for _, w := range workers {
		inTime += w.inTime
		latencies = append(latencies, w.latencies...)
		for status, count := range w.answers {
			answers[status] += count
			m.sent += count
		}
	}
	if answers[l.want] != m.sent {
		return m, fmt.Errorf("not all answers are %d; how many there were of each status: %v", l.want, answers)
	}
	if len(latencies) == 0 {
		return m, errors.New("no command was answered in time")
	}
	slices.Sort(latencies)
	m.rate = float64(inTime) / o.duration.Seconds()
	m.p50, m.p99 = latencies[len(latencies)*50/100], latencies[len(latencies)*99/100]
	return m, nil
}

// worker is a connection that sends one command after the other. It takes as
// little of the processor as it can, which the service needs: it understands the
// answers of this service, and no others.
type worker struct {
	conn net.Conn
	in   *bufio.Reader

	answers   map[int]int     // how many, by status
	inTime    int             // answers between warm-up and end
	latencies []time.Duration // of what was sent after the warm-up
}

func (w *worker) work(ctx context.Context, l load, next *atomic.Int64, began, warm, end time.Time) error {
	var text []byte
	for {
		n := int(next.Add(1)) - 1
		begin := time.Now()
		if l.rate > 0 {
			begin = began.Add(time.Duration(float64(n) / l.rate * float64(time.Second)))
			pause(ctx, time.Until(begin))
		}
		if !begin.Before(end) {
			return nil
		}
		if l.last > 0 && l.first+n > l.last {
			return errors.New("the invoices to pay were too few")
		}
		text = l.request(text, n)
		status, err := w.send(text)
		if err != nil {
			return fmt.Errorf("send a command: %w", err)
		}
		done := time.Now()
		w.answers[status]++
		if !begin.Before(warm) {
			w.latencies = append(w.latencies, done.Sub(begin))
		}
		if !done.Before(warm) && done.Before(end) {
			w.inTime++
		}
	}
}

// send sends a request and returns the status of the answer.
func (w *worker) send(request []byte) (status int, err error) {
	if _, err := w.conn.Write(request); err != nil {
		return 0, err
	}
	line, err := w.in.ReadSlice('\n')
	if err != nil {
		return 0, err
	}
	if len(line) < len("HTTP/1.1 200\r\n") {
		return 0, fmt.Errorf("no status line: %q", line)
	}
	if status, err = strconv.Atoi(string(line[9:12])); err != nil {
		return 0, err
	}
	length := 0
	for len(line) > len("\r\n") && err == nil {
		if line, err = w.in.ReadSlice('\n'); err != nil {
			return 0, err
		}
		if value, ok := bytes.CutPrefix(line, []byte("Content-Length: ")); ok {
			length, err = strconv.Atoi(string(bytes.TrimSpace(value)))
		}
	}
	if err == nil {
		_, err = w.in.Discard(length)
	}
	return status, err
}

// request writes the n-th command over text.
func (l load) request(text []byte, n int) []byte {
	path := "/v1/invoices"
	if l.last > 0 {
		path += "/" + idOf(l.first+n) + "/pay"
	}
	return fmt.Appendf(text[:0], "POST %s HTTP/1.1\r\nHost: billing\r\nContent-Type: application/json\r\n"+
		"Idempotency-Key: %016x%016x\r\nContent-Length: %d\r\n\r\n%s", path, rand.Uint64(), rand.Uint64(), len(l.body), l.body)
}

// idOf returns the id of an invoice that fillInvoices made.
func idOf(n int) string { return fmt.Sprintf("inv_%026d", n) }
