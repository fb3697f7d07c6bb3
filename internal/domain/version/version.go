// Package version lets a caller say for which versions of an aggregate a command
// is, so that nobody changes what somebody else has changed meanwhile.
package version

import (
	"slices"

	"github.com/winaity/billing/internal/domain/fault"
)

// CodeMismatch is the code of a Precondition that does not hold.
const CodeMismatch = "version-mismatch"

// Precondition is what a caller expects of the version; its zero value: nothing.
type Precondition struct {
	In    *Set // it is one of these; nil: any
	NotIn *Set // it is none of these; nil: none
}

// Set is a set of versions.
type Set struct {
	All bool
	Of  []int
}

// Has reports whether the version is in s. In a nil set there is none.
func (s *Set) Has(version int) bool {
	return s != nil && (s.All || slices.Contains(s.Of, version))
}

// Check fails with a Conflict if p does not hold for the version.
func (p Precondition) Check(version int) error {
	if (p.In == nil || p.In.Has(version)) && !p.NotIn.Has(version) {
		return nil
	}
	e := fault.New(fault.Conflict, CodeMismatch, "It has changed since the version that the request expects.")
	e.Details = map[string]any{"currentVersion": version}
	return e
}
