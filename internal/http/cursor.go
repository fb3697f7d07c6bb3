package httpapi

import (
	"encoding/base64"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/fault"
)

// invoiceID is the form of an invoice's id: a prefix and a ULID, whose first
// character is at most 7 because it has 128 bits.
var invoiceID = regexp.MustCompile(`^inv_[0-7][0-9A-HJKMNP-TV-Z]{25}$`)

const codeInvalidCursor = "invalid-cursor"

var errCursor = fault.New(fault.Invalid, codeInvalidCursor, "The cursor is not one that this service made.")

// encodeCursor makes a position opaque. Callers must not build on what is in it.
func encodeCursor(p invoicing.Position) string {
	return base64.RawURLEncoding.EncodeToString([]byte(strconv.FormatInt(p.IssuedAt.UnixMicro(), 10) + " " + p.ID))
}

// decodeCursor is the inverse of encodeCursor. It accepts nothing else.
func decodeCursor(s string) (*invoicing.Position, error) {
	text, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil {
		return nil, errCursor
	}
	micros, id, _ := strings.Cut(string(text), " ")
	issuedAt, err := strconv.ParseInt(micros, 10, 64)
	if err != nil || issuedAt < 0 || issuedAt > latest || !invoiceID.MatchString(id) {
		return nil, errCursor
	}
	p := &invoicing.Position{IssuedAt: time.UnixMicro(issuedAt).UTC(), ID: id}
	if encodeCursor(*p) != s {
		return nil, errCursor
	}
	return p, nil
}

// latest is the end of the year 9999: no date has more digits than four in its
// year.
var latest = time.Date(10000, 1, 1, 0, 0, 0, 0, time.UTC).UnixMicro() - 1
