package main

import (
	"bytes"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/invoice"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

const poison = "evt_poison"

// lethal publishes an event that kills every process that is to handle it. Three
// deliveries are enough to kill three.
func (s *stack) lethal(paid stored) map[string]string {
	s.Helper()
	s.publish(paid.Type, poison, bytes.Replace(paid.raw.Data, []byte(paid.ID), []byte(poison), 1))
	return map[string]string{poisonVariable: poison, "BILLING_CONSUMER_ACK_WAIT": "500ms", "BILLING_CONSUMER_MAX_DELIVER": "3"}
}

// provePoisonParked checks that the one dead letter is the poison, as it was.
func (s *stack) provePoisonParked() {
	s.Helper()
	letters := s.letters()
	if len(letters) != 1 || !strings.Contains(string(letters[0].OriginalEvent), poison) || !strings.Contains(letters[0].Error, "3 deliveries") {
		s.Fatalf("the letters are %+v", letters)
	}
	if raw := s.messages(natsbus.DeadLetterStream, natsbus.DeadLetterSubject)[0]; raw.Header.Get("Dead-Letter-Message-Id") != poison || raw.Header.Get("Dead-Letter-Deliveries") != "3" {
		s.Errorf("the header of the letter: %v", raw.Header)
	}
}

// Invariant 6: a message that kills its process at every delivery becomes a dead
// letter, and whatever else comes meanwhile has its effect.
//
// What the same process has in hand dies with it, and may be given up with it:
// then it is a dead letter too, and a replay away from its effect. With one
// worker there is nothing else in hand.
func TestPoisonThatKillsIsParkedAndBlocksNothing(t *testing.T) {
	for workers, bystanders := range map[string]bool{"1": false, "8": true} {
		t.Run(workers+" workers", func(t *testing.T) {
			s := newStack(t)
			i := s.serve(quickly)
			first := i.issuePaid()
			i.awaitReceipt(first)
			paid := s.paidEvent(first)
			i.stop()

			const others = 20
			s.pileUp(others) // they come together with the poison
			settings := with(s.lethal(paid), "BILLING_CONSUMER_CONCURRENCY", workers)
			deaths := 0
			c := s.start(diesOfPoison, settings)
			s.eventually("the poison is a dead letter, and all others are handled or dead letters", func() bool {
				select {
				case <-c.process.Done(): // a supervisor would do this
					deaths++
					c = s.start(diesOfPoison, settings)
				default:
				}
				return s.poisonParked() && s.count("documents")+len(s.letters()) == 1+others+1
			})
			if deaths != 3 {
				t.Errorf("it killed %d processes, want 3", deaths)
			}
			if n := len(s.letters()); n != 1 && !bystanders {
				t.Errorf("%d letters, want only that of the poison", n)
			}
			s.must(c.process.Kill())
			s.serve(quickly) // which the poison does not kill
			if code, output := s.command("dlq", "replay", "--all"); code != exitOK {
				t.Errorf("dlq replay: %d\n%s", code, output)
			}
			s.eventually("every payment has its receipt", func() bool { return s.count("documents") == 1+others })
		})
	}
}

func (s *stack) poisonParked() bool {
	s.Helper()
	return slices.ContainsFunc(s.messages(natsbus.DeadLetterStream, natsbus.DeadLetterSubject), func(letter *jetstream.RawStreamMsg) bool {
		return letter.Header.Get("Dead-Letter-Message-Id") == poison
	})
}

// Invariant 6, when nobody is there to hear that the message was given up: the
// server's report waits in the stream, also through a restart of the server.
func TestPoisonThatKillsTheLastInstance(t *testing.T) {
	s := newStack(t)
	i := s.serve(quickly)
	id := i.issuePaid()
	i.awaitReceipt(id)
	paid := s.paidEvent(id)
	i.stop()

	settings := s.lethal(paid)
	for range 3 {
		s.start(diesOfPoison, settings).awaitDeath()
	}
	consumer, err := s.js.Consumer(t.Context(), natsbus.EventsStream, natsbus.Processor)
	s.must(err)
	s.eventually("the server has given up", func() bool {
		// It does when the message's turn comes again.
		_, err := consumer.FetchNoWait(1)
		s.must(err)
		return len(s.messages(natsbus.DeadLetterStream, "$JS.EVENT.ADVISORY.>")) == 1
	})
	if n := len(s.letters()); n != 0 {
		t.Fatalf("%d letters, but nobody was there to write one", n)
	}
	s.must(s.nats.Stop(t.Context()))
	s.must(s.nats.Start(t.Context()))
	s.serve(settings)
	s.eventually("a dead letter", func() bool { return len(s.letters()) == 1 })
	s.provePoisonParked()
	if code, output := s.command("dlq", "list"); code != exitOK || !strings.Contains(output, invoice.TypePaid) {
		t.Errorf("dlq list: %d\n%s", code, output)
	}
}
