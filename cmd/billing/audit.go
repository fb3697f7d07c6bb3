package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	natsbus "github.com/winaity/billing/internal/infra/nats"
	"github.com/winaity/billing/internal/infra/postgres"
)

// auditTimeout bounds an audit: it reads whole tables and a whole stream.
const auditTimeout = 10 * time.Minute

// errDifferences ends an audit that found something.
var errDifferences = errors.New("the audit found differences")

// finding is the outcome of one check of an audit.
type finding struct {
	Check       string   `json:"check"`
	Examined    string   `json:"examined,omitempty"`
	Differences []string `json:"differences"` // the first few
}

// audit compares the tables with themselves and with the stream.
func audit(ctx context.Context, p program, args []string) error {
	flags, asJSON := newFlags("audit")
	grace := flags.Duration("grace", time.Minute, "how long something may be under way before it counts as missing")
	limit := flags.Int("limit", 20, "how many differences of a kind to show")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 || *grace < 0 || *limit < 1 {
		return &usageError{"audit takes no arguments, a --grace of 0s or more and a --limit of 1 or more"}
	}
	ctx, cancel := context.WithTimeout(ctx, auditTimeout)
	defer cancel()
	db, err := postgres.Open(ctx, p.config.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	bus, err := connect(ctx, p)
	if err != nil {
		return err
	}
	defer bus.Close()

	a := auditor{tables: postgres.NewAudit(db), bus: bus, grace: *grace, limit: *limit}
	var findings []finding
	failed := false
	for _, check := range []func(context.Context) (finding, error){a.numbers, a.documents, a.unpublished, a.stream} {
		f, err := check(ctx)
		if err != nil {
			return err
		}
		findings = append(findings, f)
		failed = failed || len(f.Differences) > 0
	}
	if *asJSON {
		err = printJSON(p.stdout, findings)
	} else {
		printFindings(p, findings)
	}
	if err == nil && failed {
		err = errDifferences
	}
	return err
}

func printFindings(p program, findings []finding) {
	for _, f := range findings {
		verdict := "ok"
		if len(f.Differences) > 0 {
			verdict = "DIFFERS"
		}
		fmt.Fprintf(p.stdout, "%-8s %s", verdict, f.Check)
		if f.Examined != "" {
			fmt.Fprintf(p.stdout, " (%s)", f.Examined)
		}
		fmt.Fprintln(p.stdout)
		for _, d := range f.Differences {
			fmt.Fprintf(p.stdout, "         - %s\n", d)
		}
	}
}

// auditor has one method a check.
type auditor struct {
	tables *postgres.Audit
	bus    *natsbus.Conn
	grace  time.Duration
	limit  int
}

func (a auditor) numbers(ctx context.Context) (finding, error) {
	f := finding{Check: "numbers are gapless, unique and chronological", Differences: []string{}}
	found, err := a.tables.Numbers(ctx, a.limit)
	for _, m := range found {
		f.Differences = append(f.Differences, fmt.Sprintf("%s of %s is number %d of its series and year", m.Number, m.IssuedAt.Format(time.RFC3339Nano), m.Expected))
	}
	return f, err
}

func (a auditor) documents(ctx context.Context) (finding, error) {
	f := finding{Check: "every paid invoice has its receipt, every cancelled one its credit note", Differences: []string{}}
	found, err := a.tables.Documents(ctx, a.grace, a.limit)
	for _, u := range found {
		f.Differences = append(f.Differences, fmt.Sprintf("%s (%s) is %s and has the document: %s", u.Number, u.ID, u.Status, orDash(u.Document)))
	}
	return f, err
}

func (a auditor) unpublished(ctx context.Context) (finding, error) {
	f := finding{Check: "no event waits to be published", Differences: []string{}}
	found, err := a.tables.Stuck(ctx, a.grace, a.limit)
	for _, s := range found {
		f.Differences = append(f.Differences, fmt.Sprintf("%s %s of %s waits since %s: %s", s.ID, s.Type, s.AggregateID, s.RecordedAt.Format(time.RFC3339), orDash(s.Error)))
	}
	return f, err
}

// stream checks that the stream has what the outbox says was published, the
// events of each aggregate in order.
func (a auditor) stream(ctx context.Context) (finding, error) {
	f := finding{Check: "the stream has every published event, in order within an aggregate", Differences: []string{}}
	stored, err := a.bus.Stored(ctx)
	if err != nil {
		return f, err
	}
	examined, known := 0, 0
	last := map[string]uint64{} // aggregate → where its latest event is
	differs := func(format string, args ...any) {
		if len(f.Differences) < a.limit {
			f.Differences = append(f.Differences, fmt.Sprintf(format, args...))
		}
	}
	for e, err := range a.tables.Published(ctx) {
		if err != nil {
			return f, err
		}
		at, ok := stored.Sequences[e.ID]
		if ok {
			known++
		}
		// What was published while the stream was read may be missing from it.
		if e.PublishedAt.Before(stored.Since) || time.Since(e.PublishedAt) < a.grace {
			continue
		}
		examined++
		aggregate := e.AggregateType + "/" + e.AggregateID
		switch {
		case !ok:
			differs("%s %s of %s was published at %s and is not in the stream", e.ID, e.Type, e.AggregateID, e.PublishedAt.Format(time.RFC3339))
		case at < last[aggregate]:
			differs("%s %s of %s comes before an earlier event of its aggregate", e.ID, e.Type, e.AggregateID)
		default:
			last[aggregate] = at
		}
	}
	f.Examined = fmt.Sprintf("%d events compared; %d messages in the stream, %d of them not by id in the outbox, or twice", examined, stored.Messages, stored.Messages-known)
	return f, nil
}
