package check

import (
	"time"

	"github.com/winaity/billing/internal/app/messaging"
)

// Snapshot is what the service left behind.
type Snapshot struct {
	Tables
	Stream
}

// Tables is the content of the database at one instant.
type Tables struct {
	Invoices  []Invoice
	Documents []Document
	Outbox    []Event // in the order of seq
	Inbox     []InboxRow
	Series    map[string]int // series → the last number taken
}

// Invoice is a row of the table invoices.
type Invoice struct {
	ID, Number, CustomerID string
	Amount                 int64
	Status                 string
	IssuedAt               time.Time
	Mark                   string // paymentReference or cancellationReason; empty if it is not settled
	Version                int
}

// Document is a row of the table documents.
type Document struct {
	ID, InvoiceID, Kind, Number string
	Amount                      int64
	IssuedAt                    time.Time
}

// Event is a row of the table outbox.
type Event struct {
	messaging.Envelope
	Payload   string
	Published bool
}

// InboxRow is a row of the table inbox.
type InboxRow struct{ Handler, MessageID string }

// Stream is the content of the streams at one instant.
type Stream struct {
	Messages []Message // in the order of the stream
	// Unsettled is how many deliveries are due or not answered.
	Unsettled int
	Letters   []Letter
	// Restarts are instants shortly before and after the server was started again.
	Restarts []time.Time
}

// Message is a message of the events stream.
type Message struct {
	Sequence uint64
	StoredAt time.Time
	ID       string // by which the stream recognises a repetition
	messaging.Envelope
	Payload string
}

// Letter is a dead letter.
type Letter struct {
	EventID, Error string
	Replayed       bool
}
