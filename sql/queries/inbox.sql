-- name: Receive :execrows
-- While another transaction inserts the same row, this waits for its end.
INSERT INTO inbox (handler, message_id)
VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: PurgeInbox :execrows
-- By place, which no row of this table changes: by key, the planner may prefer to
-- read the whole table.
DELETE FROM inbox
WHERE ctid = ANY (ARRAY(
    SELECT i.ctid FROM inbox AS i
    WHERE i.received_at < now() - sqlc.arg('retention')::interval
    ORDER BY i.received_at
    LIMIT sqlc.arg('max_rows')::bigint));
