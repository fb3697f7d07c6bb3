package simulation

import (
	"fmt"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/simulation/conformance"
)

// The fakes are held to what the adapters are held to.

func TestClaims(t *testing.T) {
	t.Parallel()
	conformance.Claims(t, NewCache().Claims(calm()))
}

func TestTransactions(t *testing.T) {
	t.Parallel()
	for _, size := range []groupcommit.Size{{}, {Groups: 2, Members: 128}} {
		t.Run(fmt.Sprint(size), func(t *testing.T) {
			t.Parallel()
			conformance.Transactions(t, func(*testing.T) func() messaging.Store[Tx] {
				db := NewDatabase()
				return func() messaging.Store[Tx] { return NewStore(db.Connect(calm(), messaging.NewSignal()), size) }
			})
		})
	}
}

func TestOutbox(t *testing.T) {
	t.Parallel()
	conformance.Outbox(t, func(*testing.T) conformance.Outboxes {
		db, n := NewDatabase(), 0
		store := NewStore(db.Connect(calm(), messaging.NewSignal()), groupcommit.Size{})
		return conformance.Outboxes{Outbox: db.Outbox(calm()), Append: func(t *testing.T) string {
			t.Helper()
			n++
			id := fmt.Sprint("thing_", n)
			err := store.Atomically(t.Context(), func(tx Tx) error {
				return tx.Publish(event.Event{Type: typeOpened, AggregateType: "Thing", AggregateID: id, Version: 1, OccurredAt: time.Now(), Data: data{}})
			})
			if err != nil {
				t.Fatal(err)
			}
			return id
		}}
	})
}

func TestStream(t *testing.T) {
	t.Parallel()
	conformance.Streams(t, func(*testing.T) conformance.Stream {
		const handled, maxPayload = "sim.handled", 1000
		s := NewStream(StreamOptions{
			Window: time.Minute, Subjects: map[string]bool{handled: true},
			AckWait: 100 * time.Millisecond, MaxDeliver: 3, MaxPayload: maxPayload,
		})
		source := s.Source(calm())
		return conformance.Stream{
			Publisher: s.Publisher(calm(), time.Second), Source: source, DeadLetters: source,
			Handled: handled, Other: "sim.other", TooLarge: maxPayload + 1,
			Stored: func(*testing.T) (ids []string) {
				for _, m := range s.Messages() {
					ids = append(ids, m.ID)
				}
				return ids
			},
			Letters: func(*testing.T) (payloads []string) {
				for _, l := range s.Letters() {
					payloads = append(payloads, string(l.Message.Payload))
				}
				return payloads
			},
			Open: func(*testing.T) int { return s.Lag().Pending + s.Lag().AckPending },
		}
	})
}

// calm is a process that nothing happens to.
func calm() *Process { return NewProcess("calm", nil, nil) }
