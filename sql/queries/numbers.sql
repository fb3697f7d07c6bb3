-- name: TakeNumber :one
-- Locks the series until the transaction ends. The instant is read under that
-- lock and never goes back, whatever the clock does.
INSERT INTO number_series AS s (series, ordinal, taken_at)
VALUES ($1, 1, clock_timestamp())
ON CONFLICT (series) DO UPDATE
SET (ordinal, taken_at) = (
    SELECT CASE
             WHEN extract(year FROM clock.t AT TIME ZONE 'UTC') = extract(year FROM s.taken_at AT TIME ZONE 'UTC')
             THEN s.ordinal + 1
             ELSE 1
           END,
           clock.t
    FROM (SELECT greatest(clock_timestamp(), s.taken_at + interval '1 microsecond') AS t) AS clock)
RETURNING s.ordinal, s.taken_at;
