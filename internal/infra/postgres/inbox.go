package postgres

import (
	"context"
	"strings"

	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// inbox are the messages that had their effect: the handler, a space, and the key
// of the message. Whoever looks for one holds an advisory lock on it until the
// transaction ends.
type inbox struct {
	*groupcommit.Rows[string, string]
}

// Receive implements messaging.Inbox. As long as it is not known, the message is
// taken for a new one: so what its effect asks for is loaded together with that.
func (m member) Receive(handler, key string) (bool, error) {
	received := handler + " " + key
	_, known, _ := m.inbox.Get(received)
	if !known {
		m.inbox.Set(received, received)
	}
	return !known, nil
}

func (i inbox) load(ctx context.Context, p *pipeline, waits bool) {
	asked := i.Asked()
	if len(asked) == 0 {
		return
	}
	if waits {
		p.queued("await messages", p.queries.AwaitMessages(ctx, [][]string{asked}).Exec)
	} else {
		each(p, "lock messages", p.queries.TryMessages(ctx, [][]string{asked}).Query, func(row dbgen.TryMessagesRow) {
			if !row.Locked {
				i.Locked(row.Key)
			}
		})
	}
	handlers, keys := cut(asked)
	received := p.queries.ReceivedMessages(ctx, []dbgen.ReceivedMessagesParams{{Handlers: handlers, MessageIds: keys}})
	each(p, "look into inbox", received.Query, func(row dbgen.ReceivedMessagesRow) {
		i.Loaded(row.Handler+" "+row.MessageID, "")
	})
}

func (i inbox) save(ctx context.Context, p *pipeline) {
	handlers, keys := cut(i.Changed())
	if len(handlers) > 0 {
		p.queued("record messages in inbox", p.queries.RecordMessages(ctx, []dbgen.RecordMessagesParams{{Handlers: handlers, MessageIds: keys}}).Exec)
	}
}

// cut undoes what Receive does: a handler's name has no space.
func cut(received []string) (handlers, keys []string) {
	for _, r := range received {
		handler, key, _ := strings.Cut(r, " ")
		handlers, keys = append(handlers, handler), append(keys, key)
	}
	return handlers, keys
}
