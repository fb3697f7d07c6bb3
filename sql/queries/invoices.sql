-- name: InsertInvoice :exec
INSERT INTO invoices (id, number, customer_id, amount, currency, status, due_date, issued_at, version)
VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9);

-- name: LockInvoice :one
SELECT * FROM invoices WHERE id = $1 FOR NO KEY UPDATE;

-- name: UpdateInvoice :execrows
UPDATE invoices
SET status = $2, paid_at = $3, payment_reference = $4, cancelled_at = $5, cancellation_reason = $6, version = $7
WHERE id = $1 AND version = sqlc.arg('saved_version');

-- name: GetInvoice :one
SELECT * FROM invoices WHERE id = $1;

-- name: ListInvoices :many
-- One look into the index by status for each, whatever a status has: so a page
-- costs the same however many invoices there are, also one that stays empty.
SELECT page.* FROM unnest(sqlc.arg('statuses')::text[]) AS wanted(status)
CROSS JOIN LATERAL (
    SELECT * FROM invoices AS i
    WHERE i.status = wanted.status
      AND (i.issued_at, i.id) < (sqlc.arg('before_issued_at')::timestamptz, sqlc.arg('before_id')::text)
    ORDER BY i.issued_at DESC, i.id DESC
    LIMIT sqlc.arg('max_rows')::bigint) AS page
ORDER BY page.issued_at DESC, page.id DESC
LIMIT sqlc.arg('max_rows')::bigint;

-- name: ListInvoicesOfCustomer :many
SELECT page.* FROM unnest(sqlc.arg('statuses')::text[]) AS wanted(status)
CROSS JOIN LATERAL (
    SELECT * FROM invoices AS i
    WHERE i.customer_id = sqlc.arg('customer_id') AND i.status = wanted.status
      AND (i.issued_at, i.id) < (sqlc.arg('before_issued_at')::timestamptz, sqlc.arg('before_id')::text)
    ORDER BY i.issued_at DESC, i.id DESC
    LIMIT sqlc.arg('max_rows')::bigint) AS page
ORDER BY page.issued_at DESC, page.id DESC
LIMIT sqlc.arg('max_rows')::bigint;
