package tracing

import (
	"log/slog"
	"sync"
	"time"
)

// quiet is how long complaints are only counted after one was logged: while a
// collector is away there is one every few seconds.
const quiet = time.Minute

// complaints logs what goes wrong with exporting.
type complaints struct {
	log *slog.Logger

	mu     sync.Mutex
	last   time.Time // that one was logged
	unsaid int       // since then
}

// Handle implements otel.ErrorHandler.
func (c *complaints) Handle(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if time.Since(c.last) < quiet {
		c.unsaid++
		return
	}
	c.log.Warn("telemetry was not exported", "error", err, "timesBefore", c.unsaid)
	c.last, c.unsaid = time.Now(), 0
}
