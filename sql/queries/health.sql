-- name: MissingPrivileges :many
-- What the service does that its role may not do.
SELECT (needed.privilege || ' on ' || needed.relation)::text AS missing
FROM (VALUES
    ('outbox', 'SELECT'), ('outbox', 'INSERT'), ('outbox', 'UPDATE'), ('outbox', 'DELETE'),
    ('outbox_republications', 'SELECT'),
    ('inbox', 'SELECT'), ('inbox', 'INSERT'), ('inbox', 'DELETE'),
    ('idempotency_keys', 'SELECT'), ('idempotency_keys', 'INSERT'), ('idempotency_keys', 'DELETE'),
    ('number_series', 'SELECT'), ('number_series', 'INSERT'), ('number_series', 'UPDATE'),
    ('invoices', 'SELECT'), ('invoices', 'INSERT'), ('invoices', 'UPDATE'),
    ('documents', 'SELECT'), ('documents', 'INSERT')
) AS needed(relation, privilege)
WHERE NOT has_table_privilege(needed.relation, needed.privilege)
ORDER BY 1;

-- name: OldestTransaction :one
-- How long the oldest transaction has been open that keeps dead rows from being
-- removed here: it has a snapshot, or may take back what it wrote. Other roles'
-- transactions are seen with the right pg_read_all_stats only.
SELECT coalesce(extract(epoch FROM now() - least(
    (SELECT min(a.xact_start) FROM pg_catalog.pg_stat_activity AS a
     WHERE (a.datname = current_database() OR a.backend_type = 'walsender')
       AND (a.backend_xmin IS NOT NULL OR a.backend_xid IS NOT NULL)),
    (SELECT min(p.prepared) FROM pg_catalog.pg_prepared_xacts AS p
     WHERE p.database = current_database()))), 0)::float8 AS age_seconds;
