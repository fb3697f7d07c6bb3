-- +goose Up

-- What was made to be published again, and when. The relay looks at the whole
-- outbox when there is more in here than it knows of.
CREATE TABLE outbox_republications (
    id     bigint      GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at     timestamptz NOT NULL DEFAULT now(),
    events bigint      NOT NULL
);
