-- name: InsertInvoices :batchexec
-- What has no value is the zero value of its type here.
INSERT INTO invoices (id, number, customer_id, amount, currency, due_date, issued_at,
                      status, paid_at, payment_reference, cancelled_at, cancellation_reason, version)
SELECT unnest(sqlc.arg('ids')::text[]), unnest(sqlc.arg('numbers')::text[]), unnest(sqlc.arg('customer_ids')::text[]),
       unnest(sqlc.arg('amounts')::bigint[]), unnest(sqlc.arg('currencies')::text[]),
       unnest(sqlc.arg('due_dates')::date[]), unnest(sqlc.arg('issued_at')::timestamptz[]),
       unnest(sqlc.arg('statuses')::text[]),
       nullif(unnest(sqlc.arg('paid_at')::timestamptz[]), '0001-01-01 00:00:00Z'), nullif(unnest(sqlc.arg('payment_references')::text[]), ''),
       nullif(unnest(sqlc.arg('cancelled_at')::timestamptz[]), '0001-01-01 00:00:00Z'), nullif(unnest(sqlc.arg('cancellation_reasons')::text[]), ''),
       unnest(sqlc.arg('versions')::integer[]);

-- name: LockInvoices :batchmany
SELECT * FROM invoices WHERE id = ANY (sqlc.arg('ids')::text[]) ORDER BY id FOR NO KEY UPDATE;

-- name: LockFreeInvoices :batchmany
-- Those that no other transaction has locked.
SELECT * FROM invoices WHERE id = ANY (sqlc.arg('ids')::text[]) ORDER BY id FOR NO KEY UPDATE SKIP LOCKED;

-- name: UpdateInvoices :batchexec
-- They are locked. What has no value is the zero value of its type here. The ids
-- are given twice, so that whatever the plan, it looks up these rows only.
UPDATE invoices AS i
SET status = new.status, paid_at = nullif(new.paid_at, '0001-01-01 00:00:00Z'), payment_reference = nullif(new.payment_reference, ''),
    cancelled_at = nullif(new.cancelled_at, '0001-01-01 00:00:00Z'), cancellation_reason = nullif(new.cancellation_reason, ''),
    version = new.version
FROM (SELECT unnest(sqlc.arg('ids')::text[]) AS id, unnest(sqlc.arg('statuses')::text[]) AS status,
             unnest(sqlc.arg('paid_at')::timestamptz[]) AS paid_at, unnest(sqlc.arg('payment_references')::text[]) AS payment_reference,
             unnest(sqlc.arg('cancelled_at')::timestamptz[]) AS cancelled_at,
             unnest(sqlc.arg('cancellation_reasons')::text[]) AS cancellation_reason,
             unnest(sqlc.arg('versions')::integer[]) AS version) AS new
WHERE i.id = new.id AND i.id = ANY (sqlc.arg('ids')::text[]);

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
