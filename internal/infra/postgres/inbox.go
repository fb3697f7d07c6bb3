package postgres

import (
	"context"
	"fmt"

	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Receive implements messaging.Inbox.
func (t *tx) Receive(ctx context.Context, handler, key string) (bool, error) {
	n, err := t.queries.Receive(ctx, dbgen.ReceiveParams{Handler: handler, MessageID: key})
	if err != nil {
		return false, fmt.Errorf("record message %s in inbox of %s: %w", key, handler, err)
	}
	return n == 1, nil
}
