-- name: CreateSeries :batchexec
-- Its first number is that of a year that is long over.
INSERT INTO number_series (series, ordinal, taken_at)
SELECT unnest(sqlc.arg('series')::text[]), 1, 'epoch'
ON CONFLICT DO NOTHING;

-- name: LockSeries :batchmany
-- Until the transaction ends. The clock is read after the lock was granted.
WITH locked AS MATERIALIZED (
    SELECT * FROM number_series
    WHERE series = ANY (sqlc.arg('series')::text[])
    ORDER BY series
    FOR NO KEY UPDATE)
SELECT series, ordinal, taken_at, statement_timestamp()::timestamptz AS asked_at, clock_timestamp()::timestamptz AS now
FROM locked ORDER BY series;

-- name: SaveSeries :batchexec
UPDATE number_series AS s
SET ordinal = taken.ordinal, taken_at = taken.taken_at
FROM (SELECT unnest(sqlc.arg('series')::text[]) AS series,
             unnest(sqlc.arg('ordinals')::integer[]) AS ordinal,
             unnest(sqlc.arg('taken_at')::timestamptz[]) AS taken_at) AS taken
WHERE s.series = taken.series;
