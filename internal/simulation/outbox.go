package simulation

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

const (
	maxBatchTimeout = 30 * time.Second
	blockPause      = time.Minute
)

// Outbox is a messaging.Outbox: that of a Database, as a process reaches it.
type Outbox struct {
	db      *Database
	process *Process
}

var _ messaging.Outbox = (*Outbox)(nil)

// Outbox returns the outbox as the process reaches it.
func (d *Database) Outbox(p *Process) *Outbox { return &Outbox{d, p} }

// PublishBatch implements messaging.Outbox. The server ends a session that is not
// over in time: nobody else may publish meanwhile.
func (o *Outbox) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	ctx, cancel := context.WithTimeout(ctx, maxBatchTimeout)
	defer cancel()
	s := o.db.open(o.process)
	defer o.db.end(s)
	deadline, _ := ctx.Deadline()
	defer time.AfterFunc(time.Until(deadline), func() { o.db.end(s) }).Stop()
	n, err := o.publish(ctx, s, limit, publish)
	if err != nil && !errors.Is(err, messaging.ErrBusy) {
		err = fmt.Errorf("publish outbox: %w", unavailable(err))
	}
	return n, err
}

func (o *Outbox) publish(ctx context.Context, s *session, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	err := o.process.call(ctx, "lock outbox", func(fate) error {
		if err := o.db.serve(s, func(*tables) error { return nil }); err != nil {
			return err
		}
		if !o.db.try(s, "outbox") {
			return messaging.ErrBusy
		}
		return nil
	})
	if err != nil {
		return 0, err
	}
	n, marks := 0, map[int64]error{}
	for size := limit; ; size = 2 * limit {
		batch, err := o.read(ctx, s, size, marks)
		if err != nil {
			return n, err
		}
		n += len(batch)
		if len(batch) == 0 || o.hand(ctx, batch, marks, publish) || len(batch) < size {
			break
		}
	}
	return n, o.process.call(ctx, "mark outbox", func(fate) error {
		return o.db.serve(s, func(committed *tables) error { mark(committed, marks); return nil })
	})
}

// read returns the first messages that wait, besides those that have a mark.
func (o *Outbox) read(ctx context.Context, s *session, size int, marks map[int64]error) ([]row, error) {
	return ask(ctx, o.process, "read outbox", func(fate) (batch []row, err error) {
		err = o.db.serve(s, func(committed *tables) error {
			batch = committed.wait(size, marks)
			return nil
		})
		return batch, err
	})
}

func (t *tables) wait(size int, marks map[int64]error) (batch []row) {
	blocked := map[string]bool{}
	for _, r := range t.outbox {
		if !r.published && r.blockedUntil.After(time.Now()) {
			blocked[r.message.AggregateID] = true
		}
	}
	for _, r := range t.outbox {
		if _, marked := marks[r.seq]; !r.published && !marked && !blocked[r.message.AggregateID] && len(batch) < size {
			batch = append(batch, r)
		}
	}
	return batch
}

// hand hands a batch over and notes what became of it. It reports whether anything
// failed.
func (o *Outbox) hand(ctx context.Context, batch []row, marks map[int64]error, publish func(context.Context, []messaging.Message) []error) (failed bool) {
	messages := make([]messaging.Message, len(batch))
	for i, r := range batch {
		messages[i] = r.message
	}
	for i, err := range publish(ctx, messages) {
		marks[batch[i].seq] = err
		failed = failed || err != nil
	}
	return failed
}

// mark marks what was published, and sets aside what can never be.
func mark(committed *tables, marks map[int64]error) {
	for i := range committed.outbox {
		r := &committed.outbox[i]
		switch err, marked := marks[r.seq]; {
		case marked && err == nil:
			r.published = true
		case marked && fault.KindOf(err) == fault.Invalid:
			r.blockedUntil = time.Now().Add(blockPause)
		}
	}
}
