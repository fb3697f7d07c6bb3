-- name: AppendToOutbox :batchexec
-- In the given order. What is empty is NULL.
INSERT INTO outbox (id, aggregate_type, aggregate_id, type, payload, traceparent)
SELECT unnest(sqlc.arg('ids')::text[]), unnest(sqlc.arg('aggregate_types')::text[]), unnest(sqlc.arg('aggregate_ids')::text[]),
       unnest(sqlc.arg('types')::text[]), unnest(sqlc.arg('payloads')::text[])::json,
       nullif(unnest(sqlc.arg('traceparents')::text[]), '');

-- name: LockOutbox :one
-- The settings end with the transaction. Losing a mark in a crash costs a
-- publication that the stream recognises; a holder that hangs loses its session;
-- and the planner, which cannot know how long the outbox is at the moment, must
-- not sort all of it where the index has the order.
SELECT pg_try_advisory_xact_lock(sqlc.arg('lock_key')::bigint)::boolean AS locked,
       set_config('synchronous_commit', 'off', true)::text AS synchronous_commit,
       set_config('idle_in_transaction_session_timeout', sqlc.arg('idle_timeout')::text, true)::text AS idle_timeout,
       set_config('enable_bitmapscan', 'off', true)::text AS bitmapscan,
       set_config('enable_seqscan', 'off', true)::text AS seqscan;

-- name: UnpublishedEvents :many
-- A statement of its own: its snapshot must be taken after the lock. It also tells
-- what else may wait: an event that is blocked, which comes before the others of
-- its aggregate; and below the floor, what was republished. (+ 0 keeps the planner
-- from looking for the former among all that wait.)
SELECT seq, id, aggregate_type, aggregate_id, type, payload, traceparent, created_at,
       coalesce((SELECT min(w.seq + 0) FROM outbox AS w
                 WHERE w.published_at IS NULL AND w.blocked_until IS NOT NULL), seq)::bigint AS first_blocked,
       coalesce((SELECT max(r.id) FROM outbox_republications AS r), 0)::bigint AS republication
FROM outbox AS o
WHERE o.published_at IS NULL AND o.seq >= sqlc.arg('floor')::bigint
  AND o.aggregate_id <> ALL (ARRAY(
    SELECT b.aggregate_id FROM outbox AS b
    WHERE b.published_at IS NULL AND b.blocked_until > now()))
ORDER BY o.seq
LIMIT sqlc.arg('max_rows')::bigint;

-- name: OutboxWriters :one
-- The highest seq that is committed; and, looked up after that, since a statement
-- takes its snapshot first, who may have written a lower one and not committed
-- yet: a row gets its seq under the table's lock. (Not max: planned while the
-- outbox is empty, as it is at first, that goes through all of it.)
SELECT coalesce((SELECT o.seq FROM outbox AS o ORDER BY o.seq DESC LIMIT 1), 0)::bigint AS latest,
       ARRAY(SELECT l.virtualtransaction FROM pg_catalog.pg_locks AS l
             WHERE l.database = (SELECT d.oid FROM pg_catalog.pg_database AS d WHERE d.datname = current_database())
               AND l.relation = 'outbox'::regclass AND l.mode = 'RowExclusiveLock'
               AND l.pid <> pg_backend_pid())::text[] AS writers;

-- name: MarkPublished :exec
UPDATE outbox
SET published_at = now(), blocked_until = NULL, blocked_error = NULL
WHERE seq = ANY(sqlc.arg('seqs')::bigint[]);

-- name: MarkUnpublished :exec
UPDATE outbox
SET published_at = NULL
WHERE seq = ANY(sqlc.arg('seqs')::bigint[]);

-- name: BlockEvent :exec
UPDATE outbox
SET blocked_until = now() + sqlc.arg('pause')::interval, blocked_error = sqlc.arg('error')::text
WHERE seq = sqlc.arg('seq');

-- name: OutboxBacklog :one
-- Asked every few seconds, also when millions wait: the age is that of the first
-- event, and more than a million are not counted.
SELECT (SELECT count(*) FROM (
           SELECT FROM outbox AS o WHERE o.published_at IS NULL LIMIT 1000000) AS counted) AS unpublished,
       (SELECT count(*) FROM outbox AS b
        WHERE b.published_at IS NULL AND b.blocked_until IS NOT NULL) AS blocked,
       coalesce((SELECT extract(epoch FROM now() - f.created_at) FROM outbox AS f
                 WHERE f.published_at IS NULL ORDER BY f.seq LIMIT 1), 0)::float8 AS oldest_age_seconds;

-- name: BlockedEvents :many
SELECT seq, id, aggregate_type, aggregate_id, type, created_at, blocked_error
FROM outbox
WHERE published_at IS NULL AND blocked_until IS NOT NULL
ORDER BY seq
LIMIT sqlc.arg('max_rows')::bigint;

-- name: PurgeOutbox :execrows
-- There is no index by age, which each mark would have to write to. The oldest
-- events have the lowest seq, so only those are looked at: a purge costs the same
-- however long the table is, also when there is nothing to delete. An event that
-- was published again is young again, and so keeps those after it a while longer.
DELETE FROM outbox
WHERE seq = ANY (ARRAY(
    SELECT oldest.seq
    FROM (
        SELECT o.seq, o.published_at FROM outbox AS o
        WHERE o.published_at IS NOT NULL
        ORDER BY o.seq
        LIMIT sqlc.arg('max_rows')::bigint) AS oldest
    WHERE oldest.published_at < now() - sqlc.arg('retention')::interval));

-- name: CountPublishedBetween :one
SELECT count(*) FROM outbox
WHERE published_at >= sqlc.arg('since')::timestamptz AND published_at < sqlc.arg('until')::timestamptz;

-- name: UnmarkPublished :many
-- The relay may publish what one chunk unmarks before the next is unmarked, so
-- chunks go by seq: an aggregate's events are published in order again.
UPDATE outbox
SET published_at = NULL
WHERE seq IN (
    SELECT o.seq FROM outbox AS o
    WHERE o.published_at >= sqlc.arg('since')::timestamptz AND o.published_at < sqlc.arg('until')::timestamptz
      AND o.seq > sqlc.arg('after')::bigint
    ORDER BY o.seq
    LIMIT sqlc.arg('max_rows')::bigint)
RETURNING seq;

-- name: NoteRepublication :exec
INSERT INTO outbox_republications (events) VALUES ($1);
