package postgres

import (
	"context"
	"fmt"
	"iter"
	"time"

	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Audit looks for what should not be, by the tables alone. It changes nothing
// and locks nothing.
type Audit struct{ queries *dbgen.Queries }

// NewAudit returns the audit of the pool's database.
func NewAudit(pool *pgxpool.Pool) *Audit { return &Audit{dbgen.New(pool)} }

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
	rows, err := a.queries.NumbersOutOfOrder(ctx, int32(limit)) //nolint:gosec // a page size
	if err != nil {
		return nil, fmt.Errorf("audit numbers: %w", classify(err))
	}
	found := make([]Misnumbered, len(rows))
	for i, row := range rows {
		found[i] = Misnumbered{row.Number, row.IssuedAt.UTC(), row.Expected}
	}
	return found, nil
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
	rows, err := a.queries.InvoicesWithoutTheirDocument(ctx, dbgen.InvoicesWithoutTheirDocumentParams{Grace: grace, MaxRows: int32(limit)}) //nolint:gosec // a page size
	if err != nil {
		return nil, fmt.Errorf("audit documents: %w", classify(err))
	}
	found := make([]Undocumented, len(rows))
	for i, row := range rows {
		found[i] = Undocumented{row.ID, row.Number, row.Status, value(row.Kind)}
	}
	return found, nil
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
	rows, err := a.queries.StuckEvents(ctx, dbgen.StuckEventsParams{Grace: grace, MaxRows: int32(limit)}) //nolint:gosec // a page size
	if err != nil {
		return nil, fmt.Errorf("audit unpublished events: %w", classify(err))
	}
	found := make([]Stuck, len(rows))
	for i, row := range rows {
		found[i] = Stuck{row.ID, row.Type, row.AggregateID, row.CreatedAt.UTC(), value(row.BlockedError)}
	}
	return found, nil
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
		after := int64(0)
		for {
			rows, err := a.queries.PublishedEvents(ctx, dbgen.PublishedEventsParams{After: after, MaxRows: auditPage})
			if err != nil {
				yield(PublishedEvent{}, fmt.Errorf("audit published events: %w", classify(err)))
				return
			}
			for _, row := range rows {
				after = row.Seq
				if !yield(PublishedEvent{row.Seq, row.ID, row.Type, row.AggregateType, row.AggregateID, row.PublishedAt.UTC()}, nil) {
					return
				}
			}
			if len(rows) < auditPage {
				return
			}
		}
	}
}
