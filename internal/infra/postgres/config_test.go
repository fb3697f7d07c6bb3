package postgres_test

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/infra/postgres"
)

func TestURLsThatPgxTakes(t *testing.T) {
	for url, want := range map[string]string{
		"postgres://u:p@h:5433/db":                                  "postgres://h:5433/db",
		"postgresql://u@h/db?sslmode=disable":                       "postgres://h:5432/db",
		"postgres://u:p%2Cw%25%40%2F@h/db":                          "postgres://h:5432/db",
		"postgres://u:p@h1:1,h2:2/db?target_session_attrs=primary":  "postgres://h1:1,h2:2/db",
		"postgres://u:p@h1,h2/db?pool_max_conns=3&sslmode=prefer":   "postgres://h1:5432,h2:5432/db",
		"postgres:///db?host=/var/run/postgresql":                   "postgres:///var/run/postgresql:5432/db",
		"host=h port=5433 user=u password='it\\'s' dbname=db":       "postgres://h:5433/db",
		"host=h dbname=db pool_max_conns=3 statement_timeout=1s":    "postgres://h:5432/db",
		"postgres://u@h/db?default_query_exec_mode=simple_protocol": "postgres://h:5432/db",
	} {
		config, err := postgres.ParseURL(url)
		if err != nil {
			t.Errorf("%s: %v", url, err)
			continue
		}
		if got := config.String(); got != want {
			t.Errorf("%s is shown as %s, want %s", url, got, want)
		}
	}
}

func TestURLsThatPgxRefuses(t *testing.T) {
	noPEM := filepath.Join(t.TempDir(), "no.pem")
	must(t, os.WriteFile(noPEM, []byte("hunter2"), 0o600))
	for url, want := range map[string]string{
		"postgres://u:hunter2@h/db?sslmode=verify-full&sslrootcert=/absent.pem":                          "/absent.pem",
		"postgres://u:hunter2@h/db?sslmode=verify-full&sslrootcert=" + noPEM:                             "CA",
		"postgres://u:hunter2@h/db?sslcert=/absent.crt":                                                  "sslkey",
		"postgres://u:hunter2@h/db?sslmode=perhaps":                                                      "sslmode",
		"postgres://u:hunter2@h/db?pool_max_conns=many":                                                  "pool_max_conns",
		"postgres://u:hunter2@h/db?pool_max_conns=0":                                                     "pool_max_conns",
		"postgres://u:hunter2@h/db?pool_max_conn_lifetime=soon":                                          "pool_max_conn_lifetime",
		"postgres://u:hunter2@h/db?replication=database":                                                 "replication",
		"postgres://u:hunter2@h/db?pool_health_check_period=0":                                           "pool_health_check_period",
		"postgres://u:hunter2@h/db?pool_health_check_period=-5s":                                         "pool_health_check_period",
		"postgres://u:hunter2@h/db?pool_max_conns=300000":                                                "at most 262143 connections",
		"postgres://u:hunter2@h/db?pool_min_conns=2000000000":                                            "at most 262143 connections",
		"postgres://u:hunter2@h/db?pool_min_idle_conns=2000000000":                                       "at most 262143 connections",
		"postgres://u:hunter2@h/db?statement_cache_capacity=2000000000":                                  "at most 10000 statements",
		"postgres://u:hunter2@h/db?statement_cache_capacity=0":                                           "statement_cache_capacity",
		"postgres://u:hunter2@h/db?default_query_exec_mode=cache_describe&description_cache_capacity=-1": "description_cache_capacity",
		"postgres://u:hunter2@h/db?default_query_exec_mode=psychic":                                      "psychic",
		"postgres://u:hunter2@h/db?target_session_attrs=none":                                            "target_session_attrs",
		"postgres://u:hunter2@h/db?connect_timeout=soon":                                                 "connect_timeout",
		"postgres://u:hunter2@h:port/db":                                                                 "port",
		"postgres://u:hun/hunter2@h/db":                                                                  "",
		"postgres://u:hunter2%zz@h/db":                                                                   "",
		"postgres://u:hunter2@h1,h2:1,h3:2:3/db":                                                         "",
		"host=h password=it's hunter2 dbname=db":                                                         "",
		"host=h password='hunter2 dbname=db":                                                             "",
		"mysql://u:hunter2@db":                                                                           "",
		"hunter2":                                                                                        "",
		"postgres://u:hunter2@h/db?service=absent&servicefile=" + noPEM + "&sslmode=":                    "service",
	} {
		_, err := postgres.ParseURL(url)
		switch {
		case err == nil:
			t.Errorf("%s was taken", url)
		case strings.Contains(err.Error(), "hunter2"):
			t.Errorf("%s: the password is in %q", url, err)
		case strings.Contains(err.Error(), "\n") || !strings.HasPrefix(err.Error(), "is refused: ") || !strings.Contains(err.Error(), want):
			t.Errorf("%s: %q does not say %q on a line", url, err, want)
		}
	}
}
