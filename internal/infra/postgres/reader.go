package postgres

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/infra/postgres/internal/dbgen"
)

// Reader answers queries. It is safe for concurrent use.
type Reader struct{ db *DB }

// NewReader returns a Reader of the database.
func NewReader(db *DB) *Reader { return &Reader{db} }

// View implements invoicing.Reader.
func (r *Reader) View(ctx context.Context, id string) (invoicing.View, error) {
	views, err := r.views(ctx, func(queries *dbgen.Queries) ([]dbgen.Invoice, error) {
		row, err := queries.GetInvoice(ctx, id)
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

// allStatuses are looked for one by one: the index begins with the status.
var allStatuses = []string{string(invoice.StatusIssued), string(invoice.StatusPaid), string(invoice.StatusCancelled)}

// newest is after every invoice.
var newest = invoicing.Position{IssuedAt: time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)}

// List implements invoicing.Reader.
func (r *Reader) List(ctx context.Context, f invoicing.Filter, after *invoicing.Position, limit int) ([]invoicing.View, error) {
	if after == nil {
		after = &newest
	}
	statuses := allStatuses
	if f.Status != "" {
		statuses = []string{string(f.Status)}
	}
	views, err := r.views(ctx, func(queries *dbgen.Queries) ([]dbgen.Invoice, error) {
		if f.CustomerID != "" {
			return queries.ListInvoicesOfCustomer(ctx, dbgen.ListInvoicesOfCustomerParams{
				CustomerID: string(f.CustomerID), Statuses: statuses,
				BeforeIssuedAt: after.IssuedAt, BeforeID: after.ID, MaxRows: int64(limit),
			})
		}
		return queries.ListInvoices(ctx, dbgen.ListInvoicesParams{
			Statuses: statuses, BeforeIssuedAt: after.IssuedAt, BeforeID: after.ID, MaxRows: int64(limit),
		})
	})
	if err != nil {
		return nil, fmt.Errorf("list invoices: %w", err)
	}
	return views, nil
}

// views adds their documents to the invoices that query returns.
func (r *Reader) views(ctx context.Context, query func(*dbgen.Queries) ([]dbgen.Invoice, error)) (views []invoicing.View, err error) {
	err = r.db.inTx(ctx, func(queries *dbgen.Queries) error {
		rows, err := query(queries)
		if err != nil {
			return err
		}
		ids := make([]string, len(rows))
		for i, row := range rows {
			ids[i] = row.ID
		}
		documents, err := documentsOf(ctx, queries, ids...)
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
		addDocument(&of, documentOf(row))
		documents[row.InvoiceID] = of
	}
	return documents, nil
}
