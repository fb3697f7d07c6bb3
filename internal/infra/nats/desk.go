package natsbus

import (
	"context"
	"errors"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/nats-io/nats.go/jetstream"
)

const (
	// deskSize is how many letters a Desk shows.
	deskSize = 25
	// deskReach is how many messages of their stream it looks through for them:
	// between the letters are the marks of those that were replayed.
	deskReach = 200
)

// Desk has the newest dead letters at hand. To look at it again costs one small
// request while there are no new ones. It is safe for concurrent use.
type Desk struct {
	letters *DeadLetters

	mu      sync.Mutex
	known   revision
	newest  []Letter
	waiting int
}

// revision tells two states of a stream apart.
type revision struct{ messages, first, last uint64 }

// NewDesk returns a Desk of the letters.
func NewDesk(letters *DeadLetters) *Desk { return &Desk{letters: letters} }

// Look returns the newest letters, newest first, and how many of all letters were
// not replayed yet. The caller must not change the slice.
func (d *Desk) Look(ctx context.Context) (newest []Letter, waiting int, err error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	stream, err := d.letters.stream(ctx, DeadLetterStream)
	if err != nil {
		return nil, 0, err
	}
	state := stream.CachedInfo().State
	if now := (revision{state.Msgs, state.FirstSeq, state.LastSeq}); now != d.known {
		ctx, done := d.letters.conn.whileConnected(ctx)
		defer done()
		newest, err := readNewest(ctx, stream, state)
		if err != nil {
			return nil, 0, classify("read the newest letters", whyFailed(ctx, err))
		}
		waiting, err := countWaiting(ctx, stream)
		if err != nil {
			return nil, 0, classify("count letters", whyFailed(ctx, err))
		}
		d.known, d.newest, d.waiting = now, newest, waiting
	}
	return d.newest, d.waiting, nil
}

// readNewest goes back from the end of the stream, since NATS has no way to ask
// for the last few of a subject.
func readNewest(ctx context.Context, stream jetstream.Stream, state jetstream.StreamState) (newest []Letter, err error) {
	oldest := max(state.FirstSeq, 1)
	if state.LastSeq > deskReach {
		oldest = max(oldest, state.LastSeq-deskReach+1)
	}
	for sequence := state.LastSeq; sequence >= oldest && len(newest) < deskSize; sequence-- {
		msg, err := stream.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			continue // it was dropped
		}
		if err != nil {
			return nil, err
		}
		if _, err := decode(msg); msg.Subject != DeadLetterSubject || err != nil {
			continue // a mark, or what somebody else has put there
		}
		letter, err := read(ctx, stream, msg)
		if err != nil {
			return nil, err
		}
		newest = append(newest, letter)
	}
	return newest, nil
}

// Waiting returns how many letters were not replayed yet. It costs two requests,
// of which the second answers with the marks of 30 days.
func (l *DeadLetters) Waiting(ctx context.Context) (int, error) {
	ctx, done := l.conn.whileConnected(ctx)
	defer done()
	stream, err := l.stream(ctx, DeadLetterStream)
	if err != nil {
		return 0, err
	}
	waiting, err := countWaiting(ctx, stream)
	if err != nil {
		return 0, classify("count letters", whyFailed(ctx, err))
	}
	return waiting, nil
}

// countWaiting counts the letters without a mark. A mark may outlive its letter.
func countWaiting(ctx context.Context, stream jetstream.Stream) (int, error) {
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(">"), jetstream.WithDeletedDetails(true))
	if err != nil {
		return 0, err
	}
	waiting := int(info.State.Subjects[DeadLetterSubject]) //nolint:gosec // no stream is that long
	for subject := range info.State.Subjects {
		marked, isMark := strings.CutPrefix(subject, replayedSubject)
		if !isMark {
			continue
		}
		sequence, err := strconv.ParseUint(marked, 10, 64)
		_, dropped := slices.BinarySearch(info.State.Deleted, sequence)
		if err == nil && sequence >= info.State.FirstSeq && !dropped {
			waiting--
		}
	}
	return waiting, nil
}
