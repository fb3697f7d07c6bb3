-- +goose Up

-- The last number taken in each series. A row and not a SEQUENCE: a SEQUENCE
-- has gaps after a rollback and hands out numbers in no order of commit.
-- The low fill factor keeps the row's versions on one page (HOT updates).
CREATE TABLE number_series (
    series   text        PRIMARY KEY,
    ordinal  integer     NOT NULL CHECK (ordinal > 0),
    taken_at timestamptz NOT NULL
) WITH (fillfactor = 10);

CREATE TABLE invoices (
    id                  text        PRIMARY KEY,
    number              text        NOT NULL UNIQUE,
    customer_id         text        NOT NULL,
    amount              bigint      NOT NULL CHECK (amount > 0), -- minor units
    currency            text        NOT NULL,
    status              text        NOT NULL CHECK (status IN ('issued', 'paid', 'cancelled')),
    due_date            date        NOT NULL,
    issued_at           timestamptz NOT NULL,
    paid_at             timestamptz CHECK ((paid_at IS NOT NULL) = (status = 'paid')),
    payment_reference   text,
    cancelled_at        timestamptz CHECK ((cancelled_at IS NOT NULL) = (status = 'cancelled')),
    cancellation_reason text,
    version             integer     NOT NULL CHECK (version > 0)
) WITH (fillfactor = 80);
CREATE INDEX invoices_newest ON invoices (issued_at DESC, id DESC);
CREATE INDEX invoices_of_customer ON invoices (customer_id, issued_at DESC, id DESC);

-- Receipts and credit notes: one of each kind for an invoice at most.
CREATE TABLE documents (
    id         text        PRIMARY KEY,
    invoice_id text        NOT NULL REFERENCES invoices,
    kind       text        NOT NULL CHECK (kind IN ('receipt', 'credit_note')),
    number     text        NOT NULL UNIQUE,
    amount     bigint      NOT NULL CHECK (amount > 0), -- minor units
    currency   text        NOT NULL,
    issued_at  timestamptz NOT NULL,
    UNIQUE (invoice_id, kind)
);
