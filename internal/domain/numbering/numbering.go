// Package numbering names the legal numbers of documents.
//
// Within a series and a year, numbers are sequential and unique (Directive
// 2006/112/EC, article 226(2)) and follow the dates of issue (CGI, annex II,
// article 242 nonies A).
package numbering

import (
	"fmt"
	"time"
)

// Series is a sequence of numbers, by its prefix: "INV".
type Series string

// Number is one number of a series together with the instant it was taken,
// which is the date of issue of what bears it.
type Number struct {
	Series  Series
	Ordinal int       // from 1, restarting each year
	TakenAt time.Time // UTC, to the microsecond; its year is the number's year
}

// Next returns the number after n that is taken at the given instant. It is a
// microsecond later than n if the clock says that it is not later: numbers never
// go back in time, whatever the clock does.
func (n Number) Next(now time.Time) Number {
	next := Number{n.Series, 1, now.UTC().Truncate(time.Microsecond)}
	if earliest := n.TakenAt.Add(time.Microsecond); next.TakenAt.Before(earliest) {
		next.TakenAt = earliest
	}
	if next.TakenAt.Year() == n.TakenAt.Year() {
		next.Ordinal = n.Ordinal + 1
	}
	return next
}

// String formats the number as series, year and ordinal, the latter with at
// least four digits: "INV-2026-0001".
func (n Number) String() string {
	return fmt.Sprintf("%s-%04d-%04d", n.Series, n.TakenAt.Year(), n.Ordinal)
}
