package postgres

// verdict is what an error of the server deserves.
type verdict uint8

const (
	// ours is a bug or a broken promise: 500; a delivery is tried again, and then
	// is a dead letter.
	ours verdict = iota
	// passes by itself: 503; no delivery is used up.
	passes
	// operators have to act before it passes. While the service runs that is as
	// above, since a replay of all that came meanwhile helps nobody; at its start it
	// is told at once.
	operators
	// callers sent a value that cannot be kept: 422; a delivery is a dead letter.
	callers
)

const (
	serializationFailure = "40001"
	deadlock             = "40P01"
	lockNotAvailable     = "55P03"
	readOnly             = "25006"
	notSupported         = "0A000"
	statementUnknown     = "26000"
	statementExists      = "42P05"
)

// sqlState returns the verdict on an error code of PostgreSQL: its own, or that
// of its class, which are its first two characters.
func sqlState(code string) verdict {
	if v, ok := sqlStates[code]; ok {
		return v
	}
	return sqlStates[code[:min(2, len(code))]]
}

// sqlStates has all classes of
// https://www.postgresql.org/docs/current/errcodes-appendix.html, and those codes
// that are unlike their class.
var sqlStates = map[string]verdict{
	// Only a statement can cause these, and we wrote those. What a constraint
	// forbids, the domain has refused before.
	"00": ours, "01": ours, "02": ours, // success, warning, no data
	"03": ours, "09": ours, "0A": ours, "0B": ours, "0F": ours, "0L": ours, "0Z": ours, "10": ours,
	"20": ours, "21": ours, "22": ours, "23": ours, "24": ours, "25": ours, "26": ours, "27": ours,
	"2B": ours, "2D": ours, "2F": ours, "34": ours, "38": ours, "39": ours, "3B": ours,
	"42": ours, "44": ours, "54": ours, "HV": ours, "P0": ours,

	"08": passes, // connection exception
	"40": passes, // transaction rollback: still so after the retries
	"53": passes, // insufficient resources: disk, memory, connections
	"55": passes, // object not in prerequisite state: locked, in use, not accepting connections
	"57": passes, // operator intervention: cancelled, timed out, shut down, crashed, starting
	"58": passes, // system error: the server's disk
	"72": passes, // snapshot too old
	"F0": passes, // configuration file error

	"0P": operators, // invalid role
	"28": operators, // invalid authorization: the password, pg_hba.conf
	"3D": operators, // no such database
	"3F": operators, // no such schema
	"XX": operators, // internal error, corrupted data: no message is to blame

	// A stand-by refuses to begin a transaction that may write, and a migration
	// outdates prepared statements. Anything else that is not supported would have
	// shown in the first test.
	notSupported: passes,
	readOnly:     passes, // a primary that is being replaced
	"25P03":      passes, // idle in a transaction: this process was frozen
	"25P04":      passes, // transaction timeout

	// The encoding of the database cannot hold a text, or a type a value. For all
	// other data that does not fit, we are to blame: input was checked before.
	"22001": callers, // string too long
	"22003": callers, // number out of range
	"22007": callers, // invalid datetime
	"22008": callers, // datetime out of range
	"22021": callers, // character not in repertoire
	"22P05": callers, // untranslatable character

	// A transaction pooler hands out connections on which a statement was not
	// prepared, or another one of that name.
	statementUnknown: operators,
	statementExists:  operators,

	"40002": ours,      // a constraint, checked at the commit
	"42501": operators, // insufficient privilege
	"55P02": operators, // a parameter that cannot be changed now
	"55P04": ours,      // an enum value that is too new
}
