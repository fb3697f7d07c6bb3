-- +goose Up

-- Events that were committed with the change they tell of, and wait to be
-- published. Rows stay for a retention after that, so that a stream that lost
-- data can be filled again.
CREATE TABLE outbox (
    seq            bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id             text        NOT NULL UNIQUE,
    aggregate_type text        NOT NULL,
    aggregate_id   text        NOT NULL,
    type           text        NOT NULL,
    payload        json        NOT NULL, -- not jsonb: it is published byte for byte
    traceparent    text,
    created_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    published_at   timestamptz,
    -- An event that the stream refuses for good holds back its aggregate until
    -- this instant, when it is tried again.
    blocked_until  timestamptz,
    blocked_error  text
);

-- All that the relay reads: they stay small however large the table grows. Each
-- further index would cost every mark of an event as published a write.
CREATE INDEX outbox_unpublished ON outbox (seq) WHERE published_at IS NULL;
CREATE INDEX outbox_blocked ON outbox (aggregate_id) WHERE published_at IS NULL AND blocked_until IS NOT NULL;

-- Which messages had their effect, by the handler that caused it.
CREATE TABLE inbox (
    handler     text        NOT NULL,
    message_id  text        NOT NULL,
    received_at timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (handler, message_id)
);
CREATE INDEX inbox_received ON inbox (received_at);

-- The answers that commands with an Idempotency-Key were given.
CREATE TABLE idempotency_keys (
    key         text        PRIMARY KEY,
    fingerprint text        NOT NULL,
    status      integer     NOT NULL,
    header      json        NOT NULL,
    body        bytea       NOT NULL,
    created_at  timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX idempotency_keys_created ON idempotency_keys (created_at);
