-- name: TryMessages :batchmany
-- What another transaction handles is told, and not waited for.
SELECT m.key::text AS key, pg_try_advisory_xact_lock(hashtextextended(m.key, 1))::boolean AS locked
FROM unnest(sqlc.arg('keys')::text[]) AS m(key);

-- name: AwaitMessages :batchexec
SELECT pg_advisory_xact_lock(hashtextextended(m.key, 1)) FROM unnest(sqlc.arg('keys')::text[]) AS m(key);

-- name: ReceivedMessages :batchmany
-- A statement of its own: its snapshot must be taken after the lock. With a limit,
-- each is looked up by itself, also by a plan that was made while the inbox was
-- empty.
SELECT received.handler, received.message_id
FROM (SELECT unnest(sqlc.arg('handlers')::text[]) AS handler,
             unnest(sqlc.arg('message_ids')::text[]) AS message_id) AS asked
CROSS JOIN LATERAL (
    SELECT i.handler, i.message_id FROM inbox AS i
    WHERE i.handler = asked.handler AND i.message_id = asked.message_id
    LIMIT 1) AS received;

-- name: RecordMessages :batchexec
INSERT INTO inbox (handler, message_id)
SELECT unnest(sqlc.arg('handlers')::text[]), unnest(sqlc.arg('message_ids')::text[]);

-- name: PurgeInbox :execrows
-- By place, which no row of this table changes: by key, the planner may prefer to
-- read the whole table.
DELETE FROM inbox
WHERE ctid = ANY (ARRAY(
    SELECT i.ctid FROM inbox AS i
    WHERE i.received_at < now() - sqlc.arg('retention')::interval
    ORDER BY i.received_at
    LIMIT sqlc.arg('max_rows')::bigint));
