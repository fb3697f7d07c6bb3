-- name: Identity :one
-- The path of a table names its database and its file.
SELECT concat_ws('-',
    (extract(epoch FROM pg_postmaster_start_time()) * 1000000)::bigint,
    pg_relation_filepath('inbox'),
    pg_relation_filepath('idempotency_keys'))::text AS identity;
