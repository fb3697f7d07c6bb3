-- name: LockIdempotencyKey :one
SELECT pg_try_advisory_xact_lock(hashtextextended(sqlc.arg('key')::text, 0))::boolean AS locked;

-- name: RecallAnswer :one
-- A statement of its own: its snapshot must be taken after the lock.
SELECT fingerprint, status, header, body
FROM idempotency_keys
WHERE key = $1;

-- name: KeepAnswer :exec
INSERT INTO idempotency_keys (key, fingerprint, status, header, body)
VALUES ($1, $2, $3, $4, $5);

-- name: PurgeAnswers :execrows
-- = ANY and not IN, for which the planner may prefer to read the whole table.
DELETE FROM idempotency_keys
WHERE key = ANY (ARRAY(
    SELECT k.key FROM idempotency_keys AS k
    WHERE k.created_at < now() - sqlc.arg('retention')::interval
    ORDER BY k.created_at
    LIMIT sqlc.arg('max_rows')::bigint));
