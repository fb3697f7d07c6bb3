package httpapi

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"unicode"
	"unicode/utf16"
	"unicode/utf8"

	"github.com/winaity/billing/internal/domain/fault"
)

// parseObject reads a body that must be one JSON object (RFC 8259, and strictly
// I-JSON, RFC 7493): whatever two readers could understand differently is
// malformed.
func parseObject(body []byte) (*fields[json.RawMessage], error) {
	if len(body) == 0 {
		return nil, malformed("The body is empty; it must be a JSON object.")
	}
	if !utf8.Valid(body) {
		return nil, malformed("The body is not UTF-8.")
	}
	var members map[string]json.RawMessage
	err := json.Unmarshal(body, &members)
	if syntax, ok := errors.AsType[*json.SyntaxError](err); ok {
		return nil, malformed(fmt.Sprintf("The body is not JSON: %s, at byte %d.", syntax, syntax.Offset))
	}
	if err != nil || members == nil { // null
		return nil, malformed("The body must be a JSON object.")
	}
	if hasLoneSurrogate(body) {
		return nil, malformed("The body escapes half of a surrogate pair.")
	}
	decoder := json.NewDecoder(bytes.NewReader(body))
	decoder.UseNumber() // any number will do: 1e999 is one
	if err := checkNames(decoder); err != nil {
		return nil, err
	}
	return &fields[json.RawMessage]{unread: members}, nil
}

// parseOptionalObject is parseObject for a body that may be left out.
func parseOptionalObject(body []byte) (*fields[json.RawMessage], error) {
	if len(body) == 0 {
		return &fields[json.RawMessage]{}, nil
	}
	return parseObject(body)
}

func malformed(message string) error {
	return fault.New(fault.Invalid, codeMalformed, message)
}

// hasLoneSurrogate reports whether a string in valid JSON has an escape that is
// no character: encoding/json would put another in its place.
func hasLoneSurrogate(body []byte) bool {
	for i := 0; i < len(body); i++ {
		if body[i] != '\\' {
			continue
		}
		i++ // what is escaped is not the beginning of an escape
		if first := escaped(body[i:]); utf16.IsSurrogate(first) {
			i += len("uXXXX\\")
			if i >= len(body) || body[i-1] != '\\' || utf16.DecodeRune(first, escaped(body[i:])) == unicode.ReplacementChar {
				return true
			}
		}
	}
	return false
}

// escaped returns the code unit that s, which follows a backslash, escapes by
// its number, or 0.
func escaped(s []byte) rune {
	if len(s) < 5 || s[0] != 'u' {
		return 0
	}
	unit, err := strconv.ParseUint(string(s[1:5]), 16, 16)
	if err != nil {
		return 0
	}
	return rune(unit)
}

// checkNames reads one value of valid JSON and finds an object in it, at any
// depth, that has a name twice.
func checkNames(decoder *json.Decoder) error {
	token, err := decoder.Token()
	if err != nil {
		return fmt.Errorf("read JSON that was valid: %w", err)
	}
	if token != json.Delim('{') && token != json.Delim('[') {
		return nil
	}
	seen := make(map[json.Token]bool)
	for decoder.More() {
		if token == json.Delim('{') {
			name, err := decoder.Token()
			if err != nil {
				return fmt.Errorf("read JSON that was valid: %w", err)
			}
			if seen[name] {
				return malformed(fmt.Sprintf("The body has the name %q twice in an object.", name))
			}
			seen[name] = true
		}
		if err := checkNames(decoder); err != nil {
			return err
		}
	}
	if _, err := decoder.Token(); err != nil { // the closing delimiter
		return fmt.Errorf("read JSON that was valid: %w", err)
	}
	return nil
}

// text makes a parser of a JSON string from one of its text.
func text[T any](parse func(string) (T, error)) func(json.RawMessage) (T, error) {
	return func(raw json.RawMessage) (none T, err error) {
		var s *string
		if err := json.Unmarshal(raw, &s); err != nil || s == nil {
			return none, errors.New("must be a string")
		}
		return parse(*s)
	}
}

// integer makes a parser of a JSON number from one of its value. A fraction or
// an exponent does not fit, even if it makes an integer: 1.0, 1e3.
func integer[T any](parse func(int64) (T, error)) func(json.RawMessage) (T, error) {
	return func(raw json.RawMessage) (none T, err error) {
		n, err := strconv.ParseInt(string(raw), 10, 64)
		switch {
		case errors.Is(err, strconv.ErrRange):
			return none, errors.New("must be an integer that fits in 64 bits")
		case err != nil:
			return none, errors.New("must be an integer, without a fraction or an exponent")
		}
		return parse(n)
	}
}
