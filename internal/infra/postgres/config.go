package postgres

import (
	"cmp"
	"context"
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
	// mostConns is what max_connections of a server can be at most.
	mostConns = 262_143
	// mostCached is far above what we have: the driver allocates it.
	mostCached = 10_000
)

// sessionSettings are given with each connection; every pooler takes these.
var sessionSettings = map[string]string{
	"application_name": "billing",
	"timezone":         "UTC",
}

// wireSettings are given likewise, whatever the URL says: the driver understands
// nothing else.
var wireSettings = map[string]string{
	"client_encoding":             "UTF8",
	"datestyle":                   "ISO, MDY",
	"standard_conforming_strings": "on",
}

// localSettings are set in each transaction: what a role, a database or the server
// has for a default, or a pooler's connection was left with, must not decide how
// the service behaves. What the URL says does.
//
// A transaction never waits for anything but the database: one that is idle for
// seconds belongs to a process that is frozen or cut off, and would keep its
// locks, on a series of numbers for one, until TCP gives the connection up, which
// can take hours. What waits for such a lock gives up before that: else all that
// the same process had begun would take it over and keep it, one after the other.
// Contexts bound the rest.
var localSettings = map[string]string{
	"idle_in_transaction_session_timeout": "5s",
	"lock_timeout":                        "4s",
	"statement_timeout":                   "0",
}

// rareSettings are set as well on connections that have them otherwise: it costs
// something, and nobody changes them under a running service.
var rareSettings = map[string]string{
	"bytea_output": "hex",
	"search_path":  `"$user", public`,
}

// Config says where the database is and how to use it.
type Config struct {
	pool        *pgxpool.Config
	local, rare map[string]string // settings
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
	if err := checkPool(pool); err != nil {
		return nil, reason(err)
	}
	if _, given := plain.RuntimeParams["pool_max_conns"]; !given {
		pool.MaxConns = defaultMaxConns
	}
	server := pool.ConnConfig
	server.ConnectTimeout = cmp.Or(server.ConnectTimeout, defaultConnectTimeout)
	c := &Config{pool, maps.Clone(localSettings), maps.Clone(rareSettings)}
	server.ValidateConnect = c.greet
	given := server.RuntimeParams
	server.RuntimeParams = maps.Clone(sessionSettings)
	for name, value := range given {
		name = strings.ToLower(name) // as the server reads them
		switch {
		case c.local[name] != "":
			c.local[name] = value
		case c.rare[name] != "":
			c.rare[name] = value
		default:
			server.RuntimeParams[name] = value
		}
	}
	maps.Copy(server.RuntimeParams, wireSettings)
	return c, nil
}

// checkPool refuses what the driver takes, and then panics over, runs out of memory
// with, or fails each query for.
func checkPool(pool *pgxpool.Config) error {
	server := pool.ConnConfig
	switch mode := server.DefaultQueryExecMode; {
	case server.RuntimeParams["replication"] != "":
		return errors.New("a replication connection takes no queries of ours")
	case pool.HealthCheckPeriod <= 0:
		return errors.New("pool_health_check_period must be above zero")
	case max(pool.MaxConns, pool.MinConns, pool.MinIdleConns) > mostConns:
		return fmt.Errorf("a pool has at most %d connections", mostConns)
	case max(server.StatementCacheCapacity, server.DescriptionCacheCapacity) > mostCached:
		return fmt.Errorf("a connection remembers at most %d statements", mostCached)
	case mode == pgx.QueryExecModeCacheStatement && server.StatementCacheCapacity <= 0:
		return errors.New("statement_cache_capacity must be above zero for default_query_exec_mode cache_statement")
	case mode == pgx.QueryExecModeCacheDescribe && server.DescriptionCacheCapacity <= 0:
		return errors.New("description_cache_capacity must be above zero for default_query_exec_mode cache_describe")
	}
	return nil
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

// greet is for a new connection. It accepts a primary only: a stand-by is of no
// use, whatever the URL says. And it finds out how transactions are begun on it, in
// one round trip each, without asking anything of the session.
func (c *Config) greet(ctx context.Context, conn *pgconn.PgConn) error {
	settings := maps.Clone(c.local)
	rare := slices.Sorted(maps.Keys(c.rare))
	results, err := conn.Exec(ctx, "SELECT pg_is_in_recovery(), current_setting('synchronous_commit'), current_setting('"+
		strings.Join(rare, "'), current_setting('")+"')").ReadAll()
	if err != nil {
		return err
	}
	answer := results[0].Rows[0]
	if string(answer[0]) == "t" {
		return pgconn.ErrStandbyConnection
	}
	// A commit that need not reach the disk would break every promise. More than
	// that, such as the stand-by's acknowledgement, is for the operator to want.
	if string(answer[1]) == "off" {
		settings["synchronous_commit"] = "on"
	}
	for i, name := range rare {
		if string(answer[2+i]) != c.rare[name] {
			settings[name] = c.rare[name]
		}
	}
	if major, _, _ := strings.Cut(conn.ParameterStatus("server_version"), "."); len(major) == 2 && major >= "17" {
		settings["transaction_timeout"] = "0"
	}
	var set []string
	for _, name := range slices.Sorted(maps.Keys(settings)) {
		set = append(set, "set_config('"+name+"', "+quote(settings[name])+", true)")
	}
	conn.CustomData()[settingsKey] = "SELECT " + strings.Join(set, ", ")
	_, conn.CustomData()[lookupKey] = settings["search_path"]
	return nil
}

// A transaction begins with begin and the statement that greet left under
// settingsKey with the connection.
const (
	begin       = "BEGIN ISOLATION LEVEL READ COMMITTED READ WRITE"
	settingsKey = "settings"
	// lookupKey is whether tables are found with these settings only: then they come
	// before anything is prepared.
	lookupKey = "lookup"
)

// settings returns the second statement of each transaction on the connection.
func settings(conn *pgconn.PgConn) string {
	statement, _ := conn.CustomData()[settingsKey].(string)
	return statement
}

// migrationSettings are for connections that migrate: a migration says itself what
// it waits for, and for how long.
func (c *Config) migrationSettings() string {
	return "SELECT set_config('search_path', " + quote(c.rare["search_path"]) + ", false), " +
		"set_config('default_transaction_isolation', 'read committed', false), set_config('default_transaction_read_only', 'off', false); " +
		"SELECT set_config(name, '0', false) FROM pg_settings WHERE name IN ('statement_timeout', 'lock_timeout', " +
		"'idle_in_transaction_session_timeout', 'idle_session_timeout', 'transaction_timeout')" // the last is of PostgreSQL 17
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
