package postgres

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgxpool"
)

const (
	// defaultMaxConns is how many connections the pool holds at most, unless the
	// URL says otherwise by pool_max_conns.
	defaultMaxConns       = 16
	defaultConnectTimeout = 3 * time.Second
)

// sessionSettings are given with each connection; every pooler takes these. What
// goes over the wire as text depends on them.
var sessionSettings = map[string]string{
	"application_name":            "billing",
	"client_encoding":             "UTF8",
	"datestyle":                   "ISO, MDY",
	"standard_conforming_strings": "on",
	"timezone":                    "UTC",
}

// localSettings are set in each transaction, because a transaction pooler hands
// out connections that are set in whatever way. What a role or a database has for
// a default must not decide how the service behaves; what the URL says does.
//
// A transaction never waits for anything but the database: one that is idle for
// seconds belongs to a process that is frozen or cut off, and would keep its
// locks, on a series of numbers for one, until TCP gives the connection up, which
// can take hours. What waits for such a lock gives up before that: else all that
// the same process had begun would take it over and keep it, one after the other.
// Contexts bound the rest.
var localSettings = map[string]string{
	"bytea_output":                        "hex",
	"idle_in_transaction_session_timeout": "5s",
	"intervalstyle":                       "postgres",
	"lock_timeout":                        "4s",
	"search_path":                         `"$user", public`,
	"statement_timeout":                   "0",
}

// Config says where the database is and how to use it.
type Config struct {
	pool  *pgxpool.Config
	local map[string]string
}

// ParseURL reads a URL, or a string of keywords and values, by the rules of pgx.
// It looks at the files that are named there, and connects to nothing. An error
// is one line without anything that may be secret, to follow the name of what
// was parsed.
func ParseURL(url string) (*Config, error) {
	plain, err := pgx.ParseConfig(url)
	if err != nil {
		return nil, reason(err)
	}
	pool, err := pgxpool.ParseConfig(url)
	if err != nil {
		return nil, reason(err)
	}
	if _, given := plain.RuntimeParams["pool_max_conns"]; !given {
		pool.MaxConns = defaultMaxConns
	}
	server := pool.ConnConfig
	server.ConnectTimeout = cmp.Or(server.ConnectTimeout, defaultConnectTimeout)
	// A stand-by is of no use, whatever the URL says.
	server.ValidateConnect = pgconn.ValidateConnectTargetSessionAttrsPrimary
	local := maps.Clone(localSettings)
	for name, value := range server.RuntimeParams {
		if lower := strings.ToLower(name); local[lower] != "" {
			local[lower] = value
			delete(server.RuntimeParams, name)
		}
	}
	for name, value := range sessionSettings {
		server.RuntimeParams[name] = cmp.Or(server.RuntimeParams[name], value)
	}
	return &Config{pool, local}, nil
}

// String says which database that is, and nothing secret.
func (c *Config) String() string {
	server := c.pool.ConnConfig
	hosts := []string{fmt.Sprintf("%s:%d", server.Host, server.Port)}
	for _, other := range server.Fallbacks { // one for each way to use TLS
		hosts = append(hosts, fmt.Sprintf("%s:%d", other.Host, other.Port))
	}
	return "postgres://" + strings.Join(slices.Compact(hosts), ",") + "/" + server.Database
}

// begin is one round trip, and asks nothing of the session. A role for which a
// commit need not reach the disk would break every promise; one that wants more
// than that, such as the stand-by's acknowledgement, gets it.
func (c *Config) begin() string {
	var settings strings.Builder
	for _, name := range slices.Sorted(maps.Keys(c.local)) {
		fmt.Fprintf(&settings, "set_config('%s', %s, true), ", name, quote(c.local[name]))
	}
	return "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE; SELECT " + settings.String() +
		"CASE WHEN current_setting('transaction_timeout', true) IS NOT NULL THEN set_config('transaction_timeout', '0', true) END, " + // PostgreSQL 17
		"CASE WHEN current_setting('synchronous_commit') = 'off' THEN set_config('synchronous_commit', 'on', true) END"
}

// migrationSettings are for connections that migrate: a migration says itself what
// it waits for, and for how long.
func (c *Config) migrationSettings() string {
	return "SELECT set_config('search_path', " + quote(c.local["search_path"]) + ", false), " +
		"set_config('default_transaction_isolation', 'read committed', false), set_config('default_transaction_read_only', 'off', false), " +
		"set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false), set_config('idle_in_transaction_session_timeout', '0', false)"
}

// quote makes a string literal, whatever standard_conforming_strings is.
func quote(s string) string {
	return "E'" + strings.NewReplacer(`\`, `\\`, `'`, `\'`).Replace(s) + "'"
}

// reason returns why a URL was refused. The driver's message begins with the URL,
// and quotes pieces of one that it cannot take apart: any of them may belong to a
// password.
func reason(err error) error {
	text := err.Error()
	if _, ok := errors.AsType[*pgconn.ParseConfigError](err); ok {
		text = text[strings.LastIndex(text, "`: ")+len("`: "):]
	}
	if strings.HasPrefix(text, "failed to parse as ") {
		text = "it is neither postgres://user:password@host:port/database, with percent signs before what is special in a name or password, nor keywords and values"
	}
	return errors.New("is refused: " + strings.Join(strings.Fields(text), " "))
}
