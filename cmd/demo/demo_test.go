package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/devstack"
)

func TestMain(m *testing.M) { os.Exit(devstack.Run(m)) }

func TestDemoShowsTheWholeLoop(t *testing.T) {
	env := startService(t)
	var out bytes.Buffer
	if err := run(t.Context(), env, &out, false); err != nil {
		t.Fatalf("%v\n%s", err, &out)
	}
	story := regexp.MustCompile(`(?s)` + strings.Join([]string{
		`INV-\d{4}-0001 issued, 150\.00 EUR, version 1`, `billing\.invoice\.issued +v1`,
		`INV-\d{4}-0001 paid`, `billing\.invoice\.paid +v2 .*id +(evt_\w{26})`,
		`billing\.receipt\.issued +v1 .*causationId +evt_`, `RCT-\d{4}-0001 belongs to INV-\d{4}-0001`,
		`billing\.invoice\.cancelled +v2`, `billing\.creditnote\.issued +v1`, `CRN-\d{4}-0001 belongs to INV-\d{4}-0002`,
		`Idempotent-Replayed: true`, `one invoice: INV-\d{4}-0003`,
		`PUBLISH billing\.invoice\.paid`, `dlq\.billing`, `error +\S+`, `originalEvent "this is no JSON`,
		`All of it happened`,
	}, `.*`))
	if !story.MatchString(out.String()) {
		t.Errorf("this does not tell the story:\n%s", &out)
	}
}

func TestDemoFailsWhenTheLoopDoesNotClose(t *testing.T) {
	broker := devstack.NATSForTest(t)
	// A service that takes commands and publishes nothing.
	service := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		fmt.Fprint(w, `{"id":"inv_1","status":"issued"}`)
	}))
	t.Cleanup(service.Close)
	env := environment(map[string]string{"BILLING_URL": service.URL, "NATS_URL": broker.URL()})

	fails := func(want string) {
		t.Helper()
		ctx, cancel := context.WithTimeoutCause(t.Context(), 500*time.Millisecond, errors.New("it did not"))
		defer cancel()
		if err := run(ctx, env, io.Discard, false); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, want %q", err, want)
		}
	}
	fails("stream BILLING_EVENTS: ")
	makeStreams(t, broker.URL())
	fails("billing.invoice.issued should have followed, but it did not")
	service.Close()
	fails("no billing service at " + service.URL)
}

// startService runs the real program and returns the demo's environment.
func startService(t *testing.T) func(string) string {
	t.Helper()
	billing := filepath.Join(t.TempDir(), "billing")
	must(t, command(t, nil, "go", "build", "-o", billing, "../billing").Run())

	port, err := devstack.FreePort(0)
	must(t, err)
	broker, redis := devstack.NATSForTest(t), devstack.RedisForTest(t)
	env := map[string]string{
		"DATABASE_URL":      devstack.DatabaseForTest(t, nil),
		"NATS_URL":          broker.URL(),
		"REDIS_URL":         redis.URL(),
		"BILLING_HTTP_ADDR": fmt.Sprintf("127.0.0.1:%d", port),
		"BILLING_URL":       fmt.Sprintf("http://127.0.0.1:%d", port),
	}
	must(t, command(t, env, billing, "migrate").Run())
	service, err := devstack.StartProcess(command(t, env, billing, "serve"))
	must(t, err)
	t.Cleanup(func() { must(t, service.Stop(context.Background())) })

	deadline := time.After(patience)
	for {
		_, err := newAPI(env["BILLING_URL"]).ready(t.Context())
		if err == nil {
			return environment(env)
		}
		select {
		case <-deadline:
			t.Fatal(err)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

func command(t *testing.T, env map[string]string, name string, args ...string) *exec.Cmd {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = cmd.Environ()
	for name, value := range env {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	cmd.Stdout, cmd.Stderr = t.Output(), t.Output()
	return cmd
}

func makeStreams(t *testing.T, url string) {
	t.Helper()
	nc, err := nats.Connect(url)
	must(t, err)
	defer nc.Close()
	js, err := jetstream.New(nc)
	must(t, err)
	for name, subject := range map[string]string{eventsStream: "billing.>", deadLetterStream: deadLetterSubject} {
		_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject}})
		must(t, err)
	}
}

func environment(values map[string]string) func(string) string {
	return func(name string) string { return values[name] }
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
