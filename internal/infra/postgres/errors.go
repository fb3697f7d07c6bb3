package postgres

import (
	"context"
	"crypto/tls"
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
	switch verdictOf(err) {
	case passes:
		return fault.Wrap(err, fault.Unavailable, "dependency-unavailable", "The database is not available right now.")
	case operators:
		message := "The database refuses the service until an operator changes something."
		if pg, ok := errors.AsType[*pgconn.PgError](err); ok && (pg.Code == statementUnknown || pg.Code == statementExists) {
			message = "A transaction pooler mixes up prepared statements: an operator has to add default_query_exec_mode=exec to the database's URL."
		}
		return fault.Wrap(err, fault.Unavailable, "dependency-unavailable", message)
	case callers:
		return fault.Wrap(err, fault.Invalid, fault.CodeValidation, "The database cannot hold a value of the request.")
	default:
		return err
	}
}

// IsRefusal reports whether err will not pass by itself: the password is wrong,
// the database or a right is missing, the server does not know an option. Only an
// operator can change that, so it is Unavailable while the service runs, and no
// reason to wait for when it starts.
func IsRefusal(err error) bool { return verdictOf(err) == operators }

// verdictOf says what an error means.
func verdictOf(err error) verdict {
	pg, isServers := errors.AsType[*pgconn.PgError](err)
	_, connecting := errors.AsType[*pgconn.ConnectError](err)
	switch {
	case isServers && connecting:
		return connectVerdict(pg)
	case isServers:
		return sqlState(pg.Code)
	case refusesUs(err):
		return operators
	case errors.Is(err, context.DeadlineExceeded), lostConnection(err):
		return passes
	default:
		return ours
	}
}

// connectVerdict is for what a server, or a pooler, says to who connects: nobody
// has sent it a statement yet, so what it does not like are the settings.
func connectVerdict(e *pgconn.PgError) verdict {
	if strings.Contains(e.Message, "startup parameter") { // PgBouncer, as a protocol violation
		return operators
	}
	if v := sqlState(e.Code); v == passes {
		return passes
	}
	return operators
}

// refusesUs reports whether the two cannot agree on how to talk.
func refusesUs(err error) bool {
	if _, untrusted := errors.AsType[*tls.CertificateVerificationError](err); untrusted || err == nil {
		return untrusted
	}
	text := err.Error() // the driver has no names for these
	return strings.Contains(text, "server refused TLS connection") || strings.Contains(text, "server protocol version too low")
}

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
		return pg.Code == serializationFailure || pg.Code == deadlock || strings.HasPrefix(pg.Code, "57P") || outdated(err)
	}
	return lostConnection(err) && !errors.Is(err, context.DeadlineExceeded)
}

// outdated reports whether err may be due to the connection alone, since it was
// made: its server is a stand-by by now, or a migration has changed what one of
// its prepared statements returns.
func outdated(err error) bool {
	pg, ok := errors.AsType[*pgconn.PgError](err)
	return ok && (pg.Code == readOnly || pg.Code == notSupported)
}
