package httpapi

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"strings"

	"github.com/go-chi/chi/v5"

	"github.com/winaity/billing/internal/domain/fault"
)

// handler answers a request, or returns the error that becomes the answer. It
// must not return an error once it has begun to write.
type handler func(w http.ResponseWriter, r *http.Request) error

// Handle makes a handler one of net/http's.
func Handle(h handler) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if err := h(w, r); err != nil {
			writeProblem(w, r, err)
		}
	}
}

const jsonMediaType = "application/json"

// writeJSON answers with v, which must be a value that can be encoded.
func writeJSON(w http.ResponseWriter, status int, v any) error {
	body, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode answer: %w", err)
	}
	writeBody(w, status, jsonMediaType, body)
	return nil
}

// writeBody states the length itself, so that HEAD is told it too.
func writeBody(w http.ResponseWriter, status int, contentType string, body []byte) {
	w.Header().Set("Content-Type", contentType)
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.WriteHeader(status)
	// It fails only if the client is gone: there is nobody left to tell.
	_, _ = w.Write(body)
}

func notFound(http.ResponseWriter, *http.Request) error {
	return fault.New(fault.NotFound, codeNotFound, "There is nothing at this path.")
}

// methods are those that a path may allow.
var methods = []string{
	http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut,
	http.MethodPatch, http.MethodDelete, http.MethodOptions, http.MethodTrace, http.MethodConnect,
}

// methodNotAllowed also answers for methods that the router does not know,
// whatever the path.
func methodNotAllowed(routes chi.Routes) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		path := r.URL.RawPath
		if path == "" {
			path = r.URL.Path
		}
		var allowed []string
		for _, method := range methods {
			lookUp := method
			if method == http.MethodHead {
				lookUp = http.MethodGet
			}
			if routes.Match(chi.NewRouteContext(), lookUp, path) {
				allowed = append(allowed, method)
			}
		}
		if len(allowed) == 0 {
			return notFound(w, r)
		}
		list := strings.Join(allowed, ", ")
		w.Header().Set("Allow", list)
		return fault.New(fault.Invalid, codeMethodNotAllowed, "This path allows "+list+".")
	}
}
