package messaging

import (
	"bytes"
	"time"

	"github.com/oklog/ulid/v2"
)

// NewID returns prefix followed by a new ULID, such as "evt_01HXYZ…". IDs made
// by one process sort in the order they were made. Safe for concurrent use.
func NewID(prefix string) string { return prefix + ulid.Make().String() }

// IDRange returns the lowest and the highest id with the prefix that NewID makes
// from one instant to another, both included.
func IDRange(prefix string, from, to time.Time) (lowest, highest string) {
	var low, high ulid.ULID
	// They fail for instants beyond the year 10889 and for another length only.
	_ = low.SetTime(ulid.Timestamp(from))
	_ = high.SetTime(ulid.Timestamp(to))
	_ = high.SetEntropy(bytes.Repeat([]byte{0xff}, 10))
	return prefix + low.String(), prefix + high.String()
}

// NewToken returns a token by which a holder of something knows its own.
func NewToken() string { return NewID("") }
