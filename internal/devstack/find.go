package devstack

import (
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
)

// ErrMissing says that a program has to be installed.
var ErrMissing = errors.New("not installed")

const oldestPostgres = 15

// FindPostgres returns the directory of Postgres' programs: the one in PATH if
// it is recent enough, else the newest in the usual places.
func FindPostgres() (string, error) {
	var dirs []string
	if path, err := exec.LookPath("postgres"); err == nil {
		if target, err := filepath.EvalSymlinks(path); err == nil { // the other programs may have no link
			path = target
		}
		dirs = append(dirs, filepath.Dir(path))
	}
	if dir := newestPostgres(dirs); dir != "" {
		return dir, nil
	}
	for _, pattern := range []string{
		"/usr/lib/postgresql/*/bin",
		"/usr/pgsql-*/bin",
		"/opt/homebrew/opt/postgresql@*/bin",
		"/usr/local/opt/postgresql@*/bin",
	} {
		found, _ := filepath.Glob(pattern)
		dirs = append(dirs, found...)
	}
	if dir := newestPostgres(dirs); dir != "" {
		return dir, nil
	}
	return "", fmt.Errorf("PostgreSQL %d or later: %w (looked in PATH and %v)", oldestPostgres, ErrMissing, dirs)
}

func newestPostgres(dirs []string) string {
	newest, version := "", oldestPostgres-1
	for _, dir := range dirs {
		if v := postgresVersion(dir); v > version {
			newest, version = dir, v
		}
	}
	return newest
}

var majorVersion = regexp.MustCompile(`\(PostgreSQL\) (\d+)`)

// postgresVersion is 0 when dir does not hold both programs that are needed.
func postgresVersion(dir string) int {
	if _, err := exec.LookPath(filepath.Join(dir, "initdb")); err != nil {
		return 0
	}
	out, err := exec.Command(filepath.Join(dir, "postgres"), "--version").Output()
	match := majorVersion.FindSubmatch(out)
	if err != nil || match == nil {
		return 0
	}
	version, _ := strconv.Atoi(string(match[1]))
	return version
}

// FindRedis returns the path of redis-server.
func FindRedis() (string, error) {
	return find("redis-server",
		"redis-server",
		"/usr/bin/redis-server",
		"/opt/homebrew/bin/redis-server",
		"/usr/local/bin/redis-server",
	)
}

// FindChromium returns the path of Chromium or Chrome.
func FindChromium() (string, error) {
	return find("chromium or google-chrome",
		"chromium",
		"chromium-browser",
		"google-chrome",
		"google-chrome-stable",
		"chrome",
		"/Applications/Google Chrome.app/Contents/MacOS/Google Chrome",
		"/Applications/Chromium.app/Contents/MacOS/Chromium",
	)
}

// find returns the path of the first program that is there.
func find(what string, names ...string) (string, error) {
	for _, name := range names {
		if path, err := exec.LookPath(name); err == nil {
			return path, nil
		}
	}
	return "", fmt.Errorf("%s: %w (looked in PATH)", what, ErrMissing)
}
