-- +goose Up

-- What follows waits for no reader and no writer, and none waits for it: it only
-- takes turns with a vacuum of the same table. Rather than wait for a long one
-- it fails, to be tried again.
SET LOCAL lock_timeout = '10s';

-- By default a table is vacuumed when a fifth of it is dead, and analysed when a
-- tenth has changed: at 10 million events that is after 2 million of them. Until
-- then the index of what waits to be published is full of what no longer does,
-- and each look of the relay goes through it. So the tables below go by numbers
-- of rows, whatever their size.

-- Each event is inserted, marked, and deleted after its retention: every mark is
-- a dead row, and its entry in outbox_unpublished is one that the relay reads. A
-- vacuum without a pause between its steps is over sooner and costs no more.
ALTER TABLE outbox SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_vacuum_insert_scale_factor = 0.05,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 50000,
    autovacuum_vacuum_cost_delay = 0
);

-- Inserted, read by key, and deleted by age in chunks. What is dead is at the old
-- end of the indexes by age, where the next purge begins.
ALTER TABLE inbox SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000
);
ALTER TABLE idempotency_keys SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 20000
);

-- A handful of rows, each updated by every issued document. Its page has room for
-- that (fillfactor), and is tidied up in passing; but only while no old
-- transaction may still look. A vacuum of one page costs nothing.
ALTER TABLE number_series SET (
    autovacuum_vacuum_scale_factor = 0,
    autovacuum_vacuum_threshold = 500,
    autovacuum_analyze_scale_factor = 0,
    autovacuum_analyze_threshold = 5000,
    autovacuum_vacuum_cost_delay = 0
);

-- Never deleted, and updated once or twice in a life, soon after the insert: the
-- dead rows are among the newest. It grows for ever, so a share of it is ever
-- rarer.
ALTER TABLE invoices SET (
    autovacuum_vacuum_scale_factor = 0.01,
    autovacuum_vacuum_threshold = 10000,
    autovacuum_analyze_scale_factor = 0.01,
    autovacuum_analyze_threshold = 10000
);
