-- name: TryKeys :batchmany
-- What another transaction answers is told, and not waited for.
SELECT k.key::text AS key, pg_try_advisory_xact_lock(hashtextextended(k.key, 0))::boolean AS locked
FROM unnest(sqlc.arg('keys')::text[]) AS k(key);

-- name: RecallAnswers :batchmany
-- A statement of its own: its snapshot must be taken after the lock.
SELECT key, fingerprint, status, header, body
FROM idempotency_keys
WHERE key = ANY (sqlc.arg('keys')::text[])
ORDER BY key;

-- name: KeepAnswers :batchexec
INSERT INTO idempotency_keys (key, fingerprint, status, header, body)
SELECT unnest(sqlc.arg('keys')::text[]), unnest(sqlc.arg('fingerprints')::text[]), unnest(sqlc.arg('statuses')::integer[]),
       unnest(sqlc.arg('headers')::text[])::json, unnest(sqlc.arg('bodies')::bytea[]);

-- name: PurgeAnswers :execrows
-- = ANY and not IN, for which the planner may prefer to read the whole table.
DELETE FROM idempotency_keys
WHERE key = ANY (ARRAY(
    SELECT k.key FROM idempotency_keys AS k
    WHERE k.created_at < now() - sqlc.arg('retention')::interval
    ORDER BY k.created_at
    LIMIT sqlc.arg('max_rows')::bigint));
