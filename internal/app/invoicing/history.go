package invoicing

import (
	"time"

	"github.com/winaity/billing/internal/app/messaging"
)

// Recorded is an event of an invoice, or of one of its documents, in the outbox.
type Recorded struct {
	messaging.Message
	PublishedAt time.Time // zero while it waits to be published
	Blocked     string    // why the stream refuses it; empty if it does not
}
