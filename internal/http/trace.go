package httpapi

import (
	"crypto/rand"
	"fmt"
	"net/http"
	"regexp"
	"strings"

	"github.com/winaity/billing/internal/app/messaging"
)

// trace puts where the request comes from into its context, and tells the client
// by which correlation id to ask for it.
func trace(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		t := messaging.Trace{
			CorrelationID: correlationID(r.Header),
			Traceparent:   traceparent(r.Header),
		}
		w.Header().Set("X-Correlation-ID", t.CorrelationID)
		next.ServeHTTP(w, r.WithContext(messaging.WithTrace(r.Context(), t)))
	})
}

func correlationID(h http.Header) string {
	values := h.Values("X-Correlation-ID")
	if len(values) == 1 && messaging.WellFormedCorrelationID(values[0]) {
		return values[0]
	}
	return messaging.NewCorrelationID()
}

// wellFormedTraceparent is what version 00 of W3C Trace Context looks like:
// version, trace id, parent id, flags.
var wellFormedTraceparent = regexp.MustCompile(`^00-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}$`)

// traceparent returns the incoming one, or that of a new trace. A later version
// of the header than ours also begins a new trace.
func traceparent(h http.Header) string {
	values := h.Values("Traceparent")
	if len(values) == 1 && wellFormedTraceparent.MatchString(values[0]) &&
		!strings.HasPrefix(values[0][3:], noTrace) && !strings.HasPrefix(values[0][36:], noParent) {
		return values[0]
	}
	var ids [24]byte
	_, _ = rand.Read(ids[:]) // never fails, by its documentation
	return fmt.Sprintf("00-%x-%x-01", ids[:16], ids[16:])
}

// Ids of zeros are invalid.
const (
	noTrace  = "00000000000000000000000000000000"
	noParent = "0000000000000000"
)
