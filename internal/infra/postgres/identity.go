package postgres

import (
	"context"
	"sync"
	"time"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// identityTimeout bounds a reading of the identity, for which others wait.
const identityTimeout = time.Second

// Identity tells the database from any other, and from what it was before it was
// restored: what is remembered elsewhere of its inbox and its answers is true of
// one identity only. It is safe for concurrent use.
//
// It changes when the server starts, which a restore of its files, to a point in
// time, or of a snapshot comes with; with another server after a fail-over; with
// another database, also a copy or one of the same name; and when the inbox or the
// answers are created anew or truncated. It does not when rows are deleted by
// hand, nor when a machine goes back to a snapshot of its memory.
type Identity struct {
	db *DB

	mu     sync.Mutex // held while it is read: who comes meanwhile waits for the result
	readAt time.Time  // when the last reading began
	text   string
	err    error
}

// NewIdentity returns the identity of the database.
func NewIdentity(db *DB) *Identity { return &Identity{db: db} }

// Current returns the identity that the database had maxAge ago or later; it has
// no space. With a maxAge of 0 it is one that was read after the call. Callers at
// the same time share a reading, and so its failure.
func (i *Identity) Current(ctx context.Context, maxAge time.Duration) (string, error) {
	oldest := time.Now().Add(-maxAge)
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.readAt.Before(oldest) {
		i.readAt = time.Now()
		i.text, i.err = i.read(ctx)
	}
	return i.text, i.err
}

// read goes on when its caller gives up: others may wait for it.
func (i *Identity) read(ctx context.Context) (string, error) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), identityTimeout)
	defer cancel()
	return ask(ctx, i.db, "read the identity of the database", func(queries *dbgen.Queries) (string, error) { return queries.Identity(ctx) })
}
