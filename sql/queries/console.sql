-- name: EventsBetween :many
-- The events of some aggregates whose ids are in a range. There is no index by
-- aggregate, which each mark of an event as published would have to write to; but
-- ids tell the time, and the unique index on them is there. The bounds are whole
-- ids, as long as all others and of the same few characters (digits and capital
-- letters, after the same prefix), which every collation sorts as bytes: so the
-- index of whatever collation the database has can be used and finds the same.
--
-- Ordered by id and limited inside, so that the planner has nothing better than
-- that index, and a range with very many events in it costs no more than the
-- limit.
SELECT seq, id, aggregate_type, aggregate_id, type, payload, traceparent, created_at, published_at, blocked_error
FROM (
    SELECT * FROM outbox AS o
    WHERE o.id BETWEEN sqlc.arg('lowest')::text AND sqlc.arg('highest')::text
    ORDER BY o.id
    LIMIT sqlc.arg('max_rows')::bigint) AS meanwhile
WHERE aggregate_id = ANY (sqlc.arg('aggregate_ids')::text[])
ORDER BY seq;
