package postgres

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

const (
	// settleInterval is how often the floor is raised. What was published meanwhile
	// is dead, and each look goes through it.
	settleInterval = time.Second
	// fullLookShare is how much more time passes between two looks at the whole
	// outbox than one of them takes.
	fullLookShare = 500
)

// floor spares the looks at the outbox what is dead: the index of what waits has
// an entry for each mark until a vacuum, which an old snapshot can keep from
// removing anything for hours.
//
// No row below the floor can be unpublished: in a look, all that wait were above
// it, and before that look, all who could have written below it had ended. It is
// this process' own, and begins at the bottom, to which a republication takes it
// back. A restored database may have something below it, too; so once in a while a
// look is at everything, the more rarely the more there is to go through.
type floor struct {
	seq           int64 // the floor
	republication int64 // the latest that it knows of
	nextFull      time.Time

	settled int64 // of all rows up to this one it is known what became of them
	latest  int64 // it is not known yet of those up to this one: that takes until
	writers []string
	asked   time.Time
}

// look returns the first events that wait.
func (f *floor) look(ctx context.Context, queries *dbgen.Queries, limit int) ([]dbgen.UnpublishedEventsRow, error) {
	start, from := time.Now(), f.seq
	full := start.After(f.nextFull)
	if full {
		from = 0
	}
	rows, err := f.lookFrom(ctx, queries, from, limit)
	if err != nil {
		return nil, err
	}
	if full {
		f.nextFull = start.Add(fullLookShare * time.Since(start))
	}
	if len(rows) > 0 {
		f.seq = min(rows[0].Seq, rows[0].FirstBlocked, f.settled+1)
	}
	return rows, nil
}

// lookAgain is a look in the same transaction, for which the floor stays.
func (f *floor) lookAgain(ctx context.Context, queries *dbgen.Queries, limit int) ([]dbgen.UnpublishedEventsRow, error) {
	return f.lookFrom(ctx, queries, f.seq, limit)
}

func (f *floor) lookFrom(ctx context.Context, queries *dbgen.Queries, from int64, limit int) ([]dbgen.UnpublishedEventsRow, error) {
	for {
		rows, err := queries.UnpublishedEvents(ctx, dbgen.UnpublishedEventsParams{Floor: from, MaxRows: int64(limit)})
		if err != nil {
			return nil, fmt.Errorf("read outbox: %w", err)
		}
		if len(rows) == 0 || rows[0].Republication == f.republication {
			return rows, nil
		}
		// These may come after something that is below the floor again.
		f.republication, from = rows[0].Republication, 0
	}
}

// settle finds out for the next look up to where all writers have ended.
func (f *floor) settle(ctx context.Context, queries *dbgen.Queries) error {
	if time.Since(f.asked) < settleInterval {
		return nil
	}
	now, err := queries.OutboxWriters(ctx)
	if err != nil {
		return fmt.Errorf("look for writers of the outbox: %w", err)
	}
	f.asked = time.Now()
	if !slices.ContainsFunc(now.Writers, func(w string) bool { return slices.Contains(f.writers, w) }) {
		f.settled, f.latest, f.writers = f.latest, now.Latest, now.Writers
	}
	return nil
}
