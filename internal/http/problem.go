package httpapi

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"strconv"
	"strings"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// problemType is what all problems with one code have in common.
type problemType struct {
	Status     int
	Title      string
	Cause      string // when it happens, for the one who reads the documentation
	Remedy     string // what to change, for the same
	RetryAfter int    // in seconds; 0: sending it again does not help
}

// The codes of problems that need no business.
const (
	codeMalformed        = "malformed-request"
	codeKeyInvalid       = "idempotency-key-invalid"
	codeNotFound         = "not-found"
	codeMethodNotAllowed = "method-not-allowed"
	codeRequestTimeout   = "request-timeout"
	codeBodyTooLarge     = "body-too-large"
	codeMediaType        = "unsupported-media-type"
	codeTooManyRequests  = "too-many-requests"
	codeUnavailable      = "dependency-unavailable"
	codeInternal         = "internal"
)

const (
	problemMediaType = "application/problem+json"
	problemPath      = "/problems/"
)

// What callers are told of errors that are not meant for them.
const (
	detailOfInternal = "Something went wrong in the service. Its log knows what, by the correlation id."
	detailOfTimeout  = "The service could not answer in time."
)

// writeProblem answers with the problem document for err. It is the only place
// that makes one. What err wraps goes to the log and to nobody else.
func writeProblem(w http.ResponseWriter, r *http.Request, err error) {
	if e, ok := w.(*exchange); ok {
		e.err = err
	}
	shown := presentable(err)
	kind := typeOf(shown)

	document := make(map[string]any)
	maps.Copy(document, shown.Details)
	document["type"] = problemPath + shown.Code
	document["title"] = kind.Title
	document["status"] = kind.Status
	document["detail"] = shown.Message
	document["code"] = shown.Code
	trace := messaging.TraceFrom(r.Context())
	document["correlationId"] = trace.CorrelationID
	document["traceId"] = trace.TraceID()
	if len(shown.Fields) > 0 {
		document["errors"] = fieldErrors(shown.Fields)
	}
	body, err := json.Marshal(document)
	if err != nil {
		// Only Details can be at fault, and an internal error has none.
		writeProblem(w, r, fmt.Errorf("encode problem %s: %w", shown.Code, err))
		return
	}
	if kind.RetryAfter > 0 {
		w.Header().Set("Retry-After", strconv.Itoa(kind.RetryAfter))
	}
	w.Header().Set("Cache-Control", "no-store")
	writeBody(w, kind.Status, problemMediaType, body)
}

// presentable returns the part of err that a caller may see.
func presentable(err error) *fault.Error {
	e, ok := errors.AsType[*fault.Error](err)
	switch {
	case ok && e.Kind != fault.Internal:
		return e
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return fault.New(fault.Unavailable, codeUnavailable, detailOfTimeout)
	default:
		return fault.New(fault.Internal, codeInternal, detailOfInternal)
	}
}

// typeOf returns what the catalog has for the error's code, or what follows from
// its kind.
func typeOf(e *fault.Error) problemType {
	if known, ok := catalog[e.Code]; ok {
		return known
	}
	status := http.StatusInternalServerError
	switch e.Kind {
	case fault.Invalid:
		status = http.StatusUnprocessableEntity
	case fault.NotFound:
		status = http.StatusNotFound
	case fault.Conflict:
		status = http.StatusConflict
	case fault.Unavailable:
		return catalog[codeUnavailable]
	case fault.Internal:
	}
	return problemType{Status: status, Title: http.StatusText(status)}
}

// fieldError says what is wrong with one field of the request.
type fieldError struct {
	Pointer string `json:"pointer"` // JSON Pointer, RFC 6901
	Detail  string `json:"detail"`
}

var pointerEscapes = strings.NewReplacer("~", "~0", "/", "~1")

func fieldErrors(fields []fault.Field) []fieldError {
	list := make([]fieldError, len(fields))
	for i, f := range fields {
		list[i] = fieldError{"/" + pointerEscapes.Replace(f.Name), f.Detail}
	}
	return list
}
