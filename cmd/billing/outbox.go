package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"text/tabwriter"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/infra/postgres"
)

// outbox is the operator's view of the outbox.
func outbox(ctx context.Context, p program, args []string) error {
	if len(args) == 0 || args[0] != "status" {
		return &usageError{"say what to do: status"}
	}
	flags, asJSON := newFlags("outbox status")
	if err := parse(flags, args[1:]); err != nil {
		return err
	}
	pool, err := postgres.Open(ctx, p.config.DatabaseURL)
	if err != nil {
		return err
	}
	defer pool.Close()
	box := postgres.NewOutbox(pool)
	backlog, err := box.Backlog(ctx)
	if err != nil {
		return err
	}
	blocked, err := box.Blocked(ctx, maxBlocked)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(p.stdout, outboxStatus(backlog, blocked))
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

// maxBlocked bounds how many blocked events are listed.
const maxBlocked = 100

// outboxStatus is the JSON of `outbox status --json`.
func outboxStatus(backlog messaging.Backlog, blocked []postgres.BlockedEvent) any {
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

func printJSON(w io.Writer, v any) error {
	encoder := json.NewEncoder(w)
	encoder.SetEscapeHTML(false)
	encoder.SetIndent("", "  ")
	return encoder.Encode(v)
}

// printTable prints what body passes to row, in columns under the header.
func printTable(w io.Writer, header []string, body func(row func(...any))) error {
	table := tabwriter.NewWriter(w, 0, 0, 2, ' ', 0)
	row := func(cells ...any) {
		for i, cell := range cells {
			if i > 0 {
				fmt.Fprint(table, "\t")
			}
			fmt.Fprint(table, cell)
		}
		fmt.Fprintln(table)
	}
	cells := make([]any, len(header))
	for i, name := range header {
		cells[i] = name
	}
	row(cells...)
	body(row)
	return table.Flush()
}
