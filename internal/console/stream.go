package console

import (
	"net/http"
	"time"

	"github.com/winaity/billing/internal/domain/fault"
)

const (
	heartbeat    = 15 * time.Second // of a stream with no news, so that a dead one is noticed
	writeTimeout = 5 * time.Second  // a client that takes longer for what is new is dropped
	maxInvoiceID = 64
)

// stream is GET /console/stream: server-sent events for as long as the client
// stays and the service does not end.
func (c *Console) stream(w http.ResponseWriter, r *http.Request) error {
	invoice := r.URL.Query().Get("invoice")
	if len(invoice) > maxInvoiceID {
		return fault.Validation(fault.Field{Name: "invoice", Detail: "Is no id of an invoice."})
	}
	w.Header().Set("Content-Type", "text/event-stream")
	w.Header().Set("X-Accel-Buffering", "no") // a proxy must not hold it back
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return nil
	}
	reader, ok := c.feed.join(invoice)
	if !ok {
		return fault.New(fault.Unavailable, "dependency-unavailable", "As many pages are open as can be served side by side.")
	}
	defer c.feed.leave(reader)

	// The server's timeouts are for requests that end.
	control := http.NewResponseController(w)
	_ = control.SetReadDeadline(time.Time{})
	send := func(news []byte) bool {
		_ = control.SetWriteDeadline(time.Now().Add(writeTimeout))
		_, err := w.Write(news)
		return err == nil && control.Flush() == nil
	}
	if !send([]byte("retry: 1000\n\n")) {
		return nil
	}
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		if news := c.feed.news(reader); len(news) > 0 && !send(news) {
			return nil
		}
		select {
		case <-r.Context().Done():
			return nil
		case <-c.feed.ended:
			return nil
		case <-reader.wake:
		case <-beat.C:
			if !send([]byte(":\n\n")) {
				return nil
			}
		}
	}
}
