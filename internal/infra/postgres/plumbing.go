package postgres

import (
	"context"
	"slices"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/numbering"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// plumbing is the part of a transaction that is the same in every service.
type plumbing struct {
	*groupcommit.Unit
	answers answers
	inbox   inbox
	numbers numbers
	outbox  appends
}

func newPlumbing(u *groupcommit.Unit) *plumbing {
	return &plumbing{
		Unit:    u,
		answers: answers{groupcommit.NewRows[string, kept](u)},
		inbox:   inbox{groupcommit.NewRows[string, string](u)},
		numbers: numbers{groupcommit.NewRows[string, counter](u), u, map[string]bool{}},
		outbox:  appends{groupcommit.NewLog[messaging.Message](u)},
	}
}

// appended reports whether there are new events in the outbox.
func (p *plumbing) appended() bool { return len(p.outbox.Entries()) > 0 }

// member is the plumbing as one member of a group sees it: its methods are those
// of what the service works on, which embeds it.
type member struct {
	*plumbing
	trace messaging.Trace // of the member's events
}

// NextNumber takes the next number of the series.
func (m member) NextNumber(s numbering.Series) (numbering.Number, error) {
	c, exists, err := m.numbers.Get(string(s))
	if err == nil && !exists {
		m.numbers.absent[string(s)] = true
		err = m.numbers.AskAgain(string(s))
	}
	if err != nil {
		return numbering.Number{}, err
	}
	c.last = c.last.Next(c.now)
	m.numbers.Set(string(s), c)
	return c.last, nil
}

// publish adds events to the outbox, in order.
func (m member) publish(events []event.Event) error {
	for _, e := range events {
		message, err := messaging.Seal(m.trace, e)
		if err != nil {
			return err
		}
		m.outbox.Add(message)
	}
	return nil
}

// numbers are the series that numbers are taken from.
type numbers struct {
	*groupcommit.Rows[string, counter]
	unit   *groupcommit.Unit
	absent map[string]bool // those that nobody has taken a number from yet: they are made
}

// counter is where a series has got to.
type counter struct {
	last numbering.Number
	now  time.Time // when it was locked
}

func (n numbers) load(ctx context.Context, p *pipeline, _ bool) {
	series := n.Asked()
	if len(series) == 0 {
		return
	}
	if absent := slices.DeleteFunc(slices.Clone(series), func(s string) bool { return !n.absent[s] }); len(absent) > 0 {
		p.queued("create series", p.queries.CreateSeries(ctx, [][]string{absent}).Exec)
	}
	each(p, "lock series", p.queries.LockSeries(ctx, [][]string{series}).Query, func(row dbgen.LockSeriesRow) {
		last := numbering.Number{Series: numbering.Series(row.Series), Ordinal: int(row.Ordinal), TakenAt: row.TakenAt.UTC()}
		n.Loaded(row.Series, counter{last, row.Now})
		n.unit.HeldUp(row.Now.Sub(row.AskedAt))
	})
}

func (n numbers) save(ctx context.Context, p *pipeline) {
	counters := n.Changed()
	if len(counters) == 0 {
		return
	}
	p.queued("save series", p.queries.SaveSeries(ctx, []dbgen.SaveSeriesParams{{
		Series:   column(counters, func(c counter) string { return string(c.last.Series) }),
		Ordinals: column(counters, func(c counter) int32 { return int32(c.last.Ordinal) }), //nolint:gosec // counts by one
		TakenAt:  column(counters, func(c counter) time.Time { return c.last.TakenAt }),
	}}).Exec)
}

// appends are the events that are added to the outbox.
type appends struct {
	*groupcommit.Log[messaging.Message]
}

func (appends) load(context.Context, *pipeline, bool) {}

func (a appends) save(ctx context.Context, p *pipeline) {
	messages := a.Entries()
	if len(messages) == 0 {
		return
	}
	p.queued("append events to outbox", p.queries.AppendToOutbox(ctx, []dbgen.AppendToOutboxParams{{
		Ids:            column(messages, func(m messaging.Message) string { return m.ID }),
		AggregateTypes: column(messages, func(m messaging.Message) string { return m.AggregateType }),
		AggregateIds:   column(messages, func(m messaging.Message) string { return m.AggregateID }),
		Types:          column(messages, func(m messaging.Message) string { return m.Subject }),
		Payloads:       column(messages, func(m messaging.Message) string { return string(m.Payload) }),
		Traceparents:   column(messages, func(m messaging.Message) string { return m.Traceparent }),
	}}).Exec)
}

// column returns what each row has in one column.
func column[R, C any](rows []R, of func(R) C) []C {
	values := make([]C, len(rows))
	for i, row := range rows {
		values[i] = of(row)
	}
	return values
}
