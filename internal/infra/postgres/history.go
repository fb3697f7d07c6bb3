package postgres

import (
	"context"
	"maps"
	"slices"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

const (
	// An event's id is made after the instant that its change has, as late as a
	// transaction may wait for its locks; before it only by as much as clocks differ.
	clockSkew  = 2 * time.Second
	lockPeriod = 6 * time.Second
	// meanwhile is how many events of all aggregates are looked through for those
	// of one invoice.
	meanwhile = 20_000
)

// History returns the events of an invoice and of its documents that the outbox
// still has, in the order in which they were recorded.
func (r *Reader) History(ctx context.Context, of invoicing.View) ([]invoicing.Recorded, error) {
	aggregates, moments := []string{of.ID}, []time.Time{of.IssuedAt, of.PaidAt, of.CancelledAt}
	for _, d := range []*document.Snapshot{of.Receipt, of.CreditNote} {
		if d != nil {
			aggregates, moments = append(aggregates, d.ID), append(moments, d.IssuedAt)
		}
	}
	found := make(map[int64]dbgen.EventsBetweenRow) // by seq: moments may be close to each other
	for _, moment := range moments {
		if moment.IsZero() {
			continue
		}
		lowest, highest := messaging.IDRange("evt_", moment.Add(-clockSkew), moment.Add(lockPeriod))
		rows, err := ask(ctx, r.db, "read events of invoice "+of.ID, func(queries *dbgen.Queries) ([]dbgen.EventsBetweenRow, error) {
			return queries.EventsBetween(ctx, dbgen.EventsBetweenParams{
				Lowest: lowest, Highest: highest, MaxRows: meanwhile, AggregateIds: aggregates,
			})
		})
		if err != nil {
			return nil, err
		}
		for _, row := range rows {
			found[row.Seq] = row
		}
	}
	history := make([]invoicing.Recorded, 0, len(found))
	for _, seq := range slices.Sorted(maps.Keys(found)) {
		row := found[seq]
		history = append(history, invoicing.Recorded{
			Message: messaging.Message{
				ID:            row.ID,
				Subject:       row.Type,
				AggregateType: row.AggregateType,
				AggregateID:   row.AggregateID,
				Payload:       []byte(row.Payload),
				Traceparent:   value(row.Traceparent),
				RecordedAt:    row.CreatedAt.UTC(),
			},
			PublishedAt: value(row.PublishedAt).UTC(),
			Blocked:     value(row.BlockedError),
		})
	}
	return history, nil
}
