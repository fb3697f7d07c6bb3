package invoicing

import "context"

// MaxPage is the largest number of invoices on a page.
const MaxPage = 100

// Page is part of the list of invoices.
type Page struct {
	Invoices []View
	Next     *Position // where the next page begins; nil on the last
}

// Queries shows invoices.
type Queries struct{ reader Reader }

// NewQueries returns the queries on reader.
func NewQueries(reader Reader) *Queries { return &Queries{reader} }

// Invoice returns one invoice, or fails with ErrInvoiceNotFound.
func (q *Queries) Invoice(ctx context.Context, id string) (View, error) {
	return q.reader.View(ctx, id)
}

// List returns the page of at most limit invoices after the given position,
// newest first.
func (q *Queries) List(ctx context.Context, f Filter, after *Position, limit int) (Page, error) {
	// One more than asked for tells whether there is a next page.
	invoices, err := q.reader.List(ctx, f, after, limit+1)
	if err != nil {
		return Page{}, err
	}
	if len(invoices) <= limit {
		return Page{Invoices: invoices}, nil
	}
	last := invoices[limit-1]
	return Page{Invoices: invoices[:limit], Next: &Position{last.IssuedAt, last.ID}}, nil
}
