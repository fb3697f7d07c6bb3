-- name: Receive :execrows
-- While another transaction inserts the same row, this waits for its end.
INSERT INTO inbox (handler, message_id)
VALUES ($1, $2)
ON CONFLICT DO NOTHING;

-- name: PurgeInbox :execrows
DELETE FROM inbox
WHERE (handler, message_id) IN (
    SELECT i.handler, i.message_id FROM inbox AS i
    WHERE i.received_at < now() - sqlc.arg('retention')::interval
    ORDER BY i.received_at
    LIMIT sqlc.arg('max_rows'));
