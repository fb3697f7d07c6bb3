// Package numbering names the legal numbers of documents.
//
// Within a series and a year, numbers are sequential and unique (Directive
// 2006/112/EC, article 226(2)) and follow the dates of issue (CGI, annex II,
// article 242 nonies A): that is the promise of whoever hands them out.
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
	TakenAt time.Time // UTC; its year is the number's year
}

// String formats the number as series, year and ordinal, the latter with at
// least four digits: "INV-2026-0001".
func (n Number) String() string {
	return fmt.Sprintf("%s-%04d-%04d", n.Series, n.TakenAt.Year(), n.Ordinal)
}
