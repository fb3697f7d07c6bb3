package batch_test

import (
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/winaity/billing/internal/app/batch"
)

// server notes what it was given, and takes a second for it.
type server struct {
	mu    sync.Mutex
	turns [][]int
	busy  int
	most  int // busy at a time
}

func (s *server) serve(items []int) {
	s.mu.Lock()
	s.turns = append(s.turns, slices.Clone(items))
	s.busy++
	s.most = max(s.most, s.busy)
	s.mu.Unlock()
	<-time.After(time.Second)
	s.mu.Lock()
	defer s.mu.Unlock()
	s.busy--
}

func TestWhoWaitsSharesATurn(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		q := batch.NewQueue(1, 3, s.serve)
		go q.Add(0)
		synctest.Wait() // it is served at once, without company
		for i := 1; i <= 5; i++ {
			q.Add(i)
		}
		synctest.Wait()
		if n := q.Len(); n != 5 {
			t.Errorf("%d wait, want 5", n)
		}
		<-time.After(10 * time.Second)
		want := [][]int{{0}, {1, 2, 3}, {4, 5}}
		if !slices.EqualFunc(s.turns, want, slices.Equal) {
			t.Errorf("turns %v, want %v", s.turns, want)
		}
		start := time.Now()
		q.Add(6) // a server is free again: that serves it before it returns
		if took := time.Since(start); took != time.Second {
			t.Errorf("it took %v", took)
		}
		<-time.After(10 * time.Second)
		if n := len(s.turns); n != 4 || q.Len() != 0 {
			t.Errorf("%d turns, and %d wait", n, q.Len())
		}
	})
}

func TestNoMoreServersThanAllowed(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := &server{}
		q := batch.NewQueue(3, 1, s.serve)
		for i := range 10 {
			go q.Add(i)
		}
		<-time.After(time.Minute)
		if len(s.turns) != 10 || s.most != 3 {
			t.Errorf("%d turns, %d at a time", len(s.turns), s.most)
		}
	})
}
