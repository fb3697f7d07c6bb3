package messaging

import "github.com/oklog/ulid/v2"

// NewID returns prefix followed by a new ULID, such as "evt_01HXYZ…". IDs made
// by one process sort in the order they were made. Safe for concurrent use.
func NewID(prefix string) string { return prefix + ulid.Make().String() }

// NewToken returns a token by which a holder of something knows its own.
func NewToken() string { return NewID("") }
