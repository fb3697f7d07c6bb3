package postgres

import (
	"context"
	"errors"
	"fmt"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Reader answers queries. It is safe for concurrent use.
type Reader struct{ queries *dbgen.Queries }

// NewReader returns a Reader of the pool's database.
func NewReader(pool *pgxpool.Pool) *Reader { return &Reader{dbgen.New(pool)} }

// View implements invoicing.Reader.
func (r *Reader) View(ctx context.Context, id string) (invoicing.View, error) {
	views, err := r.views(ctx, func() ([]dbgen.Invoice, error) {
		row, err := r.queries.GetInvoice(ctx, id)
		if errors.Is(err, pgx.ErrNoRows) {
			return nil, invoicing.ErrInvoiceNotFound
		}
		return []dbgen.Invoice{row}, err
	})
	if err != nil {
		return invoicing.View{}, fmt.Errorf("read invoice %s: %w", id, err)
	}
	return views[0], nil
}

// List implements invoicing.Reader.
func (r *Reader) List(ctx context.Context, f invoicing.Filter, after *invoicing.Position, limit int) ([]invoicing.View, error) {
	params := dbgen.ListInvoicesParams{
		Status:     optional(f.Status),
		CustomerID: optional(f.CustomerID),
		MaxRows:    int32(limit), //nolint:gosec // a page size
	}
	if after != nil {
		params.BeforeIssuedAt, params.BeforeID = &after.IssuedAt, &after.ID
	}
	views, err := r.views(ctx, func() ([]dbgen.Invoice, error) { return r.queries.ListInvoices(ctx, params) })
	if err != nil {
		return nil, fmt.Errorf("list invoices: %w", err)
	}
	return views, nil
}

// views adds their documents to the invoices that query returns.
func (r *Reader) views(ctx context.Context, query func() ([]dbgen.Invoice, error)) (views []invoicing.View, err error) {
	err = again(ctx, func() error {
		rows, err := query()
		if err != nil {
			return err
		}
		ids := make([]string, len(rows))
		for i, row := range rows {
			ids[i] = row.ID
		}
		documents, err := documentsOf(ctx, r.queries, ids...)
		if err != nil {
			return err
		}
		views = make([]invoicing.View, len(rows))
		for i, row := range rows {
			views[i] = invoicing.View{Snapshot: snapshot(row), Documents: documents[row.ID]}
		}
		return nil
	})
	return views, err
}

// documentsOf returns the documents of invoices, by the id of the invoice.
func documentsOf(ctx context.Context, queries *dbgen.Queries, invoiceIDs ...string) (map[string]invoicing.Documents, error) {
	rows, err := queries.DocumentsOfInvoices(ctx, invoiceIDs)
	if err != nil {
		return nil, fmt.Errorf("read documents: %w", err)
	}
	documents := make(map[string]invoicing.Documents, len(rows))
	for _, row := range rows {
		of := documents[row.InvoiceID]
		d := &document.Snapshot{
			ID:        row.ID,
			Kind:      document.Kind(row.Kind),
			Number:    row.Number,
			InvoiceID: row.InvoiceID,
			Total:     money.New(row.Amount, money.Currency(row.Currency)),
			IssuedAt:  row.IssuedAt.UTC(),
		}
		switch d.Kind {
		case document.Receipt:
			of.Receipt = d
		case document.CreditNote:
			of.CreditNote = d
		}
		documents[row.InvoiceID] = of
	}
	return documents, nil
}
