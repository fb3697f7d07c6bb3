package natsbus

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
)

// exhaust delivers the messages until the server gives up on them.
func (b *bus) exhaust(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			_, _ = NewSource(b.Conn, EventsStream, Processor).Next(ctx) // and dies
		}
	}()
	letters := b.existing(t, DeadLetterStream)
	eventually(t, "report of an exhausted message", func(ctx context.Context) error {
		_, err := letters.GetLastMsgForSubject(ctx, exhaustedSubject)
		return err
	})
	cancel()
	<-done
}

func TestExhaustedMessageBecomesLetter(t *testing.T) {
	t.Parallel()
	quick := Settings{Replicas: 1, MaxDeliver: 2, AckWait: 50 * time.Millisecond, Subjects: []string{handledSubject}}
	for name, meanwhile := range map[string]func(t *testing.T, b *bus){
		"while nobody follows":  func(*testing.T, *bus) {},
		"while the server ends": func(t *testing.T, b *bus) { t.Helper(); b.restart(t, func() {}) },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setupEmpty(t)
			b.ensure(t, quick)
			b.put(t, "deadly", nats.Header{"traceparent": {"00-trace-01"}})
			b.exhaust(t)
			stored := b.existing(t, DeadLetterStream)
			meanwhile(t, b)

			ctx, cancel := context.WithCancel(t.Context())
			done := make(chan struct{})
			go func() { defer close(done); b.deadLetters(t).FollowExhausted(ctx) }()
			eventually(t, "a letter", func(ctx context.Context) error {
				_, err := stored.GetLastMsgForSubject(ctx, DeadLetterSubject)
				return err
			})
			b.noneOpen(t, DeadLetterStream, ExhaustedConsumer)
			cancel()
			<-done

			letters := b.letters(t)
			if len(letters) != 1 {
				t.Fatalf("%d letters, want 1", len(letters))
			}
			got := letters[0]
			if string(got.Payload) != "deadly" || got.Deliveries != 2 || got.Origin != 1 || got.Consumer != Processor ||
				!strings.Contains(got.Error, "2 deliveries") || got.header.Get("traceparent") != "00-trace-01" {
				t.Errorf("letter %+v", got)
			}
			if err := b.deadLetters(t).Replay(timeout(t), got.Sequence); err != nil {
				t.Fatal(err)
			}
			if d := b.next(t); string(d.Payload()) != "deadly" || d.Attempt() != 1 {
				t.Errorf("replayed %q, attempt %d", d.Payload(), d.Attempt())
			}
		})
	}
}

func TestExhaustedMessageThatIsGone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, report := range []string{
		`{"stream":"` + EventsStream + `","consumer":"` + Processor + `","stream_seq":7,"deliveries":5}`,
		`{"stream":"GONE","consumer":"` + Processor + `","stream_seq":7,"deliveries":5}`,
		`no report`,
	} {
		if _, err := b.js.Publish(timeout(t), exhaustedSubject, []byte(report)); err != nil {
			t.Fatal(err)
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan struct{})
	go func() { defer close(done); b.deadLetters(t).FollowExhausted(ctx) }()
	b.noneOpen(t, DeadLetterStream, ExhaustedConsumer)
	cancel()
	<-done
	if got := b.letters(t); len(got) != 0 {
		t.Errorf("letters %v", got)
	}
}
