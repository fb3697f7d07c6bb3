package httpapi

import (
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"strings"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/domain/fault"
)

// maxKeyLength is the length of the longest Idempotency-Key.
const maxKeyLength = 255

// keyOf identifies the command that the request asks for, by the header
// Idempotency-Key. Without one, it returns the zero Request.
func keyOf(r *http.Request, body []byte) (idempotency.Request, error) {
	values := r.Header.Values("Idempotency-Key")
	if len(values) == 0 {
		return idempotency.Request{}, nil
	}
	if len(values) > 1 {
		return idempotency.Request{}, fault.New(fault.Invalid, codeKeyInvalid, "Idempotency-Key must be there once.")
	}
	key, ok := unquote(values[0])
	if !ok || len(key) < 1 || len(key) > maxKeyLength || strings.ContainsFunc(key, invisible) {
		return idempotency.Request{}, fault.New(fault.Invalid, codeKeyInvalid,
			"Idempotency-Key must be 1 to 255 visible ASCII characters, bare or in double quotes.")
	}
	return idempotency.Request{Key: key, Fingerprint: fingerprint(r, body)}, nil
}

// unquote returns the text of a structured field string (RFC 9651, section
// 3.3.3). What does not begin with a quote is a bare key, and is returned as it
// is.
func unquote(s string) (string, bool) {
	rest, quoted := strings.CutPrefix(s, `"`)
	if !quoted {
		return s, true
	}
	var text strings.Builder
	for i := 0; i < len(rest); i++ {
		switch rest[i] {
		case '"':
			return text.String(), i == len(rest)-1
		case '\\':
			i++
			if i == len(rest) || rest[i] != '"' && rest[i] != '\\' {
				return "", false
			}
		}
		text.WriteByte(rest[i])
	}
	return "", false
}

// invisible reports whether r is not one of the visible characters of ASCII.
func invisible(r rune) bool { return r < '!' || r > '~' }

// fingerprint differs for any other method, path or body.
func fingerprint(r *http.Request, body []byte) string {
	sum := sha256.New()
	// Neither a method nor a path has a line break, so no two requests can run
	// into the same text.
	sum.Write([]byte(r.Method + "\n" + r.URL.EscapedPath() + "\n"))
	sum.Write(body)
	return hex.EncodeToString(sum.Sum(nil))
}

// writeAnswer sends the answer to a command, byte for byte what was kept if it
// was given before.
func writeAnswer(w http.ResponseWriter, a idempotency.Answer) {
	for name, value := range a.Header {
		w.Header().Set(name, value)
	}
	if a.Replayed {
		w.Header().Set("Idempotent-Replayed", "true")
	}
	writeBody(w, a.Status, a.Header["Content-Type"], a.Body)
}
