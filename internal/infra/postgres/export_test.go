package postgres

import "github.com/jackc/pgx/v5/pgxpool"

// Pool is for tests that look at what a connection did.
func Pool(d *DB) *pgxpool.Pool { return d.pool }

// Waiting returns how many transactions wait for a group.
func (s *Store[T]) Waiting() int { return s.group.Waiting() }
