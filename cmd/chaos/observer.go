package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strings"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/cmd/chaos/internal/check"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// quietTimeout is how long the service may take, when nothing is broken any
// more, to finish what is under way. An event that the stream refused is left
// alone for a minute.
const quietTimeout = 90 * time.Second

// observer looks at the tables and the stream.
type observer struct {
	pool    *pgxpool.Pool
	conn    *natsbus.Conn
	letters *natsbus.DeadLetters
	nc      *nats.Conn
	js      jetstream.JetStream
}

func (s *stack) observe(ctx context.Context) (*observer, error) {
	silence := slog.New(slog.DiscardHandler)
	o := &observer{}
	var err error
	if o.pool, err = pgxpool.New(ctx, s.databaseURL()); err != nil {
		return nil, err
	}
	config, err := natsbus.ParseURL(s.nats.URL())
	if err != nil {
		return nil, err
	}
	if o.conn, err = natsbus.Connect(config, "chaos", silence, func() {}); err != nil {
		return nil, err
	}
	o.letters = natsbus.NewDeadLetters(o.conn, silence)
	err = eventually(ctx, "NATS takes a connection", func() (err error) {
		o.nc, err = nats.Connect(s.nats.URL())
		return err
	})
	if err != nil {
		return nil, err
	}
	o.js, err = jetstream.New(o.nc)
	return o, err
}

func (o *observer) close() {
	o.nc.Close()
	o.conn.Close()
	o.pool.Close()
}

func (o *observer) snapshot(ctx context.Context) (s check.Snapshot, err error) {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	if s.Tables, err = check.ReadTables(ctx, o.pool); err != nil {
		return s, err
	}
	s.Stream, err = check.ReadStream(ctx, o.js, o.letters)
	return s, err
}

// awaitQuiet waits until nothing is under way. If that does not come about, the
// check will show what is left.
func (o *observer) awaitQuiet(ctx context.Context, log io.Writer) {
	ctx, cancel := context.WithTimeout(ctx, quietTimeout)
	defer cancel()
	for {
		err := o.replayExhausted(ctx)
		left, busy := o.underWay(ctx)
		err = errors.Join(err, busy)
		if err == nil && left == "" {
			return
		}
		if !pause(ctx, 100*time.Millisecond) {
			fmt.Fprintln(log, "it does not become quiet:", left, err)
			return
		}
	}
}

// replayExhausted replays the dead letters that have to be expected: a message
// that was in the hands of instances that were killed or frozen, each time it was
// delivered. Every other letter is a violation.
func (o *observer) replayExhausted(ctx context.Context) error {
	for letter, err := range o.letters.All(ctx) {
		if err != nil {
			return err
		}
		if letter.ReplayedAt.IsZero() && strings.HasPrefix(letter.Error, "no answer after") {
			if err := o.letters.Replay(ctx, letter.Sequence); err != nil {
				return err
			}
		}
	}
	return nil
}

// underWay says what is under way; empty if nothing is.
func (o *observer) underWay(ctx context.Context) (string, error) {
	var unpublished, undocumented int
	err := o.pool.QueryRow(ctx, `
		SELECT (SELECT count(*) FROM outbox WHERE published_at IS NULL),
		       (SELECT count(*) FROM invoices WHERE status <> 'issued') - (SELECT count(*) FROM documents)`).Scan(&unpublished, &undocumented)
	if err != nil {
		return "", err
	}
	unsettled, err := check.Unsettled(ctx, o.js)
	if err != nil {
		return "", err
	}
	if unpublished > 0 || undocumented > 0 || unsettled > 0 {
		return fmt.Sprintf("%d events to publish, %d documents to issue, %d deliveries to settle", unpublished, undocumented, unsettled), nil
	}
	return "", nil
}
