package console

import (
	"context"
	"sync/atomic"

	"github.com/winaity/billing/internal/app/messaging"
)

// gate is a messaging.Outbox that can be shut: then it has nothing to publish,
// and events wait as they do while the stream is away.
type gate struct {
	messaging.Outbox
	wake messaging.Signal
	shut atomic.Bool
}

// Pausable returns the outbox as one that the console can pause.
func (c *Console) Pausable(outbox messaging.Outbox) messaging.Outbox {
	c.relay.Outbox = outbox
	return &c.relay
}

// PublishBatch implements messaging.Outbox.
func (g *gate) PublishBatch(ctx context.Context, limit int, publish func(context.Context, []messaging.Message) []error) (int, error) {
	if g.shut.Load() {
		return 0, nil
	}
	return g.Outbox.PublishBatch(ctx, limit, publish)
}

func (g *gate) pause() { g.shut.Store(true) }

func (g *gate) resume() {
	g.shut.Store(false)
	g.wake.Notify()
}

func (g *gate) String() string {
	if g.shut.Load() {
		return "paused"
	}
	return "running"
}
