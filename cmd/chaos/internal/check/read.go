package check

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// ReadTables returns the content of the database at one instant.
func ReadTables(ctx context.Context, pool *pgxpool.Pool) (t Tables, err error) {
	tx, err := pool.BeginTx(ctx, pgx.TxOptions{IsoLevel: pgx.RepeatableRead, AccessMode: pgx.ReadOnly})
	if err != nil {
		return Tables{}, err
	}
	defer func() { err = errors.Join(err, tx.Rollback(ctx)) }()
	if t.Invoices, err = rows[Invoice](ctx, tx, `
		SELECT id, number, customer_id, amount, status, issued_at,
		       coalesce(payment_reference, cancellation_reason, ''), version
		FROM invoices`); err != nil {
		return Tables{}, err
	}
	if t.Documents, err = rows[Document](ctx, tx, `SELECT id, invoice_id, kind, number, amount, issued_at FROM documents`); err != nil {
		return Tables{}, err
	}
	if t.Inbox, err = rows[InboxRow](ctx, tx, `SELECT handler, message_id FROM inbox`); err != nil {
		return Tables{}, err
	}
	series, err := rows[struct {
		Name    string
		Ordinal int
	}](ctx, tx, `SELECT series, ordinal FROM number_series`)
	if err != nil {
		return Tables{}, err
	}
	t.Series = map[string]int{}
	for _, s := range series {
		t.Series[s.Name] = s.Ordinal
	}
	recorded, err := rows[struct {
		Type, Payload string
		Published     bool
	}](ctx, tx, `SELECT type, payload::text, published_at IS NOT NULL FROM outbox ORDER BY seq`)
	if err != nil {
		return Tables{}, err
	}
	for _, r := range recorded {
		envelope, err := messaging.Open(r.Type, []byte(r.Payload))
		if err != nil {
			return Tables{}, fmt.Errorf("outbox: %w: %s", err, r.Payload)
		}
		t.Outbox = append(t.Outbox, Event{envelope, r.Payload, r.Published})
	}
	return t, nil
}

// rows returns the rows of a query; its columns are the fields of T, in order.
func rows[T any](ctx context.Context, tx pgx.Tx, query string) ([]T, error) {
	found, err := tx.Query(ctx, query)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(found, pgx.RowToStructByPos[T])
}

// ReadStream returns the messages of the events stream and the dead letters.
func ReadStream(ctx context.Context, js jetstream.JetStream, letters *natsbus.DeadLetters) (s Stream, err error) {
	if s.Messages, err = messages(ctx, js); err != nil {
		return Stream{}, err
	}
	for letter, err := range letters.All(ctx) {
		if err != nil {
			return Stream{}, err
		}
		s.Letters = append(s.Letters, Letter{letter.EventID, letter.Error, !letter.ReplayedAt.IsZero()})
	}
	s.Unsettled, err = Unsettled(ctx, js)
	return s, err
}

// Unsettled returns how many deliveries to the service are due or not answered.
func Unsettled(ctx context.Context, js jetstream.JetStream) (int, error) {
	consumer, err := js.Consumer(ctx, natsbus.EventsStream, natsbus.Processor)
	if err != nil {
		return 0, err
	}
	info := consumer.CachedInfo()
	return int(info.NumPending) + info.NumAckPending, nil //nolint:gosec // a count of messages
}

// messages returns the messages of the events stream, oldest first.
func messages(ctx context.Context, js jetstream.JetStream) ([]Message, error) {
	stream, err := js.Stream(ctx, natsbus.EventsStream)
	if err != nil || stream.CachedInfo().State.Msgs == 0 {
		return nil, err
	}
	consumer, err := stream.OrderedConsumer(ctx, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return nil, err
	}
	defer func() { _ = stream.DeleteConsumer(context.WithoutCancel(ctx), consumer.CachedInfo().Name) }() // else it stays for minutes
	reader, err := consumer.Messages()
	if err != nil {
		return nil, err
	}
	defer reader.Stop()
	for found := []Message(nil); ; {
		msg, err := reader.Next(jetstream.NextContext(ctx))
		if err != nil {
			return nil, err
		}
		meta, err := msg.Metadata()
		if err != nil {
			return nil, err
		}
		envelope, err := messaging.Open(msg.Subject(), msg.Data())
		if err != nil {
			return nil, fmt.Errorf("message %d: %w", meta.Sequence.Stream, err)
		}
		found = append(found, Message{
			Sequence: meta.Sequence.Stream,
			StoredAt: meta.Timestamp,
			ID:       msg.Headers().Get(jetstream.MsgIDHeader),
			Envelope: envelope,
			Payload:  string(msg.Data()),
		})
		if meta.NumPending == 0 {
			return found, nil
		}
	}
}
