package postgres

import (
	"context"
	"time"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/infra/postgres/groupcommit"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// documents are the documents of invoices, by the id of the invoice, whose lock is
// theirs as well.
type documents struct {
	*groupcommit.Rows[string, invoicing.Documents]
	added *groupcommit.Log[document.Snapshot]
}

func (d documents) load(ctx context.Context, p *pipeline, _ bool) {
	asked := d.Asked()
	if len(asked) == 0 {
		return
	}
	each(p, "read documents", p.queries.DocumentsOfLocked(ctx, [][]string{asked}).Query, func(row dbgen.Document) {
		documents, _, _ := d.Get(row.InvoiceID) // those of the rows before
		addDocument(&documents, documentOf(row))
		d.Loaded(row.InvoiceID, documents)
	})
}

func (d documents) save(ctx context.Context, p *pipeline) {
	added := d.added.Entries()
	if len(added) == 0 {
		return
	}
	p.queued("insert documents", p.queries.InsertDocuments(ctx, []dbgen.InsertDocumentsParams{{
		Ids:        column(added, func(d document.Snapshot) string { return d.ID }),
		InvoiceIds: column(added, func(d document.Snapshot) string { return d.InvoiceID }),
		Kinds:      column(added, func(d document.Snapshot) string { return string(d.Kind) }),
		Numbers:    column(added, func(d document.Snapshot) string { return d.Number }),
		Amounts:    column(added, func(d document.Snapshot) int64 { return d.Total.Amount() }),
		Currencies: column(added, func(d document.Snapshot) string { return string(d.Total.Currency()) }),
		IssuedAt:   column(added, func(d document.Snapshot) time.Time { return d.IssuedAt }),
	}}).Exec)
}

func documentOf(row dbgen.Document) document.Snapshot {
	return document.Snapshot{
		ID:        row.ID,
		Kind:      document.Kind(row.Kind),
		Number:    row.Number,
		InvoiceID: row.InvoiceID,
		Total:     money.New(row.Amount, money.Currency(row.Currency)),
		IssuedAt:  row.IssuedAt.UTC(),
	}
}

func addDocument(to *invoicing.Documents, d document.Snapshot) {
	switch d.Kind {
	case document.Receipt:
		to.Receipt = &d
	case document.CreditNote:
		to.CreditNote = &d
	}
}
