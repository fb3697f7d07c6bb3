package simulation

import (
	"context"
	"fmt"
	"log/slog"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
)

// Ports are what the plumbing asks of the outside world.
type Ports struct {
	Commands, Effects messaging.Store[Tx]
	Outbox            messaging.Outbox
	Publisher         messaging.Publisher
	Source            messaging.Source
	Letters           messaging.DeadLetters
	Claims            messaging.Claims
}

// Wraps put something around what a process works with, as tests do that take a
// guard away; each may be nil.
type Wraps struct {
	Database func(groupcommit.Database[Tx]) groupcommit.Database[Tx]
	Ports    func(*Ports)
}

const (
	ackWait      = 10 * time.Second
	maxDeliver   = 5
	batchTimeout = 20 * time.Second
	ackTimeout   = 5 * time.Second
	requestTime  = 5 * time.Second
	window       = 2 * time.Minute
)

// world is one run: the servers, the processes of the service, and its clients.
type world struct {
	seed   uint64
	dice   dice
	faults *Faults
	wraps  Wraps

	db     *Database
	stream *Stream
	cache  *Cache

	groups      groupcommit.Size
	batchSize   int
	concurrency int
	key         messaging.DedupKey
	instances   []*instance

	mu       sync.Mutex
	things   []string // that clients know
	commands []*record
}

func newWorld(seed uint64, wraps Wraps) *world {
	d := newDice(seed, "world", 0)
	w := &world{
		seed: seed, dice: d, faults: NewFaults(seed), wraps: wraps,
		db: NewDatabase(), cache: NewCache(),
		stream: NewStream(StreamOptions{
			Window: window, Subjects: map[string]bool{typeChanged: true},
			AckWait: ackWait, MaxDeliver: maxDeliver, MaxPayload: 1 << 20,
		}),
		groups:      []groupcommit.Size{{}, {Groups: 1, Members: 128}, {Groups: 2, Members: 4}}[d.IntN(3)],
		batchSize:   []int{1, 3, 20, 100}[d.IntN(4)],
		concurrency: 1 + d.IntN(4),
		key:         []messaging.DedupKey{messaging.ByEventID, messaging.ByNaturalKey}[d.IntN(2)],
	}
	for i := range 1 + d.IntN(2) {
		w.instances = append(w.instances, &instance{world: w, name: fmt.Sprint("instance ", i)})
	}
	return w
}

// instance is one of the processes, which is started anew after its end.
type instance struct {
	world *world
	name  string
	lives int

	mu      sync.Mutex
	guard   *idempotency.Guard[Tx] // nil while it is down
	process *Process
	stop    context.CancelFunc // what SIGTERM does
	kill    func()
	working *sync.WaitGroup
}

// start starts the process with all that runs in it.
func (i *instance) start() {
	w := i.world
	gone := make(chan struct{})
	i.lives++
	p := NewProcess(fmt.Sprint(i.name, " life ", i.lives), w.faults, gone)
	ctx, stop := context.WithCancel(context.Background())
	wake := messaging.NewSignal()
	conn := w.db.Connect(p, wake)
	var db groupcommit.Database[Tx] = conn
	if w.wraps.Database != nil {
		db = w.wraps.Database(db)
	}
	source := w.stream.Source(p)
	ports := &Ports{
		Commands: NewStore(db, w.groups), Effects: NewStore(db, w.groups),
		Outbox: w.db.Outbox(p), Publisher: w.stream.Publisher(p, ackTimeout),
		Source: source, Letters: source,
		Claims: w.cache.Claims(p),
	}
	if w.wraps.Ports != nil {
		w.wraps.Ports(ports)
	}
	log := slog.New(slog.DiscardHandler)
	relay := messaging.NewRelay(ports.Outbox, ports.Publisher, wake, messaging.RelayOptions{
		BatchSize: w.batchSize, PollInterval: 10 * time.Second, BatchTimeout: batchTimeout,
	}, messaging.NoObserver{}, log)
	once := messaging.NewOnce(ports.Effects, ports.Claims, messaging.OnceOptions{
		Key: w.key, Lease: messaging.HandleTimeout(ackWait), TTL: time.Hour,
	}, messaging.NoObserver{}, log)
	consumer := messaging.NewConsumer(ports.Source, ports.Letters, once, handlers, messaging.ConsumerOptions{
		Concurrency: w.concurrency, MaxDeliver: maxDeliver, AckWait: ackWait, Backoff: 200 * time.Millisecond, Ready: conn.Ready,
	}, messaging.NoObserver{}, log)

	i.mu.Lock()
	defer i.mu.Unlock()
	i.guard = idempotency.NewGuard(ports.Commands, noMetrics{})
	i.process, i.stop, i.working = p, stop, &sync.WaitGroup{}
	i.kill = sync.OnceFunc(func() { close(gone); stop() })
	i.working.Go(func() { relay.Run(ctx) })
	i.working.Go(func() { consumer.Run(ctx) })
}

// crash ends the process at once. The database may take some time to notice.
func (i *instance) crash(unnoticed time.Duration) {
	i.mu.Lock()
	p, kill := i.process, i.kill
	i.guard = nil
	i.mu.Unlock()
	kill()
	time.AfterFunc(unnoticed, func() { i.world.db.Disconnect(p) })
}

// drain ends the process as soon as what it has begun is finished.
func (i *instance) drain() {
	i.mu.Lock()
	stop, working, kill := i.stop, i.working, i.kill
	i.guard = nil
	i.mu.Unlock()
	stop()
	working.Wait()
	kill()
}

// current returns the guard of the process as it runs now, and nil while it is
// down.
func (i *instance) current() (*idempotency.Guard[Tx], *Process) {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.guard, i.process
}

type noMetrics struct{}

func (noMetrics) Command(string, string)    {}
func (noMetrics) Keyed(idempotency.Outcome) {}
