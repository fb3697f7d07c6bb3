package postgres

import (
	"context"
	"errors"
	"io"
	"net"
	"strings"

	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/puddle/v2"

	"github.com/winaity/billing/internal/domain/fault"
)

// classify gives an error of the database its kind. Errors that have one, and
// those that are not the database's, pass unchanged.
func classify(err error) error {
	if err == nil {
		return nil
	}
	if _, ok := errors.AsType[*fault.Error](err); ok {
		return err
	}
	if unavailable(err) {
		return fault.Wrap(err, fault.Unavailable, "dependency-unavailable", "The database is not available right now.")
	}
	return err
}

// unavailable reports whether the same call may succeed later, or on another
// server after a fail-over.
func unavailable(err error) bool {
	if errors.Is(err, context.DeadlineExceeded) || lostConnection(err) {
		return true
	}
	pg, ok := errors.AsType[*pgconn.PgError](err)
	if !ok {
		return false
	}
	// https://www.postgresql.org/docs/current/errcodes-appendix.html
	switch class := pg.Code[:2]; class {
	case "08", // connection exception
		"53": // insufficient resources
		return true
	}
	switch pg.Code {
	case "57P01", "57P02", "57P03", // shut down, crashed, starting
		"57P05",                        // idle session ended
		"25P03",                        // idle transaction ended
		"25006",                        // read only: a stand-by, or a primary being replaced
		"55P03",                        // lock not available in time
		serializationFailure, deadlock: // still so after the retries
		return true
	}
	return false
}

const (
	serializationFailure = "40001"
	deadlock             = "40P01"
)

// lostConnection reports whether the connection could not be made, or broke.
func lostConnection(err error) bool {
	if _, ok := errors.AsType[*pgconn.ConnectError](err); ok {
		return true
	}
	if _, ok := errors.AsType[net.Error](err); ok {
		return true
	}
	return pgconn.SafeToRetry(err) ||
		errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.Is(err, net.ErrClosed) ||
		errors.Is(err, puddle.ErrClosedPool)
}

// retryable reports whether a transaction that ended with err was certainly not
// committed, and may succeed if it is run again at once.
func retryable(err error) bool {
	if _, ok := errors.AsType[*commitError](err); ok {
		return false
	}
	if pg, ok := errors.AsType[*pgconn.PgError](err); ok {
		return pg.Code == serializationFailure || pg.Code == deadlock || strings.HasPrefix(pg.Code, "57P")
	}
	return lostConnection(err) && !errors.Is(err, context.DeadlineExceeded)
}
