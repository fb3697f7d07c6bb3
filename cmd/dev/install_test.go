package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/devstack"
)

// fakeApt writes what it is called with, and what the policy says about starting
// services meanwhile. The file in FAKE_INSTALLS exists after an installation.
const fakeApt = `#!/bin/sh
"$FAKE_POLICY"
echo "$DEBIAN_FRONTEND apt-get $*, policy $?" >>"$FAKE_LOG"
if [ "$1" = install ]; then >"$FAKE_INSTALLS"; fi
`

func TestAptInstallsWithoutStartingServices(t *testing.T) {
	dir := t.TempDir()
	policy, log := filepath.Join(dir, "policy-rc.d"), filepath.Join(dir, "log")
	fakePath(t, dir, "apt-get", fakeApt)
	t.Setenv("FAKE_POLICY", policy)
	t.Setenv("FAKE_LOG", log)
	t.Setenv("FAKE_INSTALLS", filepath.Join(dir, "installed"))

	out, err := exec.Command("sh", aptArgs(policy, []string{"postgresql", "redis-server"})...).CombinedOutput()
	if err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	calls, err := os.ReadFile(log)
	check(t, err)
	const want = "noninteractive apt-get update -qq, policy 101\n" +
		"noninteractive apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 postgresql redis-server, policy 101\n"
	if string(calls) != want {
		t.Errorf("calls:\n%swant:\n%s", calls, want)
	}
	if _, err := os.Stat(policy); !errors.Is(err, os.ErrNotExist) {
		t.Error("the policy is still there")
	}
}

func TestAptKeepsAPolicyThatExists(t *testing.T) {
	dir := t.TempDir()
	fakePath(t, dir, "apt-get", "#!/bin/sh\nexit 1\n")
	policy := filepath.Join(dir, "policy-rc.d")
	const mine = "#!/bin/sh\nexit 0\n"
	check(t, os.WriteFile(policy, []byte(mine), 0o755))
	if err := exec.Command("sh", aptArgs(policy, nil)...).Run(); err == nil {
		t.Error("a failure of apt-get is lost")
	}
	if content, err := os.ReadFile(policy); err != nil || string(content) != mine {
		t.Errorf("the policy is %q, %v", content, err)
	}
}

func TestInstallWithBrew(t *testing.T) {
	dir := t.TempDir()
	installed := filepath.Join(dir, "installed")
	fakePath(t, dir, "brew", "#!/bin/sh\n[ \"$*\" = 'install tool@17' ] && >'"+installed+"'\n")
	tool := program{
		find: func() (string, error) {
			if _, err := os.Stat(installed); err != nil {
				return "", devstack.ErrMissing
			}
			return installed, nil
		},
		apt:  "tool",
		brew: "tool@17",
	}
	t.Setenv("PATH", dir) // without apt-get and sudo
	check(t, install(t.Context(), []program{tool}))
	check(t, install(t.Context(), []program{tool}))
}

func TestInstallSaysWhatToDoWhereItCannot(t *testing.T) {
	t.Setenv("PATH", t.TempDir())
	missing := program{func() (string, error) { return "", devstack.ErrMissing }, "tool", "tool@17"}
	err := install(t.Context(), []program{missing})
	if !errors.Is(err, devstack.ErrMissing) {
		t.Fatalf("error = %v", err)
	}
	for _, advice := range []string{"sudo apt-get install tool\n", "brew install tool@17\n", "DATABASE_URL", "docker compose up"} {
		if !strings.Contains(err.Error(), advice) {
			t.Errorf("%q is missing in\n%v", advice, err)
		}
	}
}

// fakePath puts a program before the others in PATH.
func fakePath(t *testing.T, dir, program, script string) {
	t.Helper()
	check(t, os.WriteFile(filepath.Join(dir, program), []byte(script), 0o755))
	t.Setenv("PATH", dir+string(os.PathListSeparator)+os.Getenv("PATH"))
}
