// Package batch lets those who wait at the same time be served together.
//
// Nobody waits for company: who comes while a server is free is served at once.
// Who comes while all are busy shares the next turn, so that what a turn costs is
// paid once for all of them, and a queue grows no longer than one turn.
package batch

import (
	"runtime"
	"sync"
)

// Queue collects items for a fixed number of servers. Its length is bounded by how
// many add to it and wait. It is safe for concurrent use, and its goroutines end
// when nobody waits any more.
type Queue[T any] struct {
	serve   func([]T)
	servers int
	most    int

	mu      sync.Mutex
	waiting []T
	busy    int // servers
}

// NewQueue returns a Queue of which so many servers call serve side by side, each
// with at most so many items, in the order in which they came.
func NewQueue[T any](servers, most int, serve func(items []T)) *Queue[T] {
	return &Queue[T]{serve: serve, servers: servers, most: most}
}

// Add serves the item before it returns, alone, if a server is free; then it costs
// no more than a call of serve. If not, Add does not wait for the item's turn.
func (q *Queue[T]) Add(item T) {
	q.mu.Lock()
	if q.busy == q.servers {
		q.waiting = append(q.waiting, item)
		q.mu.Unlock()
		return
	}
	q.busy++
	q.mu.Unlock()
	defer q.goOn()
	q.serve([]T{item})
}

// Len returns how many items wait.
func (q *Queue[T]) Len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.waiting)
}

// goOn lets the server go on with those who have come meanwhile, in a goroutine of
// its own, or be free.
func (q *Queue[T]) goOn() {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.busy--
		return
	}
	go q.run()
}

func (q *Queue[T]) run() {
	for {
		// Who is ready to run may be about to come, and costs nothing to wait for.
		runtime.Gosched()
		items := q.take()
		if items == nil {
			return
		}
		q.serve(items)
	}
}

// take returns the items that have waited longest. If there are none the server
// is free again.
func (q *Queue[T]) take() []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		q.busy--
		return nil
	}
	n := min(q.most, len(q.waiting))
	items := q.waiting[:n:n]
	if q.waiting = q.waiting[n:]; len(q.waiting) == 0 {
		q.waiting = nil // what was served is not kept in memory
	}
	return items
}
