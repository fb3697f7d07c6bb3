package postgres

import (
	"errors"
	"fmt"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"

	"github.com/winaity/billing/internal/domain/fault"
)

// classes are those of https://www.postgresql.org/docs/18/errcodes-appendix.html.
var classes = []string{
	"00", "01", "02", "03", "08", "09", "0A", "0B", "0F", "0L", "0P", "0Z", "10", "20", "21", "22", "23", "24", "25", "26",
	"27", "28", "2B", "2D", "2F", "34", "38", "39", "3B", "3D", "3F", "40", "42", "44", "53", "54", "55", "57", "58", "72",
	"F0", "HV", "P0", "XX",
}

func TestEveryClassHasAVerdict(t *testing.T) {
	for _, class := range classes {
		if _, ok := sqlStates[class]; !ok {
			t.Errorf("class %s has none", class)
		}
	}
}

func TestWhatAnErrorOfTheServerMeans(t *testing.T) {
	statement := func(code string) error { return fmt.Errorf("run: %w", &pgconn.PgError{Code: code}) }
	for code, want := range map[string]verdict{
		"57014": passes,    // statement timeout, or cancelled by hand
		"57P04": passes,    // the database was dropped
		"53100": passes,    // disk full
		"53300": passes,    // too many connections
		"55P03": passes,    // lock not available
		"55006": passes,    // object in use
		"40001": passes,    // serialization failure
		"25006": passes,    // read-only
		"25P03": passes,    // idle in transaction
		"0A000": passes,    // a stand-by, or an outdated statement
		"58030": passes,    // I/O error
		"28P01": operators, // password
		"28000": operators, // pg_hba.conf
		"3D000": operators, // no such database
		"42501": operators, // no right
		"42P05": operators, // a pooler
		"26000": operators,
		"XX001": operators, // data corrupted
		"22021": callers,   // a character that the encoding has not
		"22003": callers,   // out of range
		"22P02": ours,      // text representation
		"22012": ours,      // division by zero
		"23505": ours,      // unique
		"23514": ours,      // check
		"42P01": ours,      // no such table
		"42601": ours,      // syntax
		"25P02": ours,      // in a failed transaction
		"P0001": ours,      // raised by a trigger
		"ZZ999": ours,      // unknown
	} {
		if got := verdictOf(statement(code)); got != want {
			t.Errorf("%s: got verdict %d, want %d", code, got, want)
		}
	}
	for v, want := range map[verdict]fault.Kind{ours: fault.Internal, passes: fault.Unavailable, operators: fault.Unavailable, callers: fault.Invalid} {
		for code, of := range sqlStates {
			if of != v {
				continue
			}
			if got := fault.KindOf(classify(statement(code))); got != want {
				t.Errorf("%s: got kind %s, want %s", code, got, want)
			}
		}
	}
	if !errors.Is(classify(errNotTheServers), errNotTheServers) || fault.KindOf(classify(errNotTheServers)) != fault.Internal {
		t.Error("an error that is not the server's was changed")
	}
}

var errNotTheServers = errors.New("something else")
