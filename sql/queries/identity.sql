-- name: Identity :one
-- The path of a table names its database and its file. A stand-by has no identity:
-- it may become the primary without all that its primary knew.
SELECT concat_ws('-',
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
    pg_relation_filepath('inbox'),
    pg_relation_filepath('idempotency_keys'))::text AS identity
WHERE NOT pg_is_in_recovery();
