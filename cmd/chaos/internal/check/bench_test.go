package check_test

import (
	"context"
	"encoding/json"
	"log/slog"
	"net/http"
	"testing"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/cmd/chaos/internal/check"
	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/sql"
)

// bench is the parts of the service on a real database and a real stream, and a
// client's ledger.
type bench struct {
	*testing.T
	pool      *pgxpool.Pool
	store     invoicing.Store
	outbox    *postgres.Outbox
	publisher messaging.Publisher
	letters   *natsbus.DeadLetters
	js        jetstream.JetStream
	ledger    []check.Command
}

var silence = slog.New(slog.DiscardHandler)

func newBench(t *testing.T) *bench {
	t.Helper()
	b := &bench{T: t}
	url := devstack.DatabaseForTest(t, nil)
	config, err := postgres.ParseURL(url)
	b.must(err)
	_, err = postgres.Migrate(t.Context(), config, sql.Migrations())
	b.must(err)
	db, err := postgres.Open(t.Context(), config)
	b.must(err)
	t.Cleanup(db.Close)
	b.store, b.outbox = postgres.NewStore(postgres.StoreOptions{DB: db, Alone: db, Appended: messaging.NewSignal()}), postgres.NewOutbox(db)
	b.pool, err = pgxpool.New(t.Context(), url)
	b.must(err)
	t.Cleanup(b.pool.Close)

	server := devstack.NATSForTest(t)
	broker, err := natsbus.ParseURL(server.URL())
	b.must(err)
	conn, err := natsbus.Connect(broker, "test", silence, func() {})
	b.must(err)
	t.Cleanup(conn.Close)
	b.must(conn.Ensure(t.Context(), natsbus.BillingTopology(natsbus.Settings{
		Replicas: 1, MaxDeliver: 5, AckWait: 30 * time.Second, Subjects: []string{invoice.TypePaid, invoice.TypeCancelled},
	})))
	publisher, err := natsbus.NewPublisher(conn, 5*time.Second)
	b.must(err)
	b.publisher, b.letters = publisher, natsbus.NewDeadLetters(conn, silence)
	nc, err := nats.Connect(server.URL())
	b.must(err)
	t.Cleanup(nc.Close)
	b.js, err = jetstream.New(nc)
	b.must(err)
	return b
}

func (b *bench) must(err error) {
	b.Helper()
	if err != nil {
		b.Fatal(err)
	}
}

func (b *bench) exec(statement string) {
	b.Helper()
	_, err := b.pool.Exec(b.Context(), statement)
	b.must(err)
}

// issue issues an invoice, enters that into the ledger, and returns its id.
func (b *bench) issue(key string) string {
	b.Helper()
	b.ledger = append(b.ledger, check.Command{Key: key, Kind: check.Issue, Amount: 100, Answers: b.run(key,
		invoicing.Issue{CustomerID: invoice.CustomerID(key), Total: money.New(100, "EUR")})})
	return b.ledger[len(b.ledger)-1].Answers[0].Invoice().ID
}

func (b *bench) pay(id, key string) {
	b.Helper()
	b.ledger = append(b.ledger, check.Command{Key: key, Kind: check.Pay, InvoiceID: id, Answers: b.run(key,
		invoicing.Pay{InvoiceID: id, Reference: invoice.PaymentReference(key)})})
}

// run runs a command and returns its answer.
func (b *bench) run(key string, command invoicing.Command) []check.Answer {
	b.Helper()
	ctx := messaging.WithTrace(b.Context(), messaging.Trace{CorrelationID: key})
	var v invoicing.View
	b.must(b.store.Atomically(ctx, func(tx invoicing.Tx) (err error) {
		v, err = command.Do(tx, time.Now())
		return err
	}))
	return []check.Answer{{Status: http.StatusOK, Body: string(shown(b.T, v))}}
}

func shown(t *testing.T, v invoicing.View) []byte {
	t.Helper()
	body, err := json.Marshal(check.ShownInvoice{
		ID: v.ID, Number: v.Number, CustomerID: string(v.CustomerID), Amount: v.Total.Amount(), Status: string(v.Status),
	})
	if err != nil {
		t.Fatal(err)
	}
	return body
}

// relay publishes what is in the outbox.
func (b *bench) relay(publisher messaging.Publisher) {
	b.Helper()
	ctx, stop := context.WithTimeout(b.Context(), 30*time.Second)
	defer stop()
	relay := messaging.NewRelay(b.outbox, publisher, messaging.NewSignal(), messaging.RelayOptions{
		BatchSize: 100, PollInterval: 10 * time.Millisecond, BatchTimeout: 10 * time.Second,
	}, messaging.NoObserver{}, silence)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		relay.Run(ctx)
	}()
	again := time.NewTicker(5 * time.Millisecond)
	defer again.Stop()
	for {
		backlog, err := b.outbox.Backlog(ctx)
		b.must(err)
		if backlog.Events == 0 {
			break
		}
		<-again.C
	}
	stop()
	<-ended
}

// deliver hands every event of the stream to its handler, as if Redis had
// forgotten all.
func (b *bench) deliver() {
	b.Helper()
	once := messaging.NewOnce(b.store, forgottenClaims{}, messaging.OnceOptions{Key: messaging.ByEventID}, messaging.NoObserver{}, silence)
	stream, err := check.ReadStream(b.Context(), b.js, b.letters)
	b.must(err)
	for _, m := range stream.Messages {
		handler, ok := invoicing.Handlers()[m.Type]
		if !ok {
			continue
		}
		ctx := messaging.WithTrace(b.Context(), messaging.Trace{CorrelationID: m.CorrelationID, CausationID: m.Envelope.ID})
		_, err := once.Do(ctx, handler, m.Envelope, false)
		b.must(err)
	}
}

type forgottenClaims struct{}

func (forgottenClaims) Claim(context.Context, string, string, time.Duration) (messaging.ClaimState, error) {
	return messaging.Claimed, nil
}
func (forgottenClaims) Done(context.Context, string, string, time.Duration) error { return nil }
func (forgottenClaims) Release(context.Context, string, string) error             { return nil }

func (b *bench) check() check.Report {
	b.Helper()
	tables, err := check.ReadTables(b.Context(), b.pool)
	b.must(err)
	stream, err := check.ReadStream(b.Context(), b.js, b.letters)
	b.must(err)
	stream.Unsettled = 0 // deliveries were made by hand
	return check.Check(b.ledger, check.Snapshot{Tables: tables, Stream: stream})
}
