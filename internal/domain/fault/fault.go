// Package fault is the one error type of the service: what went wrong, as a
// kind that machines act on, with a message that is safe to show to a caller.
package fault

import (
	"errors"
	"strings"
)

// Kind says what a caller can do about an error. HTTP derives the status from
// it, the consumer its verdict.
type Kind uint8

// The kinds. The zero Kind is Internal, so an error nobody classified is never
// blamed on the caller.
const (
	Internal    Kind = iota // a bug or a broken promise: nothing the caller can do
	Invalid                 // the input can never succeed
	NotFound                // what it names does not exist (yet)
	Conflict                // it contradicts the present state
	Unavailable             // a dependency is away: the same call may succeed later
)

func (k Kind) String() string {
	switch k {
	case Invalid:
		return "invalid"
	case NotFound:
		return "not found"
	case Conflict:
		return "conflict"
	case Unavailable:
		return "unavailable"
	default:
		return "internal"
	}
}

// Field is one offending input field, by the name the caller used for it.
type Field struct {
	Name   string
	Detail string
}

// Error is an error that the service raised on purpose.
type Error struct {
	Kind    Kind
	Code    string         // stable, kebab-case; part of the public contract
	Message string         // one sentence for the caller, free of internals
	Fields  []Field        // every offending field, when Kind is Invalid
	Details map[string]any // further facts for the caller, by their public name
	Err     error          // the cause, for logs only; may be nil
}

// Error returns the message with its cause: it is for logs, not for callers.
func (e *Error) Error() string {
	var b strings.Builder
	b.WriteString(strings.TrimSuffix(e.Message, "."))
	for _, f := range e.Fields {
		b.WriteString("; " + f.Name + ": " + f.Detail)
	}
	if e.Err != nil {
		b.WriteString(": " + e.Err.Error())
	}
	return b.String()
}

// Unwrap returns the cause.
func (e *Error) Unwrap() error { return e.Err }

// New returns an error of the given kind. Code is the stable name that callers
// match on, message one sentence that they may read.
func New(kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message}
}

// Wrap is New with a cause that only logs show.
func Wrap(err error, kind Kind, code, message string) *Error {
	return &Error{Kind: kind, Code: code, Message: message, Err: err}
}

// CodeValidation is the code of every error that Validation returns.
const CodeValidation = "validation-failed"

// Validation returns an Invalid error that lists every offending field, or nil
// when there is none.
func Validation(fields ...Field) error {
	if len(fields) == 0 {
		return nil
	}
	return &Error{Kind: Invalid, Code: CodeValidation, Message: "The request has fields that do not fit.", Fields: fields}
}

// KindOf returns the kind of the first Error in err's chain, or Internal.
func KindOf(err error) Kind {
	if e, ok := errors.AsType[*Error](err); ok {
		return e.Kind
	}
	return Internal
}
