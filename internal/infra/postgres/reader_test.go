package postgres_test

import (
	"testing"

	"github.com/winaity/billing/internal/app/invoicing"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/infra/postgres"
)

// A page is read from an index, whatever it is filtered by, also if nothing
// matches, and also once the plan is made without the values.
func TestListReadsLittleOfManyInvoices(t *testing.T) {
	b := setup(t)
	for _, statement := range []string{
		`INSERT INTO invoices (id, number, customer_id, amount, currency, status, due_date, issued_at, version, paid_at)
		 SELECT 'inv_' || lpad(n::text, 26, '0'), n::text, CASE WHEN n % 2 = 0 THEN 'half' ELSE n::text END, 1, 'EUR',
		        CASE WHEN n = 7 THEN 'paid' ELSE 'issued' END, now(), now() - n * interval '1 s', 1, CASE WHEN n = 7 THEN now() END
		 FROM generate_series(1, 100000) AS n`,
		"ANALYZE invoices",
	} {
		_, err := b.pool.Exec(t.Context(), statement)
		must(t, err)
	}
	db, read := b.reading(t)
	reader := postgres.NewReader(db)
	after := func(views []invoicing.View) *invoicing.Position {
		last := views[len(views)-1]
		return &invoicing.Position{IssuedAt: last.IssuedAt, ID: last.ID}
	}
	for range 10 {
		for _, c := range []struct {
			filter invoicing.Filter
			want   int
		}{
			{invoicing.Filter{}, 20},
			{invoicing.Filter{Status: invoice.StatusIssued}, 20},
			{invoicing.Filter{Status: invoice.StatusPaid}, 1},
			{invoicing.Filter{Status: invoice.StatusCancelled}, 0},
			{invoicing.Filter{CustomerID: "half"}, 20},
			{invoicing.Filter{CustomerID: "half", Status: invoice.StatusPaid}, 0},
			{invoicing.Filter{CustomerID: "7"}, 1},
			{invoicing.Filter{CustomerID: "nobody"}, 0},
		} {
			before := read("invoices")
			page, err := reader.List(t.Context(), c.filter, nil, 20)
			must(t, err)
			if len(page) == 20 {
				next, err := reader.List(t.Context(), c.filter, after(page), 20)
				must(t, err)
				if len(next) != 20 || !next[0].IssuedAt.Before(page[19].IssuedAt) {
					t.Errorf("%+v: the second page has %d invoices", c.filter, len(next))
				}
			}
			if n := read("invoices") - before; len(page) != c.want || n > 500 {
				t.Errorf("%+v: read %d rows for a page of %d, want %d", c.filter, n, len(page), c.want)
			}
		}
	}
}
