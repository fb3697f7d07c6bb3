package postgres_test

import (
	"context"
	"os"
	"testing"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/infra/postgres"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/sql"
)

func TestMain(m *testing.M) { os.Exit(devstack.Run(m)) }

// bench is a database of the test's own with everything that works on it.
type bench struct {
	url      string
	config   *postgres.Config
	db       *postgres.DB
	pool     *pgxpool.Pool // to look at the database from outside
	appended messaging.Signal
	store    *postgres.Store[invoicing.Tx]
	reader   *postgres.Reader
	outbox   *postgres.Outbox
}

func setup(t *testing.T) *bench {
	t.Helper()
	b := &bench{url: devstack.DatabaseForTest(t, migrate), appended: messaging.NewSignal()}
	var err error
	b.config, b.db = open(t, b.url)
	b.pool, err = pgxpool.New(t.Context(), b.url)
	must(t, err)
	t.Cleanup(b.pool.Close)
	b.store, b.reader, b.outbox = postgres.NewStore(b.options()), postgres.NewReader(b.db), postgres.NewOutbox(b.db)
	return b
}

// options are those of a store whose transactions are shared.
func (b *bench) options() postgres.StoreOptions {
	return postgres.StoreOptions{DB: b.db, Alone: b.db.Share(25), Groups: groupcommit.Size{Groups: 1, Members: 128}, Appended: b.appended}
}

// open opens the database at url as the service does.
func open(t *testing.T, url string) (*postgres.Config, *postgres.DB) {
	t.Helper()
	config, err := postgres.ParseURL(url)
	must(t, err)
	db, err := postgres.Open(t.Context(), config)
	must(t, err)
	t.Cleanup(db.Close)
	return config, db
}

func migrate(ctx context.Context, url string) error {
	config, err := postgres.ParseURL(url)
	if err != nil {
		return err
	}
	_, err = postgres.Migrate(ctx, config, sql.Migrations())
	return err
}

// issue issues an invoice in a transaction that does nothing else.
func (b *bench) issue(ctx context.Context) (issued *invoice.Invoice, err error) {
	err = b.store.Atomically(ctx, func(tx invoicing.Tx) error {
		issued, err = issueIn(tx)
		return err
	})
	return issued, err
}

func issueIn(tx invoicing.Tx) (*invoice.Invoice, error) {
	number, err := tx.NextNumber(invoice.Series)
	if err != nil {
		return nil, err
	}
	i, err := invoice.Issue(invoice.Draft{ID: messaging.NewID("inv_"), CustomerID: "cust_42", Total: money.New(15000, "EUR")}, number)
	if err != nil {
		return nil, err
	}
	return i, tx.SaveInvoice(i)
}

// count returns what `SELECT count(*) FROM <from>` does.
func (b *bench) count(t *testing.T, from string) (n int) {
	t.Helper()
	must(t, b.pool.QueryRow(t.Context(), "SELECT count(*) FROM "+from).Scan(&n))
	return n
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
