-- name: NumbersOutOfOrder :many
-- A number is in order if it is, within its series and year, as high as the
-- count of documents up to its date of issue: so gaps, repetitions and numbers
-- that are not chronological all show.
SELECT number, issued_at, expected::bigint AS expected
FROM (
    SELECT number, issued_at,
           split_part(number, '-', 2)::integer AS year,
           split_part(number, '-', 3)::bigint AS ordinal,
           row_number() OVER (
               PARTITION BY split_part(number, '-', 1), split_part(number, '-', 2)
               ORDER BY issued_at, split_part(number, '-', 3)::bigint) AS expected
    FROM (SELECT number, issued_at FROM invoices UNION ALL SELECT number, issued_at FROM documents) AS numbered
) AS ranked
WHERE ordinal <> expected OR year <> extract(year FROM issued_at AT TIME ZONE 'UTC')
ORDER BY issued_at
LIMIT sqlc.arg('max_rows')::bigint;

-- name: InvoicesWithoutTheirDocument :many
-- Also those with a document that their status does not call for, or that has
-- another amount. What was settled just now may still be on its way.
SELECT i.id, i.number, i.status, d.kind
FROM invoices AS i
LEFT JOIN documents AS d ON d.invoice_id = i.id
WHERE CASE
        WHEN d.id IS NULL THEN
            i.status <> 'issued' AND coalesce(i.paid_at, i.cancelled_at) < now() - sqlc.arg('grace')::interval
        ELSE
            (i.status, d.kind) NOT IN (('paid', 'receipt'), ('cancelled', 'credit_note'))
            OR (i.amount, i.currency) <> (d.amount, d.currency)
      END
ORDER BY i.issued_at
LIMIT sqlc.arg('max_rows')::bigint;

-- name: StuckEvents :many
SELECT id, type, aggregate_id, created_at, blocked_error
FROM outbox
WHERE published_at IS NULL AND created_at < now() - sqlc.arg('grace')::interval
ORDER BY seq
LIMIT sqlc.arg('max_rows')::bigint;

-- name: PublishedEvents :many
SELECT seq, id, type, aggregate_type, aggregate_id, published_at::timestamptz AS published_at
FROM outbox
WHERE seq > sqlc.arg('after') AND published_at IS NOT NULL
ORDER BY seq
LIMIT sqlc.arg('max_rows')::bigint;
