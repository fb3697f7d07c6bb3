package natsbus

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/devstack"
	"github.com/winaity/billing/internal/domain/fault"
)

// keep runs a Keeper of the service's topology until the test ends.
func (b *bus) keep(t *testing.T) (keeper *Keeper, kept chan struct{}) {
	t.Helper()
	kept = make(chan struct{}, 100)
	keeper = NewKeeper(b.Conn, BillingTopology(settings), func() { kept <- struct{}{} })
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan struct{})
	go func() { defer close(ended); keeper.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-ended })
	return keeper, kept
}

// losses is what may be lost of a topology, and how.
var losses = map[string]func(context.Context, jetstream.JetStream) error{
	"consumer billing-processor": func(ctx context.Context, js jetstream.JetStream) error {
		return js.DeleteConsumer(ctx, EventsStream, Processor)
	},
	"consumer billing-exhausted": func(ctx context.Context, js jetstream.JetStream) error {
		return js.DeleteConsumer(ctx, DeadLetterStream, ExhaustedConsumer)
	},
	"stream BILLING_EVENTS, no consumer billing-processor": func(ctx context.Context, js jetstream.JetStream) error {
		return js.DeleteStream(ctx, EventsStream)
	},
	"stream BILLING_DLQ, no consumer billing-exhausted": func(ctx context.Context, js jetstream.JetStream) error {
		return js.DeleteStream(ctx, DeadLetterStream)
	},
}

func TestKeeperIsNotReadyWithoutAnyPartOfTheTopology(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keeper := NewKeeper(b.Conn, BillingTopology(settings), func() {})
	for what, lose := range losses {
		if err := keeper.Ready(timeout(t)); err != nil {
			t.Errorf("with the topology: %v", err)
		}
		if err := lose(timeout(t), b.js); err != nil {
			t.Fatal(err)
		}
		wantUnready(t, keeper, "JetStream has no "+what+".")
		b.ensure(t, settings)
	}
}

// wantUnready checks the message that a caller may see.
func wantUnready(t *testing.T, keeper *Keeper, message string) {
	t.Helper()
	err := keeper.Ready(timeout(t))
	if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Unavailable || f.Message != message {
		t.Errorf("not ready because of %v, want %q", err, message)
	}
}

func TestKeeperMakesAnewWhatIsLost(t *testing.T) {
	t.Parallel()
	b := setupEmpty(t)
	var keeper *Keeper
	var kept chan struct{}
	b.restart(t, func() { keeper, kept = b.keep(t) })
	eventually(t, "topology of a server that comes late", keeper.Ready)
	<-kept

	for what, lose := range losses {
		if err := lose(timeout(t), b.js); err != nil {
			t.Fatal(err)
		}
		<-kept
		eventually(t, "again: "+what, keeper.Ready)
	}
	if err := losses["stream BILLING_EVENTS, no consumer billing-processor"](timeout(t), b.js); err != nil {
		t.Fatal(err)
	}
	b.restart(t, func() {})
	<-kept
	eventually(t, "topology of a server that lost it", keeper.Ready)
}

// Two versions with other settings, or an operator's edit, are no reason to
// change anything for as long as nothing is missing.
func TestKeeperLeavesSettingsAlone(t *testing.T) {
	t.Parallel()
	b := setup(t)
	_, kept := b.keep(t)
	<-kept
	edited := settings
	edited.MaxDeliver = 17
	other := connect(t, b.server.URL())
	looks, err := other.nc.SubscribeSync("$JS.API.CONSUMER.INFO." + EventsStream + "." + Processor)
	if err != nil {
		t.Fatal(err)
	}
	if err := other.Ensure(timeout(t), BillingTopology(edited)); err != nil {
		t.Fatal(err)
	}
	for range 4 { // of which the first is the editor's
		if _, err := looks.NextMsgWithContext(timeout(t)); err != nil {
			t.Fatal(err)
		}
	}
	consumer, err := b.js.Consumer(timeout(t), EventsStream, Processor)
	if err != nil {
		t.Fatal(err)
	}
	if got := consumer.CachedInfo().Config.MaxDeliver; got != edited.MaxDeliver {
		t.Errorf("max_deliver %d, but somebody had made it %d", got, edited.MaxDeliver)
	}
}

// A Conflict, which an operator has to resolve, ends no service that runs.
func TestKeeperOutlastsAConflict(t *testing.T) {
	t.Parallel()
	b := setup(t)
	keeper, kept := b.keep(t)
	<-kept
	stream, err := b.js.Stream(timeout(t), EventsStream)
	if err != nil {
		t.Fatal(err)
	}
	narrow := stream.CachedInfo().Config
	narrow.Subjects = []string{"billing.some.*"} // which the keeper leaves alone
	if _, err := b.js.UpdateStream(timeout(t), narrow); err != nil {
		t.Fatal(err)
	}
	if _, err := b.js.CreateStream(timeout(t), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"billing.other"}}); err != nil {
		t.Fatal(err)
	}
	if err := b.js.DeleteStream(timeout(t), EventsStream); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the conflict is told", func(ctx context.Context) error {
		err := keeper.Ready(ctx)
		if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Unavailable || !strings.Contains(f.Message, "another stream already takes its subjects") {
			return errors.New("not told")
		}
		return nil
	})
	if err := b.js.DeleteStream(timeout(t), DeadLetterStream); err != nil {
		t.Fatal(err)
	}
	eventually(t, "the other stream is made anew all the same", func(ctx context.Context) error {
		_, err := b.js.Consumer(ctx, DeadLetterStream, ExhaustedConsumer)
		return err
	})
	if err := b.js.DeleteStream(timeout(t), "OTHER"); err != nil {
		t.Fatal(err)
	}
	eventually(t, "all is well", keeper.Ready)
}

// Readiness tells what the server refuses to take, and nothing that is not its
// fault.
func TestReadyOfWhatWasPublished(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "nats.conf")
	if err := os.WriteFile(file, []byte(`jetstream: enabled, authorization: {users: [{user: u, password: p, permissions: {publish: {deny: "`+otherSubject+`"}}}]}`), 0o600); err != nil {
		t.Fatal(err)
	}
	conn := connect(t, strings.Replace(devstack.ConfiguredNATSForTest(t, file).URL(), "nats://", "nats://u:p@", 1))
	keeper := NewKeeper(conn, BillingTopology(settings), func() {})
	if err := keeper.Ensure(timeout(t)); err != nil {
		t.Fatal(err)
	}
	publisher, err := NewPublisher(conn, 200*time.Millisecond)
	if err != nil {
		t.Fatal(err)
	}
	publish := func(ctx context.Context, subject string) {
		t.Helper()
		if outcomes := publisher.Publish(ctx, []messaging.Message{{ID: subject, Subject: subject, Payload: []byte("{}")}}); outcomes[0] == nil {
			t.Errorf("%s was published", subject)
		}
	}
	gaveUp, cancel := context.WithCancel(t.Context())
	cancel()
	publish(gaveUp, handledSubject)
	if err := keeper.Ready(timeout(t)); err != nil {
		t.Errorf("a caller that gave up: %v", err)
	}
	publish(t.Context(), otherSubject)
	if err := keeper.Ready(timeout(t)); err == nil || !strings.Contains(err.Error(), `Permissions Violation for Publish to "`+otherSubject+`"`) {
		t.Errorf("no right to publish: %v", err)
	}
}

// What the server does not permit it says, with its reason, and mends itself when
// it is permitted.
func TestKeeperTellsWhyTheServerRefuses(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct{ config, want string }{
		"account without JetStream": {
			`jetstream: enabled, accounts: {A: {users: [{user: u, password: p}]}}`,
			`NATS refuses: JetStream not enabled for account.`,
		},
		"server without JetStream": {
			`authorization: {user: u, password: p}`,
			`JetStream is not available.`,
		},
		"account with too few streams": {
			`jetstream: enabled, accounts: {A: {jetstream: {max_streams: 1}, users: [{user: u, password: p}]}}`,
			`NATS refuses: maximum number of streams reached.`,
		},
		"user who may not make streams": {
			`jetstream: enabled, authorization: {users: [{user: u, password: p, permissions: {publish: {deny: "$JS.API.STREAM.CREATE.>"}}}]}`,
			`NATS refuses: Permissions Violation for Publish to "$JS.API.STREAM.CREATE.BILLING_EVENTS".`,
		},
		"user who may not even look": {
			`jetstream: enabled, authorization: {users: [{user: u, password: p, permissions: {publish: {deny: "$JS.API.>"}}}]}`,
			`NATS refuses: Permissions Violation for Publish to "$JS.API.STREAM.INFO.BILLING_EVENTS".`,
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			file := filepath.Join(t.TempDir(), "nats.conf")
			configure := func(config string) {
				if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			configure(test.config)
			server := devstack.ConfiguredNATSForTest(t, file)
			var log buffer
			config, err := ParseURL(strings.Replace(server.URL(), "nats://", "nats://u:p@", 1))
			if err != nil {
				t.Fatal(err)
			}
			conn, err := Connect(config, t.Name(), slog.New(slog.NewJSONHandler(&log, nil)), func() {})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(conn.Close)
			b := &bus{Conn: conn, server: server}
			keeper, _ := b.keep(t)
			eventually(t, "the reason", func(ctx context.Context) error {
				err := keeper.Ready(ctx)
				if f, ok := errors.AsType[*fault.Error](err); !ok || f.Kind != fault.Unavailable || f.Message != test.want {
					return fault.Wrap(err, fault.Internal, "", "another reason")
				}
				return nil
			})
			eventually(t, "a line in the log", func(context.Context) error {
				if !strings.Contains(log.String(), "JetStream is not as the service needs it") {
					return errors.New("none")
				}
				return nil
			})
			b.restart(t, func() { configure(`jetstream: enabled, authorization: {user: u, password: p}`) })
			eventually(t, "all is well when it is permitted", keeper.Ready)
		})
	}
}
