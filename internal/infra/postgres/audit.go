package postgres

import (
	"context"
	"iter"
	"time"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Audit looks for what should not be, by the tables alone. It changes nothing
// and locks nothing.
type Audit struct{ db *DB }

// NewAudit returns the audit of the database.
func NewAudit(db *DB) *Audit { return &Audit{db} }

// Misnumbered is a document whose number is not as high as the count of those
// issued in its series and year up to it.
type Misnumbered struct {
	Number   string
	IssuedAt time.Time
	Expected int64
}

// Numbers returns up to limit misnumbered documents, the first issued first.
// None means that all numbers are gapless, unique and chronological.
func (a *Audit) Numbers(ctx context.Context, limit int) ([]Misnumbered, error) {
	return find(ctx, a.db, "numbers", func(q *dbgen.Queries) ([]dbgen.NumbersOutOfOrderRow, error) {
		return q.NumbersOutOfOrder(ctx, int64(limit))
	}, func(row dbgen.NumbersOutOfOrderRow) Misnumbered {
		return Misnumbered{row.Number, row.IssuedAt.UTC(), row.Expected}
	})
}

// Undocumented is an invoice whose receipt or credit note is missing, or does
// not fit it.
type Undocumented struct {
	ID, Number, Status string
	Document           string // its kind; empty if there is none
}

// Documents returns up to limit undocumented invoices, the first issued first.
// What was settled within grace may still wait for its document.
func (a *Audit) Documents(ctx context.Context, grace time.Duration, limit int) ([]Undocumented, error) {
	return find(ctx, a.db, "documents", func(q *dbgen.Queries) ([]dbgen.InvoicesWithoutTheirDocumentRow, error) {
		return q.InvoicesWithoutTheirDocument(ctx, dbgen.InvoicesWithoutTheirDocumentParams{Grace: grace, MaxRows: int64(limit)})
	}, func(row dbgen.InvoicesWithoutTheirDocumentRow) Undocumented {
		return Undocumented{row.ID, row.Number, row.Status, value(row.Kind)}
	})
}

// Stuck is an event that waits to be published for too long.
type Stuck struct {
	ID, Type, AggregateID string
	RecordedAt            time.Time
	Error                 string // why it is blocked; empty if it is not
}

// Stuck returns up to limit events that wait for longer than grace, oldest
// first.
func (a *Audit) Stuck(ctx context.Context, grace time.Duration, limit int) ([]Stuck, error) {
	return find(ctx, a.db, "unpublished events", func(q *dbgen.Queries) ([]dbgen.StuckEventsRow, error) {
		return q.StuckEvents(ctx, dbgen.StuckEventsParams{Grace: grace, MaxRows: int64(limit)})
	}, func(row dbgen.StuckEventsRow) Stuck {
		return Stuck{row.ID, row.Type, row.AggregateID, row.CreatedAt.UTC(), value(row.BlockedError)}
	})
}

// PublishedEvent is an event that the stream acknowledged.
type PublishedEvent struct {
	Seq                                  int64
	ID, Type, AggregateType, AggregateID string
	PublishedAt                          time.Time
}

const auditPage = 5000

// Published returns the published events that the outbox still has, in the order
// in which they were recorded.
func (a *Audit) Published(ctx context.Context) iter.Seq2[PublishedEvent, error] {
	return func(yield func(PublishedEvent, error) bool) {
		for after, more := int64(0), true; more; {
			events, err := find(ctx, a.db, "published events", func(q *dbgen.Queries) ([]dbgen.PublishedEventsRow, error) {
				return q.PublishedEvents(ctx, dbgen.PublishedEventsParams{After: after, MaxRows: auditPage})
			}, func(row dbgen.PublishedEventsRow) PublishedEvent {
				return PublishedEvent{row.Seq, row.ID, row.Type, row.AggregateType, row.AggregateID, row.PublishedAt.UTC()}
			})
			if err != nil {
				yield(PublishedEvent{}, err)
				return
			}
			for _, e := range events {
				after = e.Seq
				if !yield(e, nil) {
					return
				}
			}
			more = len(events) == auditPage
		}
	}
}

// find returns what a query of the audit finds.
func find[Row, Found any](ctx context.Context, db *DB, what string, query func(*dbgen.Queries) ([]Row, error), convert func(Row) Found) ([]Found, error) {
	rows, err := ask(ctx, db, "audit "+what, query)
	found := make([]Found, len(rows))
	for i, row := range rows {
		found[i] = convert(row)
	}
	return found, err
}
