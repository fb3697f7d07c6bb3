-- name: DocumentsOfInvoices :many
SELECT * FROM documents WHERE invoice_id = ANY(sqlc.arg('invoice_ids')::text[]) ORDER BY invoice_id, kind;

-- name: InsertDocument :exec
INSERT INTO documents (id, invoice_id, kind, number, amount, currency, issued_at)
VALUES ($1, $2, $3, $4, $5, $6, $7);
