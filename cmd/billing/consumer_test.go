package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/invoice"
	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
	redisstore "github.com/winaity/billing/internal/infra/redis"
)

// paidEvent returns the event of the invoice's payment, as it is in the stream.
func (s *stack) paidEvent(id string) stored {
	s.Helper()
	var found stored
	s.eventually("the payment in the stream", func() bool {
		events := s.events()
		n := slices.IndexFunc(events, func(e stored) bool { return e.AggregateID == id && e.Type == invoice.TypePaid })
		if n >= 0 {
			found = events[n]
		}
		return n >= 0
	})
	return found
}

// settled waits until no delivery is under way or waits.
func (s *stack) settled() {
	s.Helper()
	s.eventually("the consumer has nothing to do", func() bool {
		consumer, err := s.js.Consumer(s.Context(), natsbus.EventsStream, natsbus.Processor)
		if err != nil {
			return false
		}
		info := consumer.CachedInfo()
		return info.NumPending == 0 && info.NumAckPending == 0
	})
}

// Invariant 3: a delivered event has its effect once, however often it is
// delivered, with either strategy, two instances, and Redis in any state.
func TestEffectHappensOnceHoweverOftenTheEventComes(t *testing.T) {
	for _, strategy := range []string{"event-id", "natural-key"} {
		for name, harm := range map[string]func(*stack, int){
			"Redis up":      func(*stack, int) {},
			"Redis emptied": func(s *stack, _ int) { s.flushRedis() },
			"Redis down": func(s *stack, n int) {
				if n == 0 {
					s.must(s.redis.Kill())
				}
			},
		} {
			t.Run(strategy+", "+name, func(t *testing.T) {
				s := newStack(t)
				i := s.serve(map[string]string{"BILLING_DEDUP_STRATEGY": strategy})
				s.serve(map[string]string{"BILLING_DEDUP_STRATEGY": strategy})
				id := i.issuePaid()
				paid := s.paidEvent(id)
				for n := range 10 {
					harm(s, n)
					payload := paid.raw.Data
					if strategy == "natural-key" {
						// The same fact, told by another event.
						payload = bytes.Replace(payload, []byte(paid.ID), fmt.Append(nil, "evt_copy_", n), 1)
					}
					s.publish(paid.Type, fmt.Sprint("copy-", n), payload)
				}
				i.awaitReceipt(id)
				s.settled()
				if n := s.count("documents"); n != 1 {
					t.Errorf("%d receipts", n)
				}
				if n := s.count("inbox"); n != 1 {
					t.Errorf("%d inbox rows", n)
				}
				if n := s.count("outbox WHERE type = $1", document.TypeReceiptIssued); n != 1 {
					t.Errorf("%d events of a receipt", n)
				}
				if letters := s.letters(); len(letters) != 0 {
					t.Errorf("a redelivered copy became a dead letter: %+v", letters)
				}
			})
		}
	}
}

// Invariant 3, for two effects of one event: that one of them had it says nothing
// of the other.
func TestEachHandlerOfAnEventHasItsEffectOnce(t *testing.T) {
	s := newStack(t)
	db, err := postgres.Open(t.Context(), must(postgres.ParseURL(s.database)))
	s.must(err)
	t.Cleanup(db.Close)
	cache := redisstore.Open(must(redisstore.ParseURL(s.redis.URL())))
	t.Cleanup(func() { s.must(cache.Close()) })
	once := messaging.NewOnce(
		postgres.NewStore(postgres.StoreOptions{DB: db, Alone: db, Appended: messaging.NewSignal()}),
		redisstore.NewClaims(cache, claimsPrefix, postgres.NewIdentity(db).Current),
		messaging.OnceOptions{Key: messaging.ByEventID, Lease: time.Minute, TTL: time.Minute},
		messaging.Observers{}, slog.New(slog.NewTextHandler(t.Output(), nil)),
	)
	effects := map[string]int{}
	for range 3 {
		for _, name := range []string{"first", "second"} {
			happened := false
			handler := messaging.Handler[invoicing.Tx]{Name: name, Handle: func(invoicing.Tx, messaging.Envelope) error {
				happened = true
				return nil
			}}
			fresh, err := once.Do(t.Context(), handler, messaging.Envelope{ID: "evt_1"}, false)
			s.must(err)
			if fresh && happened {
				effects[name]++
			}
		}
	}
	if effects["first"] != 1 || effects["second"] != 1 || s.count("inbox") != 2 {
		t.Errorf("effects %v, %d inbox rows", effects, s.count("inbox"))
	}
}

// Invariant 6: what cannot be handled ends in the DLQ with payload and reason,
// and blocks no other message.
func TestPoisonEndsInTheDLQAndBlocksNothing(t *testing.T) {
	s := newStack(t)
	i := s.serve(map[string]string{"BILLING_CONSUMER_CONCURRENCY": "1"})
	id := i.issuePaid()
	paid := s.paidEvent(id)
	i.awaitReceipt(id)
	envelope := func(change map[string]any) string {
		e := map[string]any{}
		s.must(json.Unmarshal(paid.raw.Data, &e))
		e["id"] = "evt_poison"
		maps.Copy(e, change)
		payload, err := json.Marshal(e)
		s.must(err)
		return string(payload)
	}
	data := func(change map[string]any) map[string]any {
		d := map[string]any{}
		s.must(json.Unmarshal(paid.Data, &d))
		maps.Copy(d, change)
		return map[string]any{"data": d}
	}
	poison := map[string]struct {
		payload, reason string
		deliveries      string
	}{
		"no JSON":          {"{broken", "no event envelope", "1"},
		"no UTF-8":         {"\xff\xfe", "no event envelope", "1"},
		"empty":            {"", "no event envelope", "1"},
		"null":             {"null", "no complete event envelope", "1"},
		"an array":         {"[]", "no event envelope", "1"},
		"no id":            {envelope(map[string]any{"id": ""}), "id is missing", "1"},
		"version a string": {envelope(map[string]any{"version": "2"}), "no event envelope", "1"},
		"another type":     {envelope(map[string]any{"type": invoice.TypeCancelled}), "came on subject", "1"},
		"data no object":   {envelope(map[string]any{"data": 7}), "data is no object", "1"},
		"data of no type":  {envelope(data(map[string]any{"amount": "many"})), "data does not fit", "1"},
		"another amount":   {envelope(data(map[string]any{"amount": 1})), "not that of its invoice", "1"},
		"unknown invoice":  {envelope(map[string]any{"aggregateId": "inv_unknown"}), "no invoice with this id", "5"},
	}
	for name, p := range poison {
		s.publish(invoice.TypePaid, "poison "+name, []byte(p.payload))
	}
	// The one worker gets to this while the last of them still waits for retries.
	i.awaitReceipt(i.issuePaid())

	s.eventually("every poisoned message is a dead letter", func() bool { return len(s.letters()) == len(poison) })
	for name, p := range poison {
		letter := s.letterOf(name)
		if letter.Header.Get("Dead-Letter-Deliveries") != p.deliveries {
			t.Errorf("%s: parked after %s deliveries, want %s", name, letter.Header.Get("Dead-Letter-Deliveries"), p.deliveries)
		}
		var body struct {
			OriginalEvent any
			Error         string
			FailedAt      time.Time
		}
		s.must(json.Unmarshal(letter.Data, &body))
		if !strings.Contains(body.Error, p.reason) || body.FailedAt.IsZero() {
			t.Errorf("%s: parked with the reason %q at %s, want %q", name, body.Error, body.FailedAt, p.reason)
		}
		var original any
		if json.Unmarshal([]byte(p.payload), &original) != nil {
			original = strings.ToValidUTF8(p.payload, "\uFFFD")
		}
		if fmt.Sprint(body.OriginalEvent) != fmt.Sprint(original) {
			t.Errorf("%s: the letter has %v", name, body.OriginalEvent)
		}
	}
}

// letterOf returns the dead letter of the message "poison <name>".
func (s *stack) letterOf(name string) (found struct {
	Header http.Header
	Data   []byte
}) {
	s.Helper()
	for _, letter := range s.messages(natsbus.DeadLetterStream, natsbus.DeadLetterSubject) {
		if letter.Header.Get("Dead-Letter-Message-Id") == "poison "+name {
			found.Header, found.Data = http.Header(letter.Header), letter.Data
		}
	}
	return found
}

// Invariant 6: a dead letter can be replayed, once its cause is gone.
func TestReplayedLetterHasItsEffect(t *testing.T) {
	s := newStack(t)
	i := s.serve(map[string]string{"BILLING_CONSUMER_MAX_DELIVER": "2"})
	_, err := s.pool.Exec(t.Context(), "ALTER TABLE documents ADD CONSTRAINT broken CHECK (false)")
	s.must(err)
	id := i.issue()
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", "")
	s.eventually("a dead letter", func() bool { return len(s.letters()) == 1 })
	_, err = s.pool.Exec(t.Context(), "ALTER TABLE documents DROP CONSTRAINT broken")
	s.must(err)

	code, list := s.command("dlq", "list")
	if code != 0 || !strings.Contains(list, invoice.TypePaid) || !strings.Contains(list, s.paidEvent(id).ID) {
		t.Fatalf("dlq list: %d\n%s", code, list)
	}
	if code, shown := s.command("dlq", "show", "1"); code != 0 || !strings.Contains(shown, `"aggregateId":"`+id+`"`) {
		t.Errorf("dlq show: %d\n%s", code, shown)
	}
	if code, output := s.command("dlq", "replay", "--all"); code != 0 || output != "replayed 1\n" {
		t.Fatalf("dlq replay: %d\n%s", code, output)
	}
	i.awaitReceipt(id)
	if code, output := s.command("dlq", "replay", "--all"); code != 0 || output != "" {
		t.Errorf("a letter that was replayed is replayed by --all again: %d\n%s", code, output)
	}
	// By name it is replayed again, and the inbox decides.
	if code, output := s.command("dlq", "replay", "1"); code != 0 {
		t.Fatalf("dlq replay 1: %d\n%s", code, output)
	}
	s.settled()
	if n := s.count("documents"); n != 1 {
		t.Errorf("%d receipts", n)
	}
	var letters []struct {
		ID         int
		ReplayedAt time.Time
	}
	_, output := s.command("dlq", "list", "--json")
	s.must(json.Unmarshal([]byte(output), &letters))
	if len(letters) != 1 || letters[0].ReplayedAt.IsZero() {
		t.Errorf("dlq list --json: %s", output)
	}
}

// An outage of the database uses up no deliveries: afterwards the effect
// happens, and nothing was parked.
func TestOutageOfTheDatabaseParksNothing(t *testing.T) {
	s := newStack(t)
	i := s.serve(map[string]string{"BILLING_CONSUMER_MAX_DELIVER": "1", "BILLING_CONSUMER_ACK_WAIT": "1s"})
	id := i.issuePaid()
	paid := s.paidEvent(id)
	i.awaitReceipt(id)
	_, err := s.pool.Exec(t.Context(), "DELETE FROM documents; DELETE FROM inbox") // as if it never came
	s.must(err)
	s.flushRedis()

	s.admit(false)
	s.publish(paid.Type, "a copy", paid.raw.Data)
	s.eventually("the delivery waits", func() bool { return strings.Contains(i.log.String(), "delivery waits for a dependency") })
	s.admit(true)
	i.awaitReceipt(id)
	if letters := s.letters(); len(letters) != 0 {
		t.Errorf("the outage was taken for poison: %+v", letters)
	}
}

// admit makes the server refuse connections to the database and end those that are
// there, or accept them again.
func (s *stack) admit(connections bool) {
	s.Helper()
	u, err := url.Parse(s.database)
	s.must(err)
	name := u.Path[1:]
	u.Path = "/postgres"
	conn, err := pgx.Connect(s.Context(), u.String())
	s.must(err)
	defer conn.Close(s.Context())
	_, err = conn.Exec(s.Context(), fmt.Sprintf("ALTER DATABASE %s ALLOW_CONNECTIONS %t", name, connections))
	s.must(err)
	if !connections {
		_, err = conn.Exec(s.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = $1", name)
		s.must(err)
	}
}

// cutConnections ends every connection to the database but the one that it uses.
func (s *stack) cutConnections() {
	s.Helper()
	_, err := s.pool.Exec(s.Context(), "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()")
	s.must(err)
}
