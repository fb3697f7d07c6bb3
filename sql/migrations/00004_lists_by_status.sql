-- +goose NO TRANSACTION
-- +goose Up

-- Each index is made while the table is read and written. A run that was broken
-- off has left one that is not valid: it is dropped, and made anew.

-- A list goes through one index from its newest invoice on, whatever it is
-- filtered by: all statuses are a merge of the three.
DROP INDEX CONCURRENTLY IF EXISTS invoices_by_status;
CREATE INDEX CONCURRENTLY invoices_by_status ON invoices (status, issued_at DESC, id DESC);
DROP INDEX CONCURRENTLY IF EXISTS invoices_of_customer_by_status;
CREATE INDEX CONCURRENTLY invoices_of_customer_by_status ON invoices (customer_id, status, issued_at DESC, id DESC);

DROP INDEX CONCURRENTLY IF EXISTS invoices_newest;
DROP INDEX CONCURRENTLY IF EXISTS invoices_of_customer;
