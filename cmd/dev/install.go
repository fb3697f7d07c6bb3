package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"

	"github.com/winaity/billing/internal/devstack"
)

// program is something that has to be installed.
type program struct {
	find func() (path string, err error)
	apt  string // its package on Debian and Ubuntu
	brew string // its package on macOS
}

var (
	postgres = program{devstack.FindPostgres, "postgresql", "postgresql@17"}
	redis    = program{devstack.FindRedis, "redis-server", "redis"}

	// For tests of the console, and by way of a pooler.
	chromium  = program{devstack.FindChromium, "chromium", "google-chrome"}
	pgBouncer = program{devstack.FindPgBouncer, "pgbouncer", "pgbouncer"}

	// programs are what all that make does needs.
	programs = []program{postgres, redis, chromium, pgBouncer}
)

// install installs the programs that are missing, where it can.
func install(ctx context.Context, programs []program) error {
	missing, problem := findMissing(programs)
	if problem == nil {
		return nil
	}
	var apt, brew []string
	for _, p := range missing {
		apt, brew = append(apt, p.apt), append(brew, p.brew)
	}

	var cmd *exec.Cmd
	switch {
	case found("apt-get") && os.Geteuid() == 0:
		cmd = exec.Command("sh", aptArgs("/usr/sbin/policy-rc.d", apt)...)
	case found("apt-get") && exec.CommandContext(ctx, "sudo", "-n", "true").Run() == nil:
		cmd = exec.Command("sudo", append([]string{"-n", "sh"}, aptArgs("/usr/sbin/policy-rc.d", apt)...)...)
	case found("brew"):
		cmd = exec.Command("brew", append([]string{"install"}, brew...)...)
	default:
		return fmt.Errorf(`%w
Install what is missing and try again:
  Debian, Ubuntu  sudo apt-get install %s
  macOS           brew install %s
Or set DATABASE_URL and REDIS_URL to servers that run already, or use Docker: docker compose up --wait`,
			problem, strings.Join(apt, " "), strings.Join(brew, " "))
	}

	fmt.Println("Installing:", strings.Join(apt, ", "))
	cmd.Stdin, cmd.Stdout, cmd.Stderr = os.Stdin, os.Stdout, os.Stderr
	if err := cmd.Run(); err != nil {
		return fmt.Errorf("%w\n%s: %w", problem, cmd, err)
	}
	_, problem = findMissing(programs)
	return problem
}

func findMissing(programs []program) (missing []program, problem error) {
	for _, p := range programs {
		if _, err := p.find(); err != nil {
			missing = append(missing, p)
			problem = errors.Join(problem, err)
		}
	}
	return missing, problem
}

func found(name string) bool {
	_, err := exec.LookPath(name)
	return err == nil
}

// aptScript installs packages without starting their services, which Debian
// does unless policy-rc.d says no.
const aptScript = `
set -e
policy=$1
shift
if [ ! -e "$policy" ]; then
	trap 'rm -f "$policy"' EXIT
	trap 'exit 1' HUP INT TERM
	printf '#!/bin/sh\nexit 101\n' >"$policy"
	chmod 755 "$policy"
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq || echo "apt-get update failed, trying with the lists that are there"
apt-get install -qq -y --no-install-recommends -o Dpkg::Use-Pty=0 "$@"
echo "The services of $* were not started, but will be at the next boot."
echo "To prevent that: systemctl disable $*"
`

func aptArgs(policy string, packages []string) []string {
	return append([]string{"-c", aptScript, "sh", policy}, packages...)
}
