package main

import (
	"context"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/invoice"
	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// losses are ways to lose what the service has in JetStream.
var losses = map[string]func(*stack){
	"durable consumer": func(s *stack) {
		s.must(s.js.DeleteConsumer(s.Context(), natsbus.EventsStream, natsbus.Processor))
	},
	"consumer of reports": func(s *stack) {
		s.must(s.js.DeleteConsumer(s.Context(), natsbus.DeadLetterStream, natsbus.ExhaustedConsumer))
	},
	"events stream":      func(s *stack) { s.must(s.js.DeleteStream(s.Context(), natsbus.EventsStream)) },
	"dead letter stream": func(s *stack) { s.must(s.js.DeleteStream(s.Context(), natsbus.DeadLetterStream)) },
	"everything": func(s *stack) {
		s.must(s.js.DeleteStream(s.Context(), natsbus.EventsStream))
		s.must(s.js.DeleteStream(s.Context(), natsbus.DeadLetterStream))
	},
}

// readiness waits until the instance says that it is in the given state.
func (i *instance) readiness(status string) {
	i.Helper()
	i.eventually("readiness is "+status, func() bool {
		return strings.Contains(string(i.expect(http.StatusOK, http.MethodGet, "/readyz", "").body), `"status":"`+status+`"`)
	})
}

// works checks that what is paid has its receipt, and what cannot be handled is a
// dead letter.
func (i *instance) works() {
	i.Helper()
	i.awaitReceipt(i.issuePaid())
	before := len(i.letters())
	i.publish(invoice.TypePaid, messaging.NewID("poison_"), []byte("not JSON"))
	i.eventually("a dead letter", func() bool { return len(i.letters()) > before })
}

// Invariant 8: what is deleted from JetStream under a running service comes back,
// and so does everything that needs it.
func TestTopologyComesBack(t *testing.T) {
	for what, lose := range losses {
		t.Run(what, func(t *testing.T) {
			s := newStack(t)
			i := s.serve(map[string]string{"BILLING_OUTBOX_POLL_INTERVAL": "50ms"})
			i.awaitReceipt(i.issuePaid())
			lose(s)
			id := i.issuePaid() // its events wait, or have just been lost
			s.eventually("it was noticed", func() bool { return strings.Contains(i.log.String(), "outbox republish") })
			i.readiness("ok")
			i.works()
			if code, output := s.command("outbox", "republish", "--since", "1h"); code != exitOK {
				t.Errorf("republish: %d\n%s", code, output)
			}
			i.awaitReceipt(id)
			s.eventually("all is in the stream", func() bool {
				code, _ := s.command("audit", "--grace", "0s")
				return code == exitOK
			})
		})
	}
}

// A running service that finds what it must not change goes on with what works,
// says so, and recovers when somebody has resolved it. What another stream takes
// meanwhile does not count as published.
func TestConflictEndsNoRunningService(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	i.works()
	s.editStream(func(c *jetstream.StreamConfig) { c.Subjects = []string{"billing.none"} }) // which the service leaves alone
	_, err := s.js.CreateStream(s.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"billing.invoice.*"}})
	s.must(err)
	s.must(s.js.DeleteStream(s.Context(), natsbus.EventsStream))
	s.eventually("the log says what to do", func() bool { return strings.Contains(i.log.String(), "nats stream ls") })
	i.readiness("degraded")
	id := i.issuePaid()
	s.eventually("the relay has tried", func() bool { return strings.Contains(i.log.String(), "outbox batch failed") })
	s.must(s.js.DeleteStream(s.Context(), "OTHER"))
	i.readiness("ok")
	i.awaitReceipt(id)
	i.works()
}

// editStream changes the settings of the events' stream, as an operator may, and
// returns what they were.
func (s *stack) editStream(edit func(*jetstream.StreamConfig)) jetstream.StreamConfig {
	s.Helper()
	stream, err := s.js.Stream(s.Context(), natsbus.EventsStream)
	s.must(err)
	edited := stream.CachedInfo().Config
	edit(&edited)
	_, err = s.js.UpdateStream(s.Context(), edited)
	s.must(err)
	return stream.CachedInfo().Config
}

// limitedNATS replaces the server by one with settings of its own. configure
// replaces those, at the next start. The tests' own user is admin.
func (s *stack) limitedNATS(config string) (configure func(string)) {
	s.Helper()
	file := filepath.Join(s.TempDir(), "nats.conf")
	configure = func(config string) { s.must(os.WriteFile(file, []byte(config), 0o600)) }
	configure(config)
	s.nats = devstack.ConfiguredNATSForTest(s.T, file)
	nc, err := nats.Connect(s.natsAs("admin"), nats.MaxReconnects(-1))
	s.must(err)
	s.Cleanup(nc.Close)
	s.js, err = jetstream.New(nc)
	s.must(err)
	return configure
}

// natsAs returns the URL for a user.
func (s *stack) natsAs(user string) string {
	return strings.Replace(s.nats.URL(), "nats://", "nats://"+user+":secret@", 1)
}

const allowAll = `jetstream: enabled, authorization: {users: [{user: admin, password: secret}, {user: billing, password: secret}]}`

// Invariant 8: a NATS that refuses what the service needs is like one that is
// away, with the server's reason in the log.
func TestNATSThatRefuses(t *testing.T) {
	for name, c := range map[string]struct{ config, reason string }{
		"account without JetStream": {
			`jetstream: enabled, accounts: {A: {users: [{user: billing, password: secret}]}, B: {jetstream: enabled, users: [{user: admin, password: secret}]}}`,
			"JetStream not enabled for account",
		},
		"user who may not make streams": {
			`jetstream: enabled, authorization: {users: [{user: admin, password: secret}, {user: billing, password: secret, permissions: {publish: {deny: "$JS.API.STREAM.CREATE.>"}}}]}`,
			`Permissions Violation for Publish to \"$JS.API.STREAM.CREATE.BILLING_EVENTS\"`,
		},
		"account that has no streams left": {
			`jetstream: enabled, accounts: {A: {jetstream: {max_streams: 1}, users: [{user: billing, password: secret}, {user: admin, password: secret}]}}`,
			"maximum number of streams reached",
		},
	} {
		t.Run(name, func(t *testing.T) {
			s := newStack(t)
			configure := s.limitedNATS(c.config)
			i := s.serve(map[string]string{"NATS_URL": s.natsAs("billing")})
			s.eventually("the reason is in the log", func() bool {
				for line := range strings.Lines(i.log.String()) {
					if strings.Contains(line, `"for":"streams"`) && strings.Contains(line, c.reason) {
						return true
					}
				}
				return false
			})
			i.readiness("degraded")
			id := i.issuePaid()
			s.must(s.nats.Stop(t.Context()))
			configure(allowAll)
			s.must(s.nats.Start(t.Context()))
			i.readiness("ok")
			i.awaitReceipt(id)
			i.works()
		})
	}
}

// A service that may only use what somebody else has made is not ready without
// it, from the first moment on, and is again as soon as it is there.
func TestReadinessIsOfWhatIsUsed(t *testing.T) {
	s := newStack(t)
	s.limitedNATS(`jetstream: enabled, authorization: {users: [{user: admin, password: secret}, {user: billing, password: secret, permissions: {
		publish: {deny: ["$JS.API.STREAM.CREATE.>", "$JS.API.CONSUMER.CREATE.>", "$JS.API.CONSUMER.DURABLE.CREATE.>"]}}}]}`)
	config, err := natsbus.ParseURL(s.natsAs("admin"))
	s.must(err)
	admin, err := natsbus.Connect(config, "admin", slog.New(slog.DiscardHandler), func() {})
	s.must(err)
	t.Cleanup(admin.Close)
	makeAll := func() {
		s.eventually("the topology is made", func() bool {
			return admin.Ensure(context.Background(), natsbus.BillingTopology(natsbus.Settings{
				Replicas: 1, MaxDeliver: 5, AckWait: 30 * time.Second, Subjects: []string{invoice.TypePaid, invoice.TypeCancelled},
			})) == nil
		})
	}
	makeAll()
	i := s.serve(map[string]string{"NATS_URL": s.natsAs("billing")})
	i.readiness("ok")
	i.works()
	for what, lose := range losses {
		lose(s)
		if body := i.expect(http.StatusOK, http.MethodGet, "/readyz", "").body; !strings.Contains(string(body), "degraded") {
			t.Errorf("without the %s: %s", what, body)
		}
		id := i.issuePaid()
		makeAll()
		i.readiness("ok")
		i.awaitReceipt(id)
		i.works()
	}
}

// A stream that is there and takes nothing, since somebody has edited it, is told.
func TestStreamThatTakesNothing(t *testing.T) {
	for reason, edit := range map[string]func(*jetstream.StreamConfig){
		"NATS refuses: maximum messages exceeded.": func(c *jetstream.StreamConfig) { c.MaxMsgs, c.Discard = 1, jetstream.DiscardNew },
		"No stream takes the subject.":             func(c *jetstream.StreamConfig) { c.Subjects = []string{"billing.none"} },
	} {
		t.Run(reason, func(t *testing.T) {
			s := newStack(t)
			i := s.serve(nil)
			i.works()
			i.readiness("ok")
			good := s.editStream(edit)
			id := i.issuePaid()
			i.readiness("degraded")
			if body := i.expect(http.StatusOK, http.MethodGet, "/readyz", "").body; !strings.Contains(string(body), `"`+reason+`"`) {
				t.Errorf("%s", body)
			}
			s.editStream(func(c *jetstream.StreamConfig) { *c = good })
			i.awaitReceipt(id)
			i.readiness("ok")
			i.works()
		})
	}
}

// An operator's command leaves nothing behind: the account has only so many
// consumers.
func TestAuditLeavesNoConsumer(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	i.awaitReceipt(i.issuePaid())
	s.settled()
	consumers := func() int {
		stream, err := s.js.Stream(t.Context(), natsbus.EventsStream)
		s.must(err)
		return stream.CachedInfo().State.Consumers
	}
	before := consumers()
	for range 3 {
		if code, output := s.command("audit"); code != exitOK {
			t.Errorf("audit: %d\n%s", code, output)
		}
	}
	if after := consumers(); after != before {
		t.Errorf("the stream had %d consumers, and has %d", before, after)
	}
}
