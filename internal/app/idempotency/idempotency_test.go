package idempotency_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/simulation"
)

var (
	request    = idempotency.Request{Key: "key", Fingerprint: "print"}
	stranger   = idempotency.Request{Key: "key", Fingerprint: "another"}
	errRefused = fault.New(fault.Conflict, "refused", "It is refused.")
)

// bench is a guard with what it works on.
type bench struct {
	*idempotency.Guard[simulation.Tx]
	runs int // of commands, that had an effect

	mu    sync.Mutex
	heard []string
}

func newBench() *bench {
	b := &bench{}
	b.Guard = b.another(simulation.NewDatabase())
	return b
}

// another returns a guard that works on the same database.
func (b *bench) another(db *simulation.Database) *idempotency.Guard[simulation.Tx] {
	process := simulation.NewProcess("test", nil, nil)
	return idempotency.NewGuard(simulation.NewStore(db.Connect(process, messaging.NewSignal()), groupcommit.Size{}), b)
}

func (b *bench) hear(what string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.heard = append(b.heard, what)
}

func (b *bench) Command(name, outcome string) { b.hear(name + " " + outcome) }
func (b *bench) Keyed(o idempotency.Outcome)  { b.hear(string(o)) }
func (b *bench) hears(t *testing.T, w ...string) {
	t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	if !slices.Equal(b.heard, w) {
		t.Errorf("heard %q, want %q", b.heard, w)
	}
	b.heard = nil
}

// command takes a number, unless it is refused before.
func (b *bench) command(r idempotency.Request, refusal error) idempotency.Command[simulation.Tx] {
	return idempotency.Command[simulation.Tx]{Name: "open", Request: r, Run: func(tx simulation.Tx) (idempotency.Answer, error) {
		if refusal != nil {
			return idempotency.Answer{}, refusal
		}
		n, err := tx.NextNumber("TEST")
		if err != nil {
			return idempotency.Answer{}, err
		}
		b.runs++
		return idempotency.Answer{Status: 201, Body: []byte(n.String())}, nil
	}}
}

// answers fails the test unless the command is answered with that body.
func (b *bench) answers(t *testing.T, r idempotency.Request, body string, replayed bool) {
	t.Helper()
	answer, err := b.Do(t.Context(), b.command(r, nil))
	if err != nil || string(answer.Body) != body || answer.Status != 201 || answer.Replayed != replayed {
		t.Errorf("answer %+v (%s), %v; want %s", answer, answer.Body, err, body)
	}
}

func number(n int) string { return fmt.Sprintf("TEST-%04d-%04d", time.Now().Year(), n) }

func TestCommandWithoutAKeyHasItsEffectEachTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.answers(t, idempotency.Request{}, number(1), false)
		b.answers(t, idempotency.Request{}, number(2), false)
		b.hears(t, "open changed", "open changed")
	})
}

func TestRepetitionGetsTheFirstAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.answers(t, request, number(1), false)
		b.hears(t, "open changed", "fresh")
		b.answers(t, request, number(1), true)
		b.hears(t, "open replayed", "replayed")
		if b.runs != 1 {
			t.Errorf("it had its effect %d times", b.runs)
		}
	})
}

func TestRefusalIsNotKept(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		if _, err := b.Do(t.Context(), b.command(request, errRefused)); !errors.Is(err, errRefused) {
			t.Errorf("got %v", err)
		}
		b.hears(t, "open conflict", "failed")
		b.answers(t, request, number(1), false)
	})
}

func TestKeyOfAnotherRequestIsRefused(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.answers(t, request, number(1), false)
		if _, err := b.Do(t.Context(), b.command(stranger, nil)); !errors.Is(err, idempotency.ErrReused) {
			t.Errorf("got %v", err)
		}
		b.hears(t, "open changed", "fresh", "open invalid", "reused")
	})
}

func TestTwinOfARunningRequestIsTurnedAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b, db := newBench(), simulation.NewDatabase()
		here, there := b.another(db), b.another(db)
		slow := b.command(request, nil)
		run, runs := slow.Run, 0
		slow.Run = func(tx simulation.Tx) (idempotency.Answer, error) {
			if runs++; runs == 2 { // it has the key now
				<-time.After(time.Second)
			}
			return run(tx)
		}
		var first sync.WaitGroup
		first.Go(func() {
			if _, err := here.Do(context.Background(), slow); err != nil {
				t.Error(err)
			}
		})
		synctest.Wait()
		for _, guard := range []*idempotency.Guard[simulation.Tx]{here, there} {
			if _, err := guard.Do(t.Context(), b.command(request, nil)); !errors.Is(err, idempotency.ErrInFlight) {
				t.Errorf("got %v", err)
			}
		}
		if _, err := here.Do(t.Context(), b.command(stranger, nil)); !errors.Is(err, idempotency.ErrReused) {
			t.Errorf("another request got %v", err)
		}
		first.Wait()
		for _, guard := range []*idempotency.Guard[simulation.Tx]{here, there} {
			if again, err := guard.Do(t.Context(), b.command(request, nil)); err != nil || !again.Replayed {
				t.Errorf("got %+v, %v", again, err)
			}
		}
	})
}

func TestPanicFreesTheKey(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		buggy := b.command(request, nil)
		buggy.Run = func(simulation.Tx) (idempotency.Answer, error) { panic("a bug") }
		func() {
			defer func() {
				if recover() == nil {
					t.Error("nobody hears of the panic")
				}
			}()
			_, _ = b.Do(t.Context(), buggy)
		}()
		b.answers(t, request, number(1), false)
	})
}

func TestCommandThatChangesNothingIsAnsweredAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		look := idempotency.Command[simulation.Tx]{Name: "look", Request: request, Run: func(simulation.Tx) (idempotency.Answer, error) {
			return idempotency.Answer{Status: 200}, nil
		}}
		for range 2 {
			if _, err := b.Do(t.Context(), look); err != nil {
				t.Error(err)
			}
		}
		b.hears(t, "look unchanged", "fresh", "look replayed", "replayed")
	})
}
