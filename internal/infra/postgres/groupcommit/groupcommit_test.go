package groupcommit_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/simulation"
)

type (
	tx   = simulation.Tx
	work = func(tx) error
)

var errUnwanted = errors.New("nobody wants it")

// bench is a database on which a test holds up, slows down or fails transactions.
type bench struct {
	*simulation.Connection
	group *groupcommit.Group[tx]

	begin      chan struct{}     // the first transaction waits for it
	load, save time.Duration     // that these take
	heldUp     time.Duration     // of the load, by a lock
	ctx        []context.Context // of the first members

	mu        sync.Mutex
	fail      []failure // what becomes of the next commits
	committed int       // by how many transactions
	waits     []bool    // of each transaction
}

// failure is an error of a commit, and what it means.
type failure struct {
	verdict groupcommit.Verdict
	applied bool // it has committed all the same
}

func (failure) Error() string { return "the commit has failed" }

func newBench(ctx ...context.Context) *bench {
	b := &bench{Connection: connect(simulation.NewDatabase()), begin: make(chan struct{}), ctx: ctx}
	b.group = groupcommit.New[tx](b, groupcommit.Size{Groups: 1, Members: 16})
	return b
}

func connect(db *simulation.Database) *simulation.Connection {
	return db.Connect(simulation.NewProcess("test", nil, nil), messaging.NewSignal())
}

func (b *bench) Transact(ctx context.Context, waits bool, f func(groupcommit.Transaction[tx]) error) error {
	b.mu.Lock()
	b.waits = append(b.waits, waits)
	first := len(b.waits) == 1
	b.mu.Unlock()
	if first {
		<-b.begin
	}
	return b.Connection.Transact(ctx, waits, func(t groupcommit.Transaction[tx]) error { return f(transaction{t, b}) })
}

func (b *bench) Judge(err error) groupcommit.Verdict {
	if f, ok := errors.AsType[failure](err); ok {
		return f.verdict
	}
	return b.Connection.Judge(err)
}

type transaction struct {
	groupcommit.Transaction[tx]
	bench *bench
}

func (t transaction) Load(ctx context.Context) error {
	<-time.After(t.bench.load)
	t.Unit().HeldUp(t.bench.heldUp)
	return t.Transaction.Load(ctx)
}

func (t transaction) Commit(ctx context.Context) error {
	<-time.After(t.bench.save)
	t.bench.mu.Lock()
	defer t.bench.mu.Unlock()
	var fails failure
	failing := len(t.bench.fail) > 0
	if failing {
		fails, t.bench.fail = t.bench.fail[0], t.bench.fail[1:]
	}
	if failing && !fails.applied {
		return fails
	}
	if err := t.Transaction.Commit(ctx); err != nil {
		return err
	}
	t.bench.committed++
	if failing {
		return fails
	}
	return nil
}

// together lets works be the members of one group, and returns what each is told.
func (b *bench) together(works ...work) []error {
	outcomes := make([]error, len(works))
	var calls sync.WaitGroup
	calls.Go(func() { _ = b.group.Atomically(context.Background(), func(tx) error { return nil }) })
	synctest.Wait()
	for i, w := range works {
		calls.Go(func() {
			defer func() {
				if p := recover(); p != nil {
					outcomes[i] = fmt.Errorf("panic: %v", p)
				}
			}()
			ctx := context.Background()
			if i < len(b.ctx) {
				ctx = b.ctx[i]
			}
			outcomes[i] = b.group.Atomically(ctx, w)
		})
		synctest.Wait() // so that they come in this order
	}
	close(b.begin)
	calls.Wait()
	return outcomes
}

// opens makes a thing with the next number, and ends with an error.
func opens(id string, err error) work {
	return func(tx tx) error {
		n, failed := tx.NextNumber("THING")
		if failed != nil {
			return failed
		}
		if failed := tx.Put(simulation.Thing{ID: id, Number: n, Changes: []string{"opened"}}); failed != nil {
			return failed
		}
		return errors.Join(err, tx.Publish(event.Event{Type: "thing.opened", AggregateID: id, Version: 1}))
	}
}

// changes adds a change to a thing.
func changes(id, change string) work {
	return func(tx tx) error {
		thing, err := tx.Thing(id)
		if err != nil {
			return err
		}
		thing.Changes = append(slices.Clip(thing.Changes), change)
		return tx.Put(thing)
	}
}

// has fails the test unless these are the numbers of the things, 0 for none.
func (b *bench) has(t *testing.T, want map[string]int) {
	t.Helper()
	store := simulation.NewStore(b.Connection, groupcommit.Size{})
	for id, ordinal := range want {
		var thing simulation.Thing
		err := store.Atomically(t.Context(), func(tx tx) (err error) {
			thing, err = tx.Thing(id)
			return err
		})
		if err != nil && !errors.Is(err, simulation.ErrNoThing) || thing.Number.Ordinal != ordinal {
			t.Errorf("%s has number %d, want %d (%v)", id, thing.Number.Ordinal, ordinal, err)
		}
	}
}

// tells fails the test unless each was told this.
func tells(t *testing.T, outcomes []error, want ...error) {
	t.Helper()
	for i, err := range outcomes {
		if !errors.Is(err, want[i]) {
			t.Errorf("member %d was told %v, want %v", i, err, want[i])
		}
	}
}

func TestMemberThatIsRefusedLeavesNoGap(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		tells(t, b.together(opens("a", nil), opens("b", errUnwanted), opens("c", nil)), nil, errUnwanted, nil)
		b.has(t, map[string]int{"a": 1, "b": 0, "c": 2})
		if b.committed != 1 {
			t.Errorf("%d commits for one group", b.committed)
		}
	})
}

func TestMemberThatTheDatabaseRefusesIsFound(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		unstorable := func(tx tx) error {
			return tx.Put(simulation.Thing{ID: "b", Changes: []string{"opened"}, Unstorable: true})
		}
		outcomes := b.together(opens("a", nil), unstorable, opens("c", nil), opens("d", nil), opens("e", nil))
		if fault.KindOf(outcomes[1]) != fault.Invalid {
			t.Errorf("the one to blame was told %v", outcomes[1])
		}
		outcomes[1] = nil
		tells(t, outcomes, nil, nil, nil, nil, nil)
		b.has(t, map[string]int{"a": 1, "b": 0, "c": 2, "d": 3, "e": 4})
	})
}

func TestGroupThatIsDisbandedIsDoneOneByOne(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.fail = []failure{{verdict: groupcommit.Disband}}
		tells(t, b.together(opens("a", nil), opens("b", nil)), nil, nil)
		if b.committed != 2 || !slices.Equal(b.waits, []bool{false, false, true, true}) {
			t.Errorf("%d commits; transactions that wait: %v", b.committed, b.waits)
		}
	})
}

func TestMemberThatHasToWaitHoldsUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		alone := simulation.NewStore(b.Connection, groupcommit.Size{})
		if err := alone.Atomically(t.Context(), opens("a", nil)); err != nil {
			t.Fatal(err)
		}
		var other sync.WaitGroup
		runs := 0
		other.Go(func() {
			_ = alone.Atomically(t.Context(), func(tx tx) error {
				if runs++; runs == 2 { // it has the lock now
					<-time.After(time.Second)
				}
				return changes("a", "by another")(tx)
			})
		})
		start := time.Now()
		var opened time.Duration
		outcomes := b.together(changes("a", "by a member"), func(tx tx) error {
			opened = time.Since(start)
			return opens("b", nil)(tx)
		}, changes("none", "in vain"))
		other.Wait()
		tells(t, outcomes, nil, nil, simulation.ErrNoThing)
		if opened > 100*time.Millisecond || time.Since(start) < time.Second {
			t.Errorf("one was done after %v, all after %v", opened, time.Since(start))
		}
		b.has(t, map[string]int{"a": 1, "b": 2})
	})
}

// Otherwise those that come back would for ever be a group, and those that wait
// another: twice as many turns at the lock.
func TestThoseThatWereHeldUpCanBeInTheNextGroup(t *testing.T) {
	for heldUp, commits := range map[time.Duration]int{time.Millisecond: 3, 40 * time.Millisecond: 2} {
		t.Run(heldUp.String(), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.load, b.heldUp = 40*time.Millisecond, heldUp
				var waiting sync.WaitGroup
				waiting.Go(func() {
					<-time.After(10 * time.Millisecond)
					_ = b.group.Atomically(t.Context(), opens("c", nil))
				})
				tells(t, b.together(opens("a", nil), opens("b", nil)), nil, nil)
				<-time.After(10 * time.Millisecond)
				_ = b.group.Atomically(t.Context(), opens("d", nil))
				waiting.Wait()
				<-time.After(time.Second) // the last pause is over
				b.has(t, map[string]int{"a": 1, "b": 2, "c": 3, "d": 4})
				if b.committed != commits {
					t.Errorf("%d commits, want %d", b.committed, commits)
				}
			})
		})
	}
}

func TestTransactionWithoutEffectIsRunAgain(t *testing.T) {
	for failures, want := range map[int]error{3: nil, 4: failure{verdict: groupcommit.Again}} {
		t.Run(fmt.Sprint(failures), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				b.fail = slices.Repeat([]failure{{verdict: groupcommit.Again}}, failures)
				tells(t, b.together(opens("a", nil), opens("b", nil)), want, want)
			})
		})
	}
}

func TestEachIsToldThatTheCommitIsUnknown(t *testing.T) {
	for _, applied := range []bool{false, true} {
		t.Run(fmt.Sprint(applied), func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				b := newBench()
				unknown := failure{groupcommit.Final, applied}
				b.fail = []failure{unknown}
				tells(t, b.together(opens("a", nil), opens("b", errUnwanted), opens("c", nil)), unknown, unknown, unknown)
				number := map[bool]int{true: 1}[applied]
				b.has(t, map[string]int{"a": number, "b": 0, "c": 2 * number})
			})
		})
	}
}

func TestMemberThatLeavesInTimeHasNoEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 1500*time.Millisecond)
		defer cancel()
		b := newBench(ctx)
		b.load = time.Second
		loadsTwice := func(tx tx) error {
			if err := opens("b", nil)(tx); err != nil {
				return err
			}
			_, err := tx.Receive("handler", "message")
			return err
		}
		outcomes := b.together(opens("a", nil), loadsTwice)
		tells(t, outcomes, context.DeadlineExceeded, nil)
		if strings.Contains(outcomes[0].Error(), "not known") {
			t.Errorf("the one that left was told %v", outcomes[0])
		}
		b.has(t, map[string]int{"a": 0, "b": 1})
	})
}

func TestMemberThatLeavesTooLateMayHaveItsEffect(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		defer cancel()
		b := newBench(ctx)
		b.save = time.Second
		outcomes := b.together(opens("a", nil), opens("b", nil))
		tells(t, outcomes, context.DeadlineExceeded, nil)
		if !strings.Contains(outcomes[0].Error(), "not known") {
			t.Errorf("the one that left was told %v", outcomes[0])
		}
		b.has(t, map[string]int{"a": 1, "b": 2})
	})
}

func TestWhoHasLeftBeforeItsTurnIsNotRun(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithCancelCause(t.Context())
		cancel(errUnwanted)
		b := newBench(ctx)
		tells(t, b.together(func(tx) error { t.Error("it was run"); return nil }), errUnwanted)
	})
}

func TestNobodyWaitsForEver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		never := hanging{b.Connection}
		group := groupcommit.New[tx](never, groupcommit.Size{Groups: 1, Members: 16})
		start := time.Now()
		if err := group.Atomically(context.Background(), opens("a", nil)); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("got %v", err)
		}
		if took := time.Since(start); took > time.Minute {
			t.Errorf("it took %v", took)
		}
	})
}

// hanging is a database that does not answer.
type hanging struct{ *simulation.Connection }

func (hanging) Transact(ctx context.Context, _ bool, _ func(groupcommit.Transaction[tx]) error) error {
	<-ctx.Done()
	return ctx.Err()
}

func TestPanicReachesItsCallerOnly(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		outcomes := b.together(opens("a", nil), func(tx tx) error {
			if err := opens("b", nil)(tx); err != nil {
				return err
			}
			panic("a bug")
		}, opens("c", nil))
		if err := outcomes[1]; err == nil || !strings.Contains(err.Error(), "a bug") {
			t.Errorf("its caller was told %v", err)
		}
		outcomes[1] = nil
		tells(t, outcomes, nil, nil, nil)
		b.has(t, map[string]int{"a": 1, "b": 0, "c": 2})
	})
}

// The last one is refused for what another has changed; so it is told no earlier
// than that is committed.
func TestMembersSeeEachOthersChanges(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		b.save = time.Second
		start := time.Now()
		var refused time.Duration
		stale := func(tx tx) error {
			thing, err := tx.Thing("a")
			if err == nil && thing.Version() != 1 {
				err = errUnwanted
			}
			return err
		}
		alone := simulation.NewStore(b.Connection, groupcommit.Size{})
		if err := alone.Atomically(t.Context(), opens("a", nil)); err != nil {
			t.Fatal(err)
		}
		outcomes := b.together(changes("a", "one"), changes("a", "two"), stale, changes("a", "three"))
		refused = time.Since(start)
		tells(t, outcomes, nil, nil, errUnwanted, nil)
		if refused < time.Second {
			t.Errorf("it was refused after %v", refused)
		}
		var thing simulation.Thing
		if err := alone.Atomically(t.Context(), func(tx tx) (err error) { thing, err = tx.Thing("a"); return err }); err != nil {
			t.Fatal(err)
		}
		if got := strings.Join(thing.Changes, " "); got != "opened one two three" {
			t.Errorf("changes: %s", got)
		}
	})
}

// A refusal takes back what its member has changed of a row, and nothing of others.
func TestWhatARefusedMemberHasChangedIsTakenBack(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		received := func(err error) work {
			return func(tx tx) error {
				if fresh, _ := tx.Receive("handler", "message"); !fresh {
					t.Error("it is not new")
				}
				if !tx.Changed() {
					if _, failed := tx.NextNumber("THING"); failed != nil {
						return failed
					}
				}
				return err
			}
		}
		tells(t, b.together(received(errUnwanted), received(nil)), errUnwanted, nil)
	})
}

func TestWhatChangesNothingIsNotCommitted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		b := newBench()
		tells(t, b.together(changes("none", "in vain"), func(tx) error { return nil }), simulation.ErrNoThing, nil)
		if b.committed != 0 {
			t.Errorf("%d commits", b.committed)
		}
	})
}
