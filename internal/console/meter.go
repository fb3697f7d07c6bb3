package console

import (
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
)

// meter counts what happens between two samples.
type meter struct {
	mu    sync.Mutex
	since time.Time
	count
}

type count struct {
	commands, published, redeliveries int
	delays                            []time.Duration // from commit to stream, a random choice of them
}

// maxDelays is how many delays are kept for a sample.
const maxDelays = 1024

// Request is an httpapi.Observer.
func (c *Console) Request(method, route string, status int, _ time.Duration) {
	if method != http.MethodPost || !strings.HasPrefix(route, "/v1/") || status >= http.StatusMultipleChoices {
		return
	}
	c.meter.mu.Lock()
	defer c.meter.mu.Unlock()
	c.meter.commands++
}

// BatchPublished implements messaging.Observer.
func (c *Console) BatchPublished(batch []messaging.Message, outcomes []error, _ time.Duration) {
	now := time.Now()
	c.meter.mu.Lock()
	defer c.meter.mu.Unlock()
	for i, err := range outcomes {
		if err == nil {
			c.meter.addDelay(now.Sub(batch[i].RecordedAt))
		}
	}
}

// addDelay keeps each delay with the same probability (reservoir sampling, Vitter's algorithm R).
func (m *meter) addDelay(d time.Duration) {
	m.published++
	if len(m.delays) < maxDelays {
		m.delays = append(m.delays, d)
	} else if i := rand.IntN(m.published); i < maxDelays {
		m.delays[i] = d
	}
}

// Delivered implements messaging.Observer.
func (c *Console) Delivered(r messaging.DeliveryReport) {
	c.deliveries.add(r)
	if r.Attempt > 1 {
		c.meter.mu.Lock()
		defer c.meter.mu.Unlock()
		c.meter.redeliveries++
	}
}

// read returns what was counted since it was last called, and in which time.
func (m *meter) read(now time.Time) (count, time.Duration) {
	m.mu.Lock()
	defer m.mu.Unlock()
	counted, period := m.count, now.Sub(m.since)
	m.count, m.since = count{}, now
	return counted, period
}

func quantiles(delays []time.Duration) *quantile {
	if len(delays) == 0 {
		return nil
	}
	slices.Sort(delays)
	at := func(q float64) float64 { return milliseconds(max(delays[int(q*float64(len(delays)-1))], 0)) }
	return &quantile{at(0.5), at(0.99)}
}

// deliveries remembers the last deliveries that this instance has handled.
type deliveries struct {
	mu   sync.Mutex
	ring [4096]remembered
	next int
}

type remembered struct {
	eventID string
	delivery
}

// maxError bounds the text of an error, in bytes. A panic's has its stack.
const maxError = 300

func (d *deliveries) add(r messaging.DeliveryReport) {
	if r.EventID == "" {
		return // it belongs to no invoice
	}
	shown := delivery{Attempt: r.Attempt, At: Instant(r.At), Outcome: string(r.Outcome), TookMs: milliseconds(r.Took)}
	if r.Err != nil {
		line, _, _ := strings.Cut(r.Err.Error(), "\n")
		shown.Error = truncate(line, maxError)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	d.ring[d.next] = remembered{r.EventID, shown}
	d.next = (d.next + 1) % len(d.ring)
}

// of returns the deliveries of an event, oldest first.
func (d *deliveries) of(eventID string) []delivery {
	d.mu.Lock()
	defer d.mu.Unlock()
	found := []delivery{}
	for i := range d.ring {
		if seen := &d.ring[(d.next+i)%len(d.ring)]; seen.eventID == eventID {
			found = append(found, seen.delivery)
		}
	}
	return found
}
