package main

import (
	"errors"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"github.com/winaity/billing/internal/devstack"
)

// TestMain lets copies of the test binary stand in for both programs.
func TestMain(m *testing.M) {
	switch filepath.Base(os.Args[0]) {
	case "dev":
		main()
	case "billing":
		fakeBilling()
	default:
		os.Exit(devstack.Run(m))
	}
}

func TestServesUntilItIsToldToStop(t *testing.T) {
	dir := checkout(t)
	for run := 1; run <= 2; run++ {
		d := start(t, dir)
		d.waitFor("Ctrl-C stops everything")
		env := d.env()
		if got := get(t, env["BILLING_URL"]+"/runs"); got != strconv.Itoa(run) {
			t.Errorf("the database has seen %s runs, want %d", got, run)
		}
		if log := get(t, env["BILLING_URL"]+"/env/BILLING_LOG_FORMAT"); log != "text" {
			t.Errorf("BILLING_LOG_FORMAT = %q", log)
		}

		check(t, d.Process.Signal(os.Interrupt))
		if code := d.wait(); code != 0 {
			t.Errorf("exit code %d\n%s", code, d.output())
		}
		if !strings.Contains(d.output(), "fake: stopped before its servers") {
			t.Errorf("billing was not stopped first\n%s", d.output())
		}
		d.nothingIsLeft(env)
	}
}

func TestOneAtATimeInADirectory(t *testing.T) {
	dir, servers := checkout(t), runningServers(t)
	first := start(t, dir, servers...)
	first.waitFor("Ctrl-C stops everything")
	second := start(t, dir, servers...)
	if code := second.wait(); code != 1 || !strings.Contains(second.output(), "already runs in this directory") {
		t.Errorf("exit code %d\n%s", code, second.output())
	}
	if status := get(t, first.env()["BILLING_URL"]+"/readyz"); status != "ready" {
		t.Errorf("the first one is %q after the second", status)
	}
}

func TestEndsWithBilling(t *testing.T) {
	d := start(t, checkout(t))
	d.waitFor("Ctrl-C stops everything")
	env := d.env()
	if response, err := http.Get(env["BILLING_URL"] + "/die"); err == nil {
		check(t, response.Body.Close())
	}
	if code := d.wait(); code != 1 || !strings.Contains(d.output(), "billing ended by itself: exit status 3") {
		t.Errorf("exit code %d\n%s", code, d.output())
	}
	d.nothingIsLeft(env)
}

func TestEndsWhenTheMigrationFails(t *testing.T) {
	d := start(t, checkout(t), append(runningServers(t), "FAKE_MIGRATE_EXIT=4")...)
	if code := d.wait(); code != 1 || !strings.Contains(d.output(), "billing migrate: exit status 4") {
		t.Errorf("exit code %d\n%s", code, d.output())
	}
}

func TestNothingOutlivesAKilledLauncher(t *testing.T) {
	dir := checkout(t)
	d := start(t, dir)
	d.waitFor("Ctrl-C stops everything")
	env := d.env()
	check(t, d.Process.Kill())
	d.wait()
	for name, address := range env {
		eventually(t, "end of "+name, func() bool { return !listening(t, address) })
	}

	again := start(t, dir)
	again.waitFor("Ctrl-C stops everything")
	if runs := get(t, again.env()["BILLING_URL"]+"/runs"); runs != "2" {
		t.Errorf("the database has seen %s runs, want 2", runs)
	}
}

func TestASecondSignalDoesNotWait(t *testing.T) {
	d := start(t, checkout(t), "FAKE_IGNORES_SIGTERM=1", "BILLING_SHUTDOWN_TIMEOUT=10m")
	d.waitFor("Ctrl-C stops everything")
	env := d.env()
	check(t, d.Process.Signal(syscall.SIGTERM))
	d.waitFor("fake: SIGTERM")
	check(t, d.Process.Signal(syscall.SIGTERM))
	if code := d.wait(); code != 1 || !strings.Contains(d.output(), "stop billing: killed, because it did not stop in time: a second signal came") {
		t.Errorf("exit code %d\n%s", code, d.output())
	}
	d.nothingIsLeft(env)
}

func TestBillingHasItsOwnShutdownTimeout(t *testing.T) {
	// Less than nothing, because the launcher adds a margin of 5 s.
	env := append(runningServers(t), "FAKE_IGNORES_SIGTERM=1", "BILLING_SHUTDOWN_TIMEOUT=-4900ms")
	d := start(t, checkout(t), env...)
	d.waitFor("Ctrl-C stops everything")
	check(t, d.Process.Signal(syscall.SIGTERM))
	if code := d.wait(); code != 1 || !strings.Contains(d.output(), "longer than BILLING_SHUTDOWN_TIMEOUT") {
		t.Errorf("exit code %d\n%s", code, d.output())
	}
}

func TestASignalDuringTheStart(t *testing.T) {
	d := start(t, checkout(t))
	d.waitFor("Starting Postgres")
	check(t, d.Process.Signal(os.Interrupt))
	if code := d.wait(); code != 0 {
		t.Errorf("exit code %d\n%s", code, d.output())
	}
}

func TestUsesTheServersOfTheEnvironment(t *testing.T) {
	dir := checkout(t)
	database := devstack.DatabaseForTest(t, nil) + "&application_name=it's"
	redis, bus := devstack.RedisForTest(t), devstack.NATSForTest(t)
	d := start(t, dir, "DATABASE_URL="+database, "REDIS_URL="+redis.URL(), "NATS_URL="+bus.URL())
	d.waitFor("Ctrl-C stops everything")

	env := d.env()
	for name, want := range map[string]string{"DATABASE_URL": database, "REDIS_URL": redis.URL(), "NATS_URL": bus.URL()} {
		if env[name] != want {
			t.Errorf("%s = %s, want %s", name, env[name], want)
		}
	}
	if strings.Contains(d.output(), database) {
		t.Errorf("the password of the database is shown\n%s", d.output())
	}
	for _, name := range []string{"postgres", "redis", "nats"} {
		if _, err := os.Stat(filepath.Join(dir, ".dev", name)); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("there is a private %s", name)
		}
	}
}

func TestTakesAnotherPort(t *testing.T) {
	// Somebody else may have the port; either way it is taken.
	if squatter, err := net.Listen("tcp", ":8080"); err == nil {
		defer func() { check(t, squatter.Close()) }()
	}
	d := start(t, checkout(t), runningServers(t)...)
	d.waitFor("Ctrl-C stops everything")
	if url := d.env()["BILLING_URL"]; strings.HasSuffix(url, ":8080") || !strings.Contains(d.output(), "Port 8080 is taken") {
		t.Errorf("BILLING_URL = %s\n%s", url, d.output())
	}
}

func TestTheAddressOfTheEnvironment(t *testing.T) {
	port, err := devstack.FreePort(0)
	check(t, err)
	address := "127.0.0.1:" + strconv.Itoa(port)
	servers := runningServers(t)
	d := start(t, checkout(t), append(servers, "BILLING_HTTP_ADDR="+address)...)
	d.waitFor("Ctrl-C stops everything")
	if url := d.env()["BILLING_URL"]; url != "http://"+address {
		t.Errorf("BILLING_URL = %s, want that of %s", url, address)
	}

	for _, bad := range []string{address, "nonsense"} {
		d := start(t, checkout(t), append(servers, "BILLING_HTTP_ADDR="+bad)...)
		if code := d.wait(); code != 1 || !strings.Contains(d.output(), "dev: BILLING_HTTP_ADDR="+bad) {
			t.Errorf("%s: exit code %d\n%s", bad, code, d.output())
		}
	}
}

func TestUsage(t *testing.T) {
	if err := run(t.Context(), t.Context(), []string{"nonsense"}); err == nil || !strings.Contains(err.Error(), "usage") {
		t.Errorf("error = %v", err)
	}
	check(t, run(t.Context(), t.Context(), []string{"install"}))
}
