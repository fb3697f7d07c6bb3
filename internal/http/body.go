package httpapi

import (
	"errors"
	"io"
	"mime"
	"net/http"
	"os"
	"strings"
	"time"

	"github.com/winaity/billing/internal/domain/fault"
)

// maxBody is how many bytes the body of a request may have.
const maxBody = 64 << 10

var errTooLarge = fault.New(fault.Invalid, codeBodyTooLarge, "The body must not have more than 65536 bytes.")

// withBody makes h a handler of net/http's. The body is there as a whole before
// h takes its place among those that work.
func withBody(place func(http.Handler) http.Handler, h func(w http.ResponseWriter, r *http.Request, body []byte) error) http.HandlerFunc {
	return Handle(func(w http.ResponseWriter, r *http.Request) error {
		body, err := readBody(w, r)
		if err != nil {
			return err
		}
		work := func(w http.ResponseWriter, r *http.Request) error { return h(w, r, body) }
		place(Handle(work)).ServeHTTP(w, r)
		return nil
	})
}

// readBody returns the body, which may be empty. If it is not, it is declared as
// JSON; whether it is any, parseObject says. It waits until the request's
// deadline for it, and not at all for one that says itself that it is too large.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if r.ContentLength > maxBody {
		return nil, errTooLarge
	}
	control := http.NewResponseController(w)
	if end, ok := r.Context().Deadline(); ok {
		_ = control.SetReadDeadline(end) // it fails only if there is no connection
	}
	body, err := io.ReadAll(http.MaxBytesReader(nil, r.Body, maxBody))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, errTooLarge
	}
	if errors.Is(err, os.ErrDeadlineExceeded) {
		return nil, fault.Wrap(err, fault.Invalid, codeRequestTimeout, "The body did not arrive in time.")
	}
	if err != nil {
		return nil, fault.Wrap(err, fault.Invalid, codeMalformed, "The body did not arrive as a whole.")
	}
	// Nothing is left to read: neither need the connection end, nor may its
	// deadline end the work.
	w.Header().Del("Connection")
	_ = control.SetReadDeadline(time.Time{})
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
