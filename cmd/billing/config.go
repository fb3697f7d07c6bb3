package main

import (
	"errors"
	"fmt"
	"log/slog"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/console"
	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
	redisstore "github.com/winaity/billing/internal/infra/redis"
	"github.com/winaity/billing/internal/infra/tracing"
)

// config is all that the environment may set. README.md documents it.
type config struct {
	Database *postgres.Config // zero, as the next, if the command does not need it
	NATS     natsbus.Config
	Redis    redisstore.Config

	HTTPAddr  string
	LogLevel  slog.Level
	LogFormat string // json or text
	Console   console.Mode

	GroupCommit bool // transactions that wait for each other share one

	OutboxPollInterval time.Duration
	OutboxBatchSize    int
	OutboxRetention    time.Duration

	StreamReplicas      int
	ConsumerMaxDeliver  int
	ConsumerAckWait     time.Duration
	ConsumerBackoff     time.Duration
	ConsumerConcurrency int

	DedupTTL      time.Duration
	DedupStrategy string // event-id or natural-key

	ShutdownTimeout time.Duration

	Telemetry tracing.Options
}

// needs says which of the dependencies a command uses.
type needs struct{ database, nats, redis bool }

// loadConfig reads the configuration. Its error lists every problem at once.
func loadConfig(getenv func(string) string, n needs) (config, error) {
	e := environment{getenv: getenv}
	c := config{
		Database: parsed(&e, "DATABASE_URL", n.database, postgres.ParseURL),
		NATS:     parsed(&e, "NATS_URL", n.nats, natsbus.ParseURL),
		Redis:    parsed(&e, "REDIS_URL", n.redis, redisstore.ParseURL),

		HTTPAddr:  e.addr("BILLING_HTTP_ADDR", ":8080"),
		LogLevel:  e.level("BILLING_LOG_LEVEL", slog.LevelInfo),
		LogFormat: e.oneOf("BILLING_LOG_FORMAT", "json", "text"),
		Console:   console.Mode(e.oneOf("BILLING_CONSOLE", string(console.Off), string(console.Read), string(console.Demo))),

		GroupCommit: e.oneOf("BILLING_GROUP_COMMIT", "on", "off") == "on",

		OutboxPollInterval: e.duration("BILLING_OUTBOX_POLL_INTERVAL", 5*time.Second, 10*time.Millisecond, time.Hour),
		OutboxBatchSize:    e.number("BILLING_OUTBOX_BATCH_SIZE", 500, messaging.MaxBatch),
		OutboxRetention:    e.duration("BILLING_OUTBOX_RETENTION", 7*24*time.Hour, time.Minute, 10*365*24*time.Hour),

		StreamReplicas:      e.number("BILLING_STREAM_REPLICAS", 1, 5),
		ConsumerMaxDeliver:  e.number("BILLING_CONSUMER_MAX_DELIVER", 5, 100),
		ConsumerAckWait:     e.duration("BILLING_CONSUMER_ACK_WAIT", 30*time.Second, 100*time.Millisecond, time.Hour),
		ConsumerBackoff:     e.duration("BILLING_CONSUMER_BACKOFF", time.Second, time.Millisecond, time.Hour),
		ConsumerConcurrency: e.number("BILLING_CONSUMER_CONCURRENCY", 32, 256),

		DedupTTL:      e.duration("BILLING_DEDUP_TTL", 24*time.Hour, time.Second, 365*24*time.Hour),
		DedupStrategy: e.oneOf("BILLING_DEDUP_STRATEGY", "event-id", "natural-key"),

		ShutdownTimeout: e.duration("BILLING_SHUTDOWN_TIMEOUT", 20*time.Second, 100*time.Millisecond, time.Hour),

		Telemetry: e.telemetry(),
	}
	if len(e.problems) > 0 { // a line for each
		return config{}, errors.New("billing: " + strings.Join(e.problems, "\nbilling: "))
	}
	return c, nil
}

// LogValue shows the configuration without its secrets.
func (c config) LogValue() slog.Value {
	return slog.GroupValue(
		slog.String("database", c.Database.String()),
		slog.String("nats", c.NATS.String()),
		slog.String("redis", c.Redis.String()),
		slog.String("http", c.HTTPAddr),
		slog.String("console", string(c.Console)),
		slog.Bool("groupCommit", c.GroupCommit),
		slog.Duration("outboxPollInterval", c.OutboxPollInterval),
		slog.Int("outboxBatchSize", c.OutboxBatchSize),
		slog.Int("streamReplicas", c.StreamReplicas),
		slog.Int("consumerMaxDeliver", c.ConsumerMaxDeliver),
		slog.Int("consumerConcurrency", c.ConsumerConcurrency),
		slog.String("dedupStrategy", c.DedupStrategy),
		slog.String("traces", c.Telemetry.Traces),
		slog.String("logs", c.Telemetry.Logs),
	)
}

// environment reads variables and collects what is wrong with them.
type environment struct {
	getenv   func(string) string
	problems []string
}

func (e *environment) problem(name, format string, args ...any) {
	e.problems = append(e.problems, name+" "+fmt.Sprintf(format, args...))
}

// parsed returns what parse, which knows a driver's rules, makes of a URL; a zero
// value if it is not needed. The error of parse is to be shown.
func parsed[T any](e *environment, name string, needed bool, parse func(string) (T, error)) (value T) {
	raw := e.getenv(name)
	switch {
	case !needed:
	case raw == "":
		e.problem(name, "is required")
	default:
		var err error
		if value, err = parse(raw); err != nil {
			e.problem(name, "%s", err)
		}
	}
	return value
}

func (e *environment) addr(name, fallback string) string {
	value := e.getenv(name)
	if value == "" {
		return fallback
	}
	_, port, err := net.SplitHostPort(value)
	if n, portErr := strconv.Atoi(port); err != nil || portErr != nil || n < 0 || n > 65535 {
		e.problem(name, "must be host:port or :port, not %q", value)
	}
	return value
}

func (e *environment) level(name string, fallback slog.Level) slog.Level {
	level := fallback
	if value := e.getenv(name); value != "" {
		if err := level.UnmarshalText([]byte(value)); err != nil {
			e.problem(name, "must be debug, info, warn or error, not %q", value)
		}
	}
	return level
}

// oneOf returns one of the allowed values; the first is the default.
func (e *environment) oneOf(name string, allowed ...string) string {
	value := e.getenv(name)
	if value == "" {
		return allowed[0]
	}
	if !slices.Contains(allowed, value) {
		e.problem(name, "must be %s, not %q", strings.Join(allowed, " or "), value)
	}
	return value
}

// number returns a whole number from 1 to most.
func (e *environment) number(name string, fallback, most int) int {
	value := e.getenv(name)
	if value == "" {
		return fallback
	}
	n, err := strconv.Atoi(value)
	if err != nil || n < 1 || n > most {
		e.problem(name, "must be a whole number from 1 to %d, not %q", most, value)
	}
	return n
}

func (e *environment) duration(name string, fallback, least, most time.Duration) time.Duration {
	value := e.getenv(name)
	if value == "" {
		return fallback
	}
	d, err := time.ParseDuration(value)
	if err != nil || d < least || d > most {
		e.problem(name, "must be a duration from %s to %s, like %s, not %q", least, most, fallback, value)
	}
	return d
}
