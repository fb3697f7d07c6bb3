package main

import (
	"bytes"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/winaity/billing/cmd/chaos/internal/check"
	"github.com/winaity/billing/internal/devstack"
)

// TestMain lets copies of the test binary stand in for the program, which makes
// NATS servers of itself.
func TestMain(m *testing.M) {
	if len(os.Args) > 1 && os.Args[1] == natsCommand {
		main()
	}
	os.Exit(devstack.Run(m))
}

// All invariants, side by side: whatever breaks, what clients were told is true.
func TestEveryPromiseIsKept(t *testing.T) {
	billing := filepath.Join(t.TempDir(), "billing")
	build := exec.CommandContext(t.Context(), "go", "build", "-o", billing, "../billing")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("build the service: %v\n%s", err, out)
	}
	var table, log bytes.Buffer
	code := command(t.Context(), []string{"-billing", billing, "-duration", "45s", "-v"}, &table, &log)
	t.Logf("exit code %d\n%s", code, &table)
	if code != exitOK {
		t.Errorf("the log:\n%s", &log)
	}
}

func TestBadUsageIsRefused(t *testing.T) {
	for name, args := range map[string][]string{
		"unknown flag":        {"-unknown"},
		"argument":            {"more"},
		"too short":           {"-duration", "1s"},
		"no instances":        {"-instances", "0"},
		"service not built":   {"-billing", filepath.Join(t.TempDir(), "billing")},
		"server without port": {natsCommand, "-port", "none"},
	} {
		t.Run(name, func(t *testing.T) {
			var stderr strings.Builder
			if code := command(t.Context(), args, io.Discard, &stderr); code != exitFailure || stderr.Len() == 0 {
				t.Errorf("exit code %d: %s", code, stderr.String())
			}
		})
	}
}

func TestPlanFollowsFromTheSeed(t *testing.T) {
	const seed, instances = 7, 3
	faults := plan(seed, 35*time.Second, instances)
	if !reflect.DeepEqual(faults, plan(seed, 35*time.Second, instances)) {
		t.Error("the same seed gave another plan")
	}
	if reflect.DeepEqual(faults, plan(seed+1, 35*time.Second, instances)) {
		t.Error("another seed gave the same plan")
	}
	done := map[kind]bool{}
	last := time.Duration(0)
	for _, f := range faults {
		done[f.kind] = true
		if f.at < last || f.instance < 0 || f.instance >= instances {
			t.Errorf("odd fault %+v", f)
		}
		last = f.at
	}
	for _, k := range kinds {
		if !done[k] {
			t.Errorf("nothing is broken by %q", k)
		}
	}
}

func TestLinkDoesWhatTheWeatherIs(t *testing.T) {
	echo, err := net.Listen("tcp", "127.0.0.1:0")
	must(t, err)
	t.Cleanup(func() { must(t, echo.Close()) })
	heard := make(chan string, 10)
	go func() {
		for {
			conn, err := echo.Accept()
			if err != nil {
				return
			}
			go func() {
				defer func() { _ = conn.Close() }()
				for word := make([]byte, 4); ; {
					if _, err := io.ReadFull(conn, word); err != nil {
						return
					}
					heard <- string(word)
					if _, err := conn.Write(word); err != nil {
						return
					}
				}
			}()
		}
	}()
	l, err := newLink(t.Context(), "echo", echo.Addr().String())
	must(t, err)
	defer l.close()
	dial := func() net.Conn {
		conn, err := net.Dial("tcp", l.addr())
		must(t, err)
		must(t, conn.SetDeadline(time.Now().Add(30*time.Second)))
		return conn
	}
	say := func(conn net.Conn, word string) {
		_, err := io.WriteString(conn, word)
		must(t, err)
	}
	hear := func(conn net.Conn) string {
		word := make([]byte, 4)
		_, err := io.ReadFull(conn, word)
		must(t, err)
		return string(word)
	}

	conn := dial()
	for _, w := range []weather{{}, {delay: time.Millisecond}} {
		l.set(w)
		say(conn, "fine")
		if got := hear(conn); got != "fine" {
			t.Errorf("with %+v: %q came back", w, got)
		}
		<-heard
	}

	l.set(weather{stalled: true})
	say(conn, "wait")
	l.set(weather{deaf: true})
	if got := <-heard; got != "wait" {
		t.Errorf("%q arrived after the stall", got)
	}
	say(conn, "lost")
	<-heard
	l.cut()
	if n, err := conn.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("an answer came through a link that loses them")
	}

	l.set(weather{})
	conn = dial()
	defer func() { must(t, conn.Close()) }()
	say(conn, "anew")
	if got := hear(conn); got != "anew" {
		t.Errorf("%q came back on a new connection", got)
	}
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}

func TestVerdictNamesWhatWasBrokenAndHowToRepeatIt(t *testing.T) {
	r := result{options: options{seed: 7, duration: time.Minute, instances: 3}}
	var good strings.Builder
	must(t, r.print(&good))
	if !strings.Contains(good.String(), "Every promise was kept.") {
		t.Errorf("got\n%s", &good)
	}
	for range maxShown + 1 {
		r.report.Violate(check.Lost, "event %s", "evt_1")
	}
	var bad strings.Builder
	must(t, r.print(&bad))
	for _, want := range []string{"31 violations", "lost: event evt_1", "…", "chaos -seed 7 -duration 1m0s -instances 3"} {
		if !strings.Contains(bad.String(), want) {
			t.Errorf("it does not say %q:\n%s", want, &bad)
		}
	}
}
