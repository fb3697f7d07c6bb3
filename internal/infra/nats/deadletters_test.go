package natsbus

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/fault"
)

var errBroken = errors.New("it is broken")

func (b *bus) deadLetters(t *testing.T) *DeadLetters {
	t.Helper()
	return NewDeadLetters(b.Conn, b.log)
}

func (b *bus) letters(t *testing.T) []Letter {
	t.Helper()
	var letters []Letter
	for letter, err := range b.deadLetters(t).All(timeout(t)) {
		if err != nil {
			t.Fatal(err)
		}
		letters = append(letters, letter)
	}
	return letters
}

func TestParkStoresOneLetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	const event = `{"id":"evt_1","type":"billing.thing.done"}`
	b.put(t, event, nats.Header{jetstream.MsgIDHeader: {"evt_1"}, "traceparent": {"00-trace-01"}})
	d := b.next(t)
	for range 2 {
		if err := b.deadLetters(t).Park(timeout(t), d, errBroken); err != nil {
			t.Fatal(err)
		}
	}
	letters := b.letters(t)
	if len(letters) != 1 {
		t.Fatalf("%d letters, want 1", len(letters))
	}
	got := letters[0]
	if got.FailedAt.IsZero() || time.Since(got.FailedAt) > patience {
		t.Errorf("failed at %v", got.FailedAt)
	}
	got.FailedAt, got.header, got.id = time.Time{}, nil, ""
	want := Letter{
		Sequence: 1, Subject: handledSubject, EventID: "evt_1", EventType: handledSubject,
		Stream: EventsStream, Origin: 1, Consumer: Processor, Deliveries: 1,
		Error: errBroken.Error(), Payload: []byte(event),
	}
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("letter %+v\nwant   %+v", got, want)
	}

	msg, err := b.existing(t, DeadLetterStream).GetMsg(timeout(t), 1)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Contains(msg.Data, []byte(`{"originalEvent":`+event+`,"error":"it is broken","failedAt":"`)) {
		t.Errorf("letter's JSON is %s", msg.Data)
	}
	for name, want := range map[string]string{
		"Dead-Letter-Stream": EventsStream, "Dead-Letter-Sequence": "1", "Dead-Letter-Subject": handledSubject,
		"Dead-Letter-Message-Id": "evt_1", "Dead-Letter-Deliveries": "1", "Dead-Letter-Consumer": Processor,
		"Dead-Letter-Payload": "", "Dead-Letter-Truncated": "", "traceparent": "00-trace-01",
	} {
		if got := msg.Header.Get(name); got != want {
			t.Errorf("%s: %q, want %q", name, got, want)
		}
	}
}

func TestReplayRestoresTheMessage(t *testing.T) {
	t.Parallel()
	const mib = 1 << 20 // what the server takes
	for name, test := range map[string]struct {
		payload   string
		header    nats.Header
		truncated bool
	}{
		"event":             {payload: `{"id":"evt_1"}`},
		"spaces":            {payload: "{ \"id\" :\n\"<evt_1>\" }"},
		"text":              {payload: `not JSON`},
		"JSON string":       {payload: `"not JSON"`},
		"no UTF-8":          {payload: "\x00\xff\xfe{"},
		"nothing":           {payload: ""},
		"large":             {payload: `{"id":"` + strings.Repeat("x", mib/2) + `"}`},
		"too large":         {payload: `{"id":"` + strings.Repeat("x", mib-200) + `"}`, truncated: true},
		"large, no UTF-8":   {payload: strings.Repeat("\xff", 80_000), truncated: true},
		"large header":      {payload: `{}`, header: nats.Header{"Large": {strings.Repeat("x", 65_000)}}, truncated: true},
		"header of its own": {payload: `{}`, header: nats.Header{"X-Own": {"a", "b"}}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			header := nats.Header{jetstream.MsgIDHeader: {"evt_1"}, "traceparent": {"00-trace-01"}}
			maps.Copy(header, test.header)
			b.put(t, test.payload, header)
			first := b.next(t)
			if err := b.deadLetters(t).Park(timeout(t), first, errBroken); err != nil {
				t.Fatal(err)
			}
			if err := first.Terminate(timeout(t), "parked"); err != nil {
				t.Fatal(err)
			}
			letter := b.letters(t)[0]
			if letter.Truncated != test.truncated {
				t.Errorf("truncated: %v", letter.Truncated)
			}
			if !test.truncated && string(letter.Payload) != test.payload {
				t.Errorf("the letter has %q", letter.Payload)
			}
			if err := b.deadLetters(t).Replay(timeout(t), letter.Sequence); err != nil {
				t.Fatal(err)
			}

			again, ok := b.next(t).(*delivery)
			if !ok || again.Subject() != handledSubject || string(again.Payload()) != test.payload {
				t.Errorf("replayed %s with %.100q", again.Subject(), again.Payload())
			}
			for name, values := range header {
				if got := again.msg.Headers()[name]; name != jetstream.MsgIDHeader && fmt.Sprint(got) != fmt.Sprint(values) {
					t.Errorf("%s: %.100q", name, got)
				}
			}
			for name := range again.msg.Headers() {
				if strings.HasPrefix(name, headerPrefix) {
					t.Errorf("%s was passed on", name)
				}
			}
		})
	}
}

func TestReplayMarksTheLetter(t *testing.T) {
	t.Parallel()
	b := setup(t)
	letters := b.deadLetters(t)
	for i := range 3 {
		b.put(t, strconv.Itoa(i), nil)
		d := b.next(t)
		if err := errors.Join(letters.Park(timeout(t), d, errBroken), d.Terminate(timeout(t), "")); err != nil {
			t.Fatal(err)
		}
	}
	for range 2 { // as often as an operator likes
		if err := letters.Replay(timeout(t), 2); err != nil {
			t.Fatal(err)
		}
		if err := b.next(t).Ack(timeout(t)); err != nil {
			t.Fatal(err)
		}
	}
	for _, letter := range b.letters(t) {
		if replayed := !letter.ReplayedAt.IsZero(); replayed != (letter.Sequence == 2) {
			t.Errorf("letter %d: replayed at %v", letter.Sequence, letter.ReplayedAt)
		}
	}
	if err := letters.Drop(timeout(t), 2); err != nil {
		t.Fatal(err)
	}
	if got := b.letters(t); len(got) != 2 || got[0].Sequence != 1 || got[1].Sequence != 3 {
		t.Errorf("after Drop: %v", got)
	}

	// A dropped letter, a mark, and one that never was.
	for _, sequence := range []uint64{2, 4, 99} {
		_, showErr := letters.Show(timeout(t), sequence)
		for action, err := range map[string]error{
			"show": showErr, "replay": letters.Replay(timeout(t), sequence), "drop": letters.Drop(timeout(t), sequence),
		} {
			if fault.KindOf(err) != fault.NotFound {
				t.Errorf("%s %d: %v, want a NotFound error", action, sequence, err)
			}
		}
	}
}

func TestReplayNeedsWhatTheLetterHasNot(t *testing.T) {
	t.Parallel()
	for name, lose := range map[string]func(t *testing.T, b *bus){
		"message gone": func(t *testing.T, b *bus) {
			t.Helper()
			if err := b.stream.DeleteMsg(timeout(t), 1); err != nil {
				t.Fatal(err)
			}
		},
		"stream created anew": func(t *testing.T, b *bus) {
			t.Helper()
			if err := b.js.DeleteStream(timeout(t), EventsStream); err != nil {
				t.Fatal(err)
			}
			b.ensure(t, settings)
			b.put(t, "another", nil)
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.put(t, strings.Repeat("\xff", 80_000), nil)
			if err := b.deadLetters(t).Park(timeout(t), b.next(t), errBroken); err != nil {
				t.Fatal(err)
			}
			lose(t, b)
			if err := b.deadLetters(t).Replay(timeout(t), 1); fault.KindOf(err) != fault.NotFound {
				t.Errorf("%v, want a NotFound error", err)
			}
		})
	}
}

func TestParkWithoutServer(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.put(t, "payload", nil)
	d := b.next(t)
	b.restart(t, func() {
		if err := b.deadLetters(t).Park(timeout(t), d, errBroken); fault.KindOf(err) != fault.Unavailable {
			t.Errorf("%v, want an Unavailable error", err)
		}
	})
	eventually(t, "park after the restart", func(ctx context.Context) error {
		return b.deadLetters(t).Park(ctx, d, errBroken)
	})
	if got := len(b.letters(t)); got != 1 {
		t.Errorf("%d letters, want 1", got)
	}
}
