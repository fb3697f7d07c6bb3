package postgres

import (
	"context"
	"encoding/json"
	"fmt"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// answers are those that were kept, by their keys. Whoever looks for one holds an
// advisory lock on the key until the transaction ends, so that a second request is
// told at once that the first is still running.
type answers struct {
	*groupcommit.Rows[string, kept]
}

type kept struct {
	request  idempotency.Request
	answer   idempotency.Answer
	header   string // of the answer, as it is stored
	inFlight bool   // another transaction has the key: the rest is not known
}

// Recall implements idempotency.Tx. As long as it is not known, there is no
// answer: so what the command asks for is loaded together with that.
func (m member) Recall(r idempotency.Request) (*idempotency.Answer, error) {
	k, known, _ := m.answers.Get(r.Key)
	switch {
	case !known:
		return nil, nil
	case k.inFlight:
		return nil, idempotency.ErrInFlight
	case k.request.Fingerprint != r.Fingerprint:
		return nil, idempotency.ErrReused
	}
	k.answer.Header = nil
	if err := json.Unmarshal([]byte(k.header), &k.answer.Header); err != nil {
		return nil, fmt.Errorf("decode header of kept answer: %w", err)
	}
	return &k.answer, nil
}

// Keep implements idempotency.Tx.
func (m member) Keep(r idempotency.Request, a idempotency.Answer) error {
	header, err := json.Marshal(a.Header)
	if err != nil {
		return fmt.Errorf("encode header of answer: %w", err)
	}
	m.answers.Set(r.Key, kept{request: r, answer: a, header: string(header)})
	return nil
}

func (a answers) load(ctx context.Context, p *pipeline, _ bool) {
	asked := a.Asked()
	if len(asked) == 0 {
		return
	}
	each(p, "lock idempotency keys", p.queries.TryKeys(ctx, [][]string{asked}).Query, func(row dbgen.TryKeysRow) {
		if !row.Locked {
			a.Loaded(row.Key, kept{inFlight: true})
		}
	})
	each(p, "recall answers", p.queries.RecallAnswers(ctx, [][]string{asked}).Query, func(row dbgen.RecallAnswersRow) {
		a.Loaded(row.Key, kept{
			request: idempotency.Request{Key: row.Key, Fingerprint: row.Fingerprint},
			answer:  idempotency.Answer{Status: int(row.Status), Body: row.Body},
			header:  row.Header,
		})
	})
}

func (a answers) save(ctx context.Context, p *pipeline) {
	changed := a.Changed()
	if len(changed) == 0 {
		return
	}
	p.queued("keep answers", p.queries.KeepAnswers(ctx, []dbgen.KeepAnswersParams{{
		Keys:         column(changed, func(k kept) string { return k.request.Key }),
		Fingerprints: column(changed, func(k kept) string { return k.request.Fingerprint }),
		Statuses:     column(changed, func(k kept) int32 { return int32(k.answer.Status) }), //nolint:gosec // an HTTP status
		Headers:      column(changed, func(k kept) string { return k.header }),
		Bodies:       column(changed, func(k kept) []byte { return k.answer.Body }),
	}}).Exec)
}
