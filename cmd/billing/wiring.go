package main

import (
	"context"
	"log/slog"
	"maps"
	"net/http"
	"slices"
	"sync/atomic"
	"time"

	"github.com/winaity/billing/docs"
	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/console"
	httpapi "github.com/winaity/billing/internal/http"
	"github.com/winaity/billing/internal/infra/metrics"
	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	redisstore "github.com/winaity/billing/internal/infra/redis"
	"github.com/winaity/billing/internal/infra/tracing"
	"github.com/winaity/billing/sql"
)

const (
	requestTimeout = 5 * time.Second
	maxInFlight    = 256             // requests; more get 429
	ackTimeout     = 5 * time.Second // of the stream, for a message
	// batchTimeout bounds a batch of the relay, also if its process hangs: then
	// Postgres ends its transaction. So it is far below the stream's duplicate window.
	batchTimeout = 20 * time.Second
	// inboxRetention is above the longest time after which a message can come
	// again: a dead letter may be replayed for 30 days.
	inboxRetention = 35 * 24 * time.Hour

	// claimsPrefix is what the keys in Redis start with.
	claimsPrefix = "billing:event:"
)

// The shares of the database's connections, in percent, of those who may wait for
// a lock or come in crowds. The rest is for groups, the relay, probes and metrics.
const (
	readsShare   = 20
	waitingShare = 25 // what waits for a lock, by itself
	// Without groups, all may wait for locks.
	commandsShare = 45
	effectsShare  = 20
)

// groups is how many transactions share one, for commands as for effects. One
// group at a time is the largest: more of them side by side were slower, since
// each has a price of its own.
var groups = groupcommit.Size{Groups: 1, Members: 128}

var dedupKeys = map[string]messaging.DedupKey{
	"event-id":    messaging.ByEventID,
	"natural-key": messaging.ByNaturalKey,
}

// service is everything that serve runs.
type service struct {
	config   config
	log      *slog.Logger
	api      http.Handler
	draining atomic.Bool // no longer ready

	checkSchema    func(context.Context) error
	ensureTopology func(context.Context) error
	watchers       []func(context.Context)     // each runs until its context ends
	workers        []func(context.Context)     // likewise, once there is what they need
	onShutdown     []func()                    // end the requests that do not end by themselves
	closers        []func()                    // in the order of opening
	flush          func(context.Context) error // sends the last of the telemetry
}

// ports are what the application asks of the outside world, by their adapters.
type ports struct {
	commands  invoicing.Store
	effects   invoicing.Store
	reader    invoicing.Reader
	outbox    messaging.Outbox
	publisher messaging.Publisher
	source    messaging.Source
	letters   messaging.DeadLetters
	claims    messaging.Claims

	traceRequest  httpapi.Tracer // nil, as the next, if no spans are exported
	traceDelivery messaging.Tracer
}

// newService makes the service out of its parts. It connects to nothing that
// must be there: what is away is waited for later. If wrap is not nil, it may
// put something around the adapters: tests make them fail at exact points.
func newService(ctx context.Context, c config, log *slog.Logger, wrap func(*ports)) (*service, error) {
	s := &service{config: c, log: log}
	if err := s.assemble(ctx, c, log, wrap); err != nil {
		s.close()
		return nil, err
	}
	return s, nil
}

func (s *service) assemble(ctx context.Context, c config, log *slog.Logger, wrap func(*ports)) error {
	telemetry, err := tracing.Open(ctx, c.Telemetry, log)
	if err != nil {
		return err
	}
	s.flush = telemetry.Close
	if telemetry.Logs != nil {
		log = alsoTo(telemetry.Logs, c.LogLevel, log)
		s.log = log
	}
	db, err := postgres.Open(ctx, c.Database)
	if err != nil {
		return err
	}
	s.onClose(db.Close)
	wake := messaging.NewSignal()
	bus, err := natsbus.Connect(c.NATS, "billing", log, wake.Notify)
	if err != nil {
		return err
	}
	s.onClose(bus.Close)
	publisher, err := natsbus.NewPublisher(bus, ackTimeout)
	if err != nil {
		return err
	}
	cache := redisstore.Open(c.Redis)
	s.onClose(func() { _ = cache.Close() }) // nothing in it is worth waiting for
	outbox, retention, letters := postgres.NewOutbox(db), postgres.NewRetention(db), natsbus.NewDeadLetters(bus, log)
	handlers := invoicing.Handlers()
	subjects := slices.Sorted(maps.Keys(handlers))
	keeper := natsbus.NewKeeper(bus, natsbus.BillingTopology(natsbus.Settings{
		Replicas:   c.StreamReplicas,
		MaxDeliver: c.ConsumerMaxDeliver,
		AckWait:    c.ConsumerAckWait,
		Subjects:   subjects,
	}), wake.Notify)
	checks := []httpapi.Check{
		{Name: "postgres", Required: true, Probe: db.Ready},
		{Name: "nats", Probe: keeper.Ready},
		{Name: "redis", Probe: func(ctx context.Context) error { return redisstore.Ready(ctx, cache, claimsPrefix) }},
	}

	observer := metrics.New(metrics.Labels{Commands: invoicing.CommandNames, Outcomes: idempotency.CommandOutcomes, Subjects: subjects})
	observer.WatchBacklog(outbox.Backlog)
	observer.WatchLag(bus.Lag)
	observer.WatchDeadLetters(letters.Waiting)
	observer.WatchOldestTransaction(db.OldestTransaction)
	observer.WatchPool(func() metrics.PoolStats { return db.Stat() })
	for _, check := range checks {
		observer.WatchDependency(check.Name, check.Probe)
	}

	commands := postgres.StoreOptions{DB: db, Alone: db.Share(waitingShare), Groups: groups, Appended: wake}
	effects := commands
	if !c.GroupCommit {
		commands.Alone, commands.Groups = db.Share(commandsShare), groupcommit.Size{}
		effects.Alone, effects.Groups = db.Share(effectsShare), groupcommit.Size{}
	}
	reader, identity := postgres.NewReader(db.Share(readsShare)), postgres.NewIdentity(db)
	p := ports{
		commands:  postgres.NewStore(commands),
		effects:   postgres.NewStore(effects),
		reader:    reader,
		outbox:    outbox,
		publisher: publisher,
		source:    natsbus.NewSource(bus, natsbus.EventsStream, natsbus.Processor),
		letters:   letters,
		claims:    redisstore.NewClaims(cache, claimsPrefix, identity.Current),
	}
	if wrap != nil {
		wrap(&p)
	}
	if telemetry.Spans != nil {
		p.trace(telemetry.Spans)
	}

	queries := invoicing.NewQueries(p.reader)
	told := audience{messaging.Observers{observer}, observer.Request}
	consoleRoutes := s.addConsole(console.Options{
		Mode:         c.Console,
		Queries:      queries,
		History:      reader,
		Stream:       bus,
		Letters:      shownLetters{letters, natsbus.NewDesk(letters)},
		Backlog:      outbox.Backlog,
		Publisher:    p.publisher,
		Wake:         wake,
		Dependencies: checks,
		Consumed:     subjects,
	}, &p, &told)

	relay := messaging.NewRelay(p.outbox, p.publisher, wake, messaging.RelayOptions{
		BatchSize:    c.OutboxBatchSize,
		PollInterval: c.OutboxPollInterval,
		BatchTimeout: batchTimeout,
	}, told.events, log)
	once := messaging.NewOnce(p.effects, p.claims, messaging.OnceOptions{
		Key:   dedupKeys[c.DedupStrategy],
		Lease: messaging.HandleTimeout(c.ConsumerAckWait),
		TTL:   c.DedupTTL,
	}, told.events, log)
	consumer := messaging.NewConsumer(p.source, p.letters, once, handlers, messaging.ConsumerOptions{
		Concurrency: c.ConsumerConcurrency,
		MaxDeliver:  c.ConsumerMaxDeliver,
		AckWait:     c.ConsumerAckWait,
		Backoff:     c.ConsumerBackoff,
		Ready:       db.Ready,
		Trace:       p.traceDelivery,
	}, told.events, log)

	s.workers = []func(context.Context){
		keeper.Run,
		relay.Run,
		consumer.Run,
		letters.FollowExhausted,
		messaging.NewRetention(log,
			messaging.Purge{Name: "outbox", Age: c.OutboxRetention, Delete: retention.PurgeOutbox},
			messaging.Purge{Name: "inbox", Age: inboxRetention, Delete: retention.PurgeInbox},
			messaging.Purge{Name: "idempotency_keys", Age: idempotency.Retention, Delete: retention.PurgeAnswers},
		).Run,
	}
	s.checkSchema = func(ctx context.Context) error { return db.CheckSchema(ctx, sql.Migrations()) }
	s.ensureTopology = keeper.Ensure
	s.api = httpapi.New(httpapi.Options{
		Guard:          idempotency.NewGuard(p.commands, observer),
		Queries:        queries,
		Checks:         checks,
		Draining:       s.draining.Load,
		Metrics:        observer.Handler(),
		Docs:           docs.Files,
		Console:        consoleRoutes,
		Observe:        told.requests,
		Trace:          p.traceRequest,
		RequestTimeout: requestTimeout,
		MaxInFlight:    maxInFlight,
		Log:            log,
		Now:            time.Now,
	})
	return nil
}

func (s *service) onClose(f func()) { s.closers = append(s.closers, f) }

func (s *service) close() {
	for _, f := range slices.Backward(s.closers) {
		f()
	}
}
