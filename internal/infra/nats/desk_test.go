package natsbus

import (
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
)

// A desk has the newest letters, and knows how many of all were not replayed.
func TestDeskHasTheNewestLetters(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letters := b.deadLetters(t)
	desk := NewDesk(letters)
	look := func() (sequences []uint64, waiting int) {
		t.Helper()
		newest, waiting, err := desk.Look(timeout(t))
		if err != nil {
			t.Fatal(err)
		}
		for _, l := range newest {
			sequences = append(sequences, l.Sequence)
		}
		return sequences, waiting
	}
	park := func(n int) {
		t.Helper()
		if err := letters.park(timeout(t), original{stream: EventsStream, sequence: uint64(n), subject: handledSubject, payload: fmt.Append(nil, n)}, "broken"); err != nil {
			t.Fatal(err)
		}
	}
	if got, waiting := look(); len(got) != 0 || waiting != 0 {
		t.Errorf("an empty desk has %v, %d", got, waiting)
	}
	for n := range deskSize + 5 {
		park(n + 1)
	}
	got, waiting := look()
	if len(got) != deskSize || got[0] != deskSize+5 || got[deskSize-1] != 6 || waiting != deskSize+5 {
		t.Errorf("got %v, %d", got, waiting)
	}

	// A mark is no letter, and one whose letter is gone counts for nothing.
	for _, sequence := range []uint64{1, 2, deskSize + 5} {
		if err := letters.Replay(timeout(t), sequence); err != nil {
			t.Fatal(err)
		}
	}
	if err := letters.Drop(timeout(t), 2); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.PublishMsg(timeout(t), &nats.Msg{Subject: DeadLetterSubject, Data: []byte("what nobody understands")}); err != nil {
		t.Fatal(err)
	}
	newest, waiting, err := desk.Look(timeout(t))
	if err != nil || len(newest) != deskSize || newest[0].ReplayedAt.IsZero() || !newest[1].ReplayedAt.IsZero() || waiting != deskSize+5-3+1 {
		t.Errorf("got %+v, %d, %v", newest, waiting, err)
	}
}
