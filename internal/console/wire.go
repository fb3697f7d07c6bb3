package console

import (
	"strings"
	"time"

	httpapi "github.com/winaity/billing/internal/http"
)

// What follows is what the page is told. It is no contract with anybody else:
// the page comes with the binary.

// state is the event of that name.
type state struct {
	Mode         Mode                  `json:"mode"`
	Relay        string                `json:"relay"` // running or paused
	Dependencies []dependency          `json:"dependencies"`
	Invoices     []httpapi.InvoiceJSON `json:"invoices"`    // the newest
	DeadLetters  []Letter              `json:"deadLetters"` // the newest
}

type dependency struct {
	Name   string `json:"name"`
	Up     bool   `json:"up"`
	Detail string `json:"detail"` // empty if it is up
}

// Letter is a dead letter.
type Letter struct {
	Sequence   uint64  `json:"sequence"`
	FailedAt   Instant `json:"failedAt"`
	Subject    string  `json:"subject"`
	EventID    string  `json:"eventId,omitempty"`
	InvoiceID  string  `json:"invoiceId,omitempty"`
	Error      string  `json:"error"`
	Deliveries int     `json:"deliveries"`
	Payload    string  `json:"payload"` // the beginning
	Replayed   bool    `json:"replayed"`
}

// sample is the event of that name: what happened in about a second, and how
// things are at its end. What cannot be known at the moment is null.
type sample struct {
	At                 string    `json:"at"`
	CommandsPerSecond  float64   `json:"commandsPerSecond"`
	PublishedPerSecond float64   `json:"publishedPerSecond"`
	Backlog            *int64    `json:"backlog"`
	OldestAgeSeconds   *float64  `json:"oldestAgeSeconds"`
	CommitToStreamMs   *quantile `json:"commitToStreamMs"`
	ConsumerLag        *int      `json:"consumerLag"`
	Redeliveries       int       `json:"redeliveries"`
	DeadLetters        *int      `json:"deadLetters"` // that were not replayed
}

type quantile struct {
	P50 float64 `json:"p50"`
	P99 float64 `json:"p99"`
}

// timeline is the event of that name.
type timeline struct {
	Invoice  *httpapi.InvoiceJSON `json:"invoice"` // null if there is none
	TraceIDs []string             `json:"traceIds,omitempty"`
	Events   []step               `json:"events,omitempty"`
}

// step is an event of an invoice on its way: recorded, published, stored by the
// stream, delivered, and what came of it.
type step struct {
	ID            string     `json:"id"`
	Type          string     `json:"type"`
	AggregateID   string     `json:"aggregateId"`
	Version       int        `json:"version"`
	CorrelationID string     `json:"correlationId"`
	CausationID   string     `json:"causationId,omitempty"`
	TraceID       string     `json:"traceId,omitempty"`
	RecordedAt    Instant    `json:"recordedAt"`
	PublishedAt   Instant    `json:"publishedAt,omitzero"`
	Blocked       string     `json:"blocked,omitempty"`
	Stream        *position  `json:"stream,omitempty"`
	Deliveries    []delivery `json:"deliveries"` // that this instance has seen
	Consumed      bool       `json:"consumed"`
	Effect        *effect    `json:"effect,omitempty"`
}

type position struct {
	Sequence uint64  `json:"sequence"`
	StoredAt Instant `json:"storedAt"`
}

type delivery struct {
	Attempt int     `json:"attempt"`
	At      Instant `json:"at"`
	Outcome string  `json:"outcome"`
	TookMs  float64 `json:"tookMs"`
	Error   string  `json:"error,omitempty"`
}

type effect struct {
	Kind     string  `json:"kind"` // receipt or creditNote
	ID       string  `json:"id"`
	Number   string  `json:"number"`
	IssuedAt Instant `json:"issuedAt"`
}

// Instant is a time in UTC with all its microseconds, so that instants line up
// and sort as text.
type Instant time.Time

// IsZero is for omitzero.
func (i Instant) IsZero() bool { return time.Time(i).IsZero() }

// MarshalText implements encoding.TextMarshaler.
func (i Instant) MarshalText() ([]byte, error) {
	return time.Time(i).UTC().AppendFormat(nil, "2006-01-02T15:04:05.000000Z07:00"), nil
}

func milliseconds(d time.Duration) float64 { return float64(d.Microseconds()) / 1000 }

// maxExcerpt is how much of a text a letter shows, in bytes.
const maxExcerpt = 4 << 10

// Excerpt returns as much of a text as a Letter shows.
func Excerpt(s string) string { return truncate(s, maxExcerpt) }

// truncate returns the beginning of s, at most limit bytes, as valid text.
func truncate(s string, limit int) string {
	if len(s) > limit {
		s = s[:limit]
	}
	return strings.ToValidUTF8(s, "\uFFFD")
}
