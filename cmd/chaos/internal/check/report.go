package check

import "fmt"

// Class is a kind of violation.
type Class string

// The classes.
const (
	Lost          Class = "lost"          // something was promised and is not there
	Doubled       Class = "doubled"       // something happened twice
	Reordered     Class = "reordered"     // an event overtook another of its aggregate
	Gap           Class = "gap"           // numbers are not gapless, unique and chronological
	Contradiction Class = "contradiction" // two accounts of the same fact differ
	Refused       Class = "refused"       // an answer that the contract does not know
	Stuck         Class = "stuck"         // something is still waiting
	DeadLetter    Class = "dead letter"   // a message was given up that should not have been
	Died          Class = "died"          // an instance ended, or did not, against orders
)

// Classes are all of them.
var Classes = []Class{Lost, Doubled, Reordered, Gap, Contradiction, Refused, Stuck, DeadLetter, Died}

// Violation is a promise that was not kept.
type Violation struct {
	Class  Class
	Detail string
}

// Report is the outcome of a check.
type Report struct {
	Commands     int
	Acknowledged int // commands that were answered with success
	TooLate      int // commands that were refused since another had settled the invoice
	Attempts     int
	Invoices     int
	Documents    int
	Events       int // in the outbox
	Messages     int // in the stream
	Duplicates   int // messages that repeat another, all of them explained
	Letters      int // dead letters, replayed

	Violations []Violation
}

// Violate adds a violation.
func (r *Report) Violate(class Class, format string, args ...any) {
	r.Violations = append(r.Violations, Violation{class, fmt.Sprintf(format, args...)})
}

// Count returns how many violations of a class there are.
func (r *Report) Count(class Class) int {
	n := 0
	for _, v := range r.Violations {
		if v.Class == class {
			n++
		}
	}
	return n
}
