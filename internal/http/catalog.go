package httpapi

import (
	"net/http"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/version"
)

// catalog has every problem of the API by its code. A code, once published,
// keeps its meaning and its status.
var catalog = map[string]problemType{
	codeMalformed: {
		Status: http.StatusBadRequest,
		Title:  "Malformed request",
		Cause:  "The request cannot be read: the body is not one JSON object in UTF-8 (bad syntax, data after the object, a member name twice, a lone surrogate), or a header or the query string breaks its syntax.",
		Remedy: "Send one JSON object, made by a JSON library. The detail says where reading stopped.",
	},
	codeInvalidCursor: {
		Status: http.StatusBadRequest,
		Title:  "Invalid cursor",
		Cause:  "The cursor was not made by this service, or was changed.",
		Remedy: "Send nextCursor of the page before, unchanged, or leave the cursor out to begin with the first page.",
	},
	codeKeyInvalid: {
		Status: http.StatusBadRequest,
		Title:  "Invalid Idempotency-Key",
		Cause:  "The Idempotency-Key header has no value, is there more than once, is longer than 255 characters, or has characters that are not visible ASCII.",
		Remedy: "Send one key of 1 to 255 visible ASCII characters, bare or in double quotes, such as a UUID.",
	},
	codeNotFound: {
		Status: http.StatusNotFound,
		Title:  "Not found",
		Cause:  "The API has no such path.",
		Remedy: "Check the path. Paths are case-sensitive and have no slash at the end.",
	},
	invoicing.ErrInvoiceNotFound.Code: {
		Status: http.StatusNotFound,
		Title:  "Invoice not found",
		Cause:  "No invoice has this id.",
		Remedy: "Use the id of an invoice as it was returned: inv_ and 26 characters.",
	},
	codeMethodNotAllowed: {
		Status: http.StatusMethodNotAllowed,
		Title:  "Method not allowed",
		Cause:  "The path exists, but not with this method.",
		Remedy: "Use a method that the Allow header lists.",
	},
	codeRequestTimeout: {
		Status: http.StatusRequestTimeout,
		Title:  "Request timeout",
		Cause:  "The body did not arrive within the time for the request. The command was not begun.",
		Remedy: "Send it again, all of it at once and over a new connection.",
	},
	idempotency.ErrInFlight.Code: {
		Status:     http.StatusConflict,
		Title:      "Request in progress",
		Cause:      "Another request with the same Idempotency-Key has not ended yet.",
		Remedy:     "Wait as long as Retry-After says and send the same request again: it gets the answer of the first.",
		RetryAfter: 1,
	},
	invoice.CodeInvalidTransition: {
		Status: http.StatusConflict,
		Title:  "Invalid state transition",
		Cause:  "The status of the invoice, in currentStatus, does not allow the command: only an issued invoice can be paid or cancelled, and it is paid with one reference.",
		Remedy: "Read the invoice and decide again. The same request will not succeed.",
	},
	version.CodeMismatch: {
		Status: http.StatusPreconditionFailed,
		Title:  "Version mismatch",
		Cause:  "The invoice has changed since the version that If-Match or If-None-Match speaks of.",
		Remedy: "Read the invoice again, decide again, and send its present ETag.",
	},
	codeBodyTooLarge: {
		Status: http.StatusRequestEntityTooLarge,
		Title:  "Body too large",
		Cause:  "The body has more than 65536 bytes.",
		Remedy: "Send a smaller body.",
	},
	codeMediaType: {
		Status: http.StatusUnsupportedMediaType,
		Title:  "Unsupported media type",
		Cause:  "The body is not declared as application/json in UTF-8, or it is compressed.",
		Remedy: "Send Content-Type: application/json and no Content-Encoding.",
	},
	fault.CodeValidation: {
		Status: http.StatusUnprocessableEntity,
		Title:  "Validation failed",
		Cause:  "The request can be read, but fields of it do not fit. The member errors lists all of them.",
		Remedy: "Change each field that is listed, by its pointer, as its detail says.",
	},
	idempotency.ErrReused.Code: {
		Status: http.StatusUnprocessableEntity,
		Title:  "Idempotency-Key reused",
		Cause:  "The key was used before with another method, path or body.",
		Remedy: "Make a new key for each new request. To repeat a request, repeat it byte for byte.",
	},
	codeTooManyRequests: {
		Status:     http.StatusTooManyRequests,
		Title:      "Too many requests",
		Cause:      "The service works on as many requests as it can. This one was not begun.",
		Remedy:     "Send it again, not before Retry-After.",
		RetryAfter: 1,
	},
	codeUnavailable: {
		Status:     http.StatusServiceUnavailable,
		Title:      "Dependency unavailable",
		Cause:      "Something that the service needs is away or too slow. The command may have been carried out or not.",
		Remedy:     "Send it again, not before Retry-After. With the same Idempotency-Key, that is safe.",
		RetryAfter: 2,
	},
	codeInternal: {
		Status: http.StatusInternalServerError,
		Title:  "Internal error",
		Cause:  "The service has a fault.",
		Remedy: "Report it with its correlationId. To try again is safe with the same Idempotency-Key.",
	},
}
