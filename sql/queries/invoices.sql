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
SELECT * FROM invoices
WHERE (sqlc.narg('status')::text IS NULL OR status = sqlc.narg('status'))
  AND (sqlc.narg('customer_id')::text IS NULL OR customer_id = sqlc.narg('customer_id'))
  AND (sqlc.narg('before_issued_at')::timestamptz IS NULL
       OR (issued_at, id) < (sqlc.narg('before_issued_at'), sqlc.narg('before_id')::text))
ORDER BY issued_at DESC, id DESC
LIMIT sqlc.arg('max_rows');
