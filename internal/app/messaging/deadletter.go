package messaging

import (
	"encoding/json"
	"strings"
	"time"
)

// DeadLetter is the payload of a message that could not be handled. Its JSON is
// a published contract.
type DeadLetter struct {
	// OriginalEvent is the payload as it was; as a JSON string if it is no JSON.
	OriginalEvent json.RawMessage `json:"originalEvent"`
	Error         string          `json:"error"`
	FailedAt      time.Time       `json:"failedAt"`
}

// NewDeadLetter returns the letter for a payload. Bytes that are no UTF-8 are
// replaced: whoever must restore them keeps them apart.
func NewDeadLetter(payload []byte, reason string, at time.Time) DeadLetter {
	original := json.RawMessage(payload)
	if !json.Valid(payload) {
		// A string always marshals.
		original, _ = json.Marshal(strings.ToValidUTF8(string(payload), "\uFFFD"))
	}
	return DeadLetter{OriginalEvent: original, Error: reason, FailedAt: at.UTC()}
}
