package main

import (
	"context"
	"fmt"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/infra/postgres"
)

// outbox shows the outbox and publishes it again.
func outbox(ctx context.Context, p program, args []string) error {
	if len(args) == 0 {
		return &usageError{"say what to do: status or republish"}
	}
	action, ok := map[string]func(context.Context, program, *postgres.Outbox, []string) error{
		"status":    outboxStatus,
		"republish": republish,
	}[args[0]]
	if !ok {
		return &usageError{fmt.Sprintf("unknown action %q", args[0])}
	}
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	db, err := postgres.Open(ctx, p.config.Database)
	if err != nil {
		return err
	}
	defer db.Close()
	return action(ctx, p, postgres.NewOutbox(db), args[1:])
}

func outboxStatus(ctx context.Context, p program, box *postgres.Outbox, args []string) error {
	flags, asJSON := newFlags("outbox status")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Sprintf("unexpected argument %q", flags.Arg(0))}
	}
	backlog, err := box.Backlog(ctx)
	if err != nil {
		return err
	}
	blocked, err := box.Blocked(ctx, maxBlocked)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(p.stdout, newStatusJSON(backlog, blocked))
	}
	fmt.Fprintf(p.stdout, "unpublished  %d\noldest       %s\nblocked      %d\n",
		backlog.Events, backlog.OldestAge.Round(time.Millisecond), backlog.Blocked)
	if len(blocked) == 0 {
		return nil
	}
	fmt.Fprintln(p.stdout)
	return printTable(p.stdout, []string{"SEQ", "EVENT", "TYPE", "AGGREGATE", "RECORDED", "ERROR"}, func(row func(...any)) {
		for _, b := range blocked {
			row(b.Seq, b.ID, b.Type, b.AggregateID, b.RecordedAt.Format(time.RFC3339), b.Error)
		}
	})
}

// republish makes the relay of a running service publish again what it published
// since a given time.
func republish(ctx context.Context, p program, box *postgres.Outbox, args []string) error {
	flags, asJSON := newFlags("outbox republish")
	from := flags.String("since", "", "a time like 2026-01-31T10:00:00Z, or how long ago, like 2h")
	dryRun := flags.Bool("dry-run", false, "only say how many events that would be")
	if err := parse(flags, args); err != nil {
		return err
	}
	now := time.Now()
	since, err := time.Parse(time.RFC3339, *from)
	if ago, agoErr := time.ParseDuration(*from); err != nil && agoErr == nil {
		since, err = now.Add(-ago), nil
	}
	if err != nil || flags.NArg() > 0 || since.After(now) {
		return &usageError{"--since takes a time like 2026-01-31T10:00:00Z, or how long ago, like 2h"}
	}
	count, err := box.CountPublished(ctx, since, now)
	verb := "would be published again"
	if err == nil && !*dryRun {
		var n int
		n, err = box.Republish(ctx, since, now)
		count, verb = int64(n), "will be published again"
	}
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(p.stdout, map[string]any{"since": since.UTC(), "events": count, "dryRun": *dryRun})
	}
	fmt.Fprintf(p.stdout, "%d events, published since %s, %s\n", count, since.UTC().Format(time.RFC3339), verb)
	return nil
}

// maxBlocked bounds how many blocked events are listed.
const maxBlocked = 100

// newStatusJSON returns what `outbox status --json` prints.
func newStatusJSON(backlog messaging.Backlog, blocked []postgres.BlockedEvent) any {
	type event struct {
		Seq         int64     `json:"seq"`
		EventID     string    `json:"eventId"`
		Type        string    `json:"type"`
		AggregateID string    `json:"aggregateId"`
		RecordedAt  time.Time `json:"recordedAt"`
		Error       string    `json:"error"`
	}
	events := make([]event, len(blocked))
	for i, b := range blocked {
		events[i] = event{b.Seq, b.ID, b.Type, b.AggregateID, b.RecordedAt, b.Error}
	}
	return struct {
		Unpublished      int64   `json:"unpublished"`
		OldestAgeSeconds float64 `json:"oldestAgeSeconds"`
		Blocked          int64   `json:"blocked"`
		BlockedEvents    []event `json:"blockedEvents"`
	}{backlog.Events, backlog.OldestAge.Seconds(), backlog.Blocked, events}
}
