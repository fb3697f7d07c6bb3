-- name: DocumentsOfInvoices :many
SELECT * FROM documents WHERE invoice_id = ANY(sqlc.arg('invoice_ids')::text[]) ORDER BY invoice_id, kind;

-- name: DocumentsOfLocked :batchmany
SELECT * FROM documents WHERE invoice_id = ANY(sqlc.arg('invoice_ids')::text[]) ORDER BY invoice_id, kind;

-- name: InsertDocuments :batchexec
INSERT INTO documents (id, invoice_id, kind, number, amount, currency, issued_at)
SELECT unnest(sqlc.arg('ids')::text[]), unnest(sqlc.arg('invoice_ids')::text[]), unnest(sqlc.arg('kinds')::text[]),
       unnest(sqlc.arg('numbers')::text[]), unnest(sqlc.arg('amounts')::bigint[]), unnest(sqlc.arg('currencies')::text[]),
       unnest(sqlc.arg('issued_at')::timestamptz[]);
