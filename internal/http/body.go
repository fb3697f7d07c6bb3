package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"strings"

	"github.com/winaity/billing/internal/domain/fault"
)

// maxBody is how many bytes the body of a request may have.
const maxBody = 64 << 10

// readBody returns the body, which may be empty. If it is not, it is declared as
// JSON; whether it is any, parseObject says.
func readBody(r *http.Request) ([]byte, error) {
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, fault.New(fault.Invalid, codeBodyTooLarge, "The body must not have more than 65536 bytes.")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, codeMalformed, "The body did not arrive as a whole.")
	}
	if len(body) == 0 {
		return nil, nil
	}
	return body, checkMediaType(r.Header)
}

// checkMediaType accepts JSON as it is: in UTF-8 and not compressed.
func checkMediaType(h http.Header) error {
	for _, coding := range h.Values("Content-Encoding") {
		if !strings.EqualFold(coding, "identity") {
			return fault.New(fault.Invalid, codeMediaType, "The body must not have a Content-Encoding.")
		}
	}
	values := h.Values("Content-Type")
	if len(values) == 1 && isJSON(values[0]) {
		return nil
	}
	return fault.New(fault.Invalid, codeMediaType, "The body must have Content-Type: application/json.")
}

func isJSON(contentType string) bool {
	mediaType, parameters, err := mime.ParseMediaType(contentType)
	if err != nil || mediaType != jsonMediaType {
		return false
	}
	for name, value := range parameters {
		if name != "charset" || !strings.EqualFold(value, "utf-8") {
			return false
		}
	}
	return true
}
