package console

import (
	"context"
	"math"
	"sync"
	"time"
)

const (
	sampleInterval = time.Second
	// keptSamples fill the plots of a page that was just opened.
	keptSamples = 120
	// sampleTimeout bounds what a sample asks, so that there is one each second
	// whatever is away.
	sampleTimeout = 800 * time.Millisecond
)

// takeSamples takes a sample each second, whether somebody looks or not.
func (c *Console) takeSamples(ctx context.Context) {
	c.meter.read(time.Now())
	tick := time.NewTicker(sampleInterval)
	defer tick.Stop()
	var backlog backlogGauge
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.feed.addSample(c.sample(ctx, &backlog))
		}
	}
}

func (c *Console) sample(ctx context.Context, backlog *backlogGauge) sample {
	ctx, cancel := context.WithTimeout(ctx, sampleTimeout)
	defer cancel()
	var s sample
	var all sync.WaitGroup
	all.Go(func() { s.Backlog, s.OldestAgeSeconds = backlog.read(ctx, c) })
	all.Go(func() {
		if lag, err := c.Stream.Lag(ctx); err == nil {
			unanswered := lag.Pending + lag.AckPending
			s.ConsumerLag = &unanswered
		}
	})
	all.Go(func() {
		if _, waiting, err := c.Letters.Look(ctx); err == nil {
			s.DeadLetters = &waiting
		}
	})
	all.Wait()

	now := time.Now()
	counted, period := c.meter.read(now)
	s.At = now.UTC().Format("2006-01-02T15:04:05.000Z07:00")
	s.CommandsPerSecond = rate(counted.commands, period)
	s.PublishedPerSecond = rate(counted.published, period)
	s.CommitToStreamMs = quantiles(counted.delays)
	s.Redeliveries = counted.redeliveries
	return s
}

// rate returns n per second, to a tenth.
func rate(n int, period time.Duration) float64 {
	return math.Round(10*float64(n)/period.Seconds()) / 10
}

// backlogGauge reads the backlog. To count a long one takes a while, so the
// longer it took the less often it is counted anew: the database spends no more
// than a share of its time on it.
type backlogGauge struct {
	due    time.Time
	events *int64
	age    *float64
}

// maxShare is one in how many seconds may be spent on counting.
const maxShare = 20

func (g *backlogGauge) read(ctx context.Context, c *Console) (events *int64, oldestAge *float64) {
	start := time.Now()
	if start.Before(g.due) {
		return g.events, g.age
	}
	g.events, g.age = nil, nil
	if backlog, err := c.Backlog(ctx); err == nil {
		age := backlog.OldestAge.Seconds()
		g.events, g.age = &backlog.Events, &age
	}
	g.due = start.Add(min(maxShare*time.Since(start), time.Minute) - sampleInterval/2)
	return g.events, g.age
}
