package main

import (
	"context"
	"fmt"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// dlq shows, replays and drops dead letters.
func dlq(ctx context.Context, p program, args []string) error {
	if len(args) == 0 {
		return &usageError{"say what to do: list, show, replay or drop"}
	}
	action, ok := map[string]func(context.Context, program, *natsbus.DeadLetters, []string) error{
		"list":   listLetters,
		"show":   showLetter,
		"replay": replayLetters,
		"drop":   dropLetters,
	}[args[0]]
	if !ok {
		return &usageError{fmt.Sprintf("unknown action %q", args[0])}
	}
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	bus, err := connect(ctx, p)
	if err != nil {
		return err
	}
	defer bus.Close()
	return action(ctx, p, natsbus.NewDeadLetters(bus, p.log), args[1:])
}

func listLetters(ctx context.Context, p program, letters *natsbus.DeadLetters, args []string) error {
	flags, asJSON := newFlags("dlq list")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() > 0 {
		return &usageError{fmt.Sprintf("unexpected argument %q", flags.Arg(0))}
	}
	list := []natsbus.Letter{}
	for letter, err := range letters.All(ctx) {
		if err != nil {
			return err
		}
		list = append(list, letter)
	}
	if *asJSON {
		shown := make([]letterJSON, len(list))
		for i, letter := range list {
			shown[i] = newLetterJSON(letter)
		}
		return printJSON(p.stdout, shown)
	}
	if len(list) == 0 {
		fmt.Fprintln(p.stdout, "there are no dead letters")
		return nil
	}
	return printTable(p.stdout, []string{"ID", "FAILED", "TYPE", "EVENT", "DELIVERIES", "REPLAYED", "ERROR"}, func(row func(...any)) {
		for _, l := range list {
			row(l.Sequence, l.FailedAt.UTC().Format(time.RFC3339), orDash(l.Subject), orDash(l.EventID), l.Deliveries, orDash(instant(l.ReplayedAt)), strings.SplitN(l.Error, "\n", 2)[0])
		}
	})
}

func showLetter(ctx context.Context, p program, letters *natsbus.DeadLetters, args []string) error {
	flags, asJSON := newFlags("dlq show")
	if err := parse(flags, args); err != nil {
		return err
	}
	if flags.NArg() != 1 {
		return &usageError{"say which letter: an id from `billing dlq list`"}
	}
	id, err := letterID(flags.Arg(0))
	if err != nil {
		return err
	}
	letter, err := letters.Show(ctx, id)
	if err != nil {
		return err
	}
	if *asJSON {
		return printJSON(p.stdout, newLetterJSON(letter))
	}
	fmt.Fprintf(p.stdout, "id          %d\nfailed      %s\nerror       %s\nsubject     %s\nevent       %s\norigin      %s, sequence %d\nconsumer    %s\ndeliveries  %d\nreplayed    %s\n\n",
		letter.Sequence, instant(letter.FailedAt), letter.Error, orDash(letter.Subject), orDash(letter.EventID),
		letter.Stream, letter.Origin, letter.Consumer, letter.Deliveries, orDash(instant(letter.ReplayedAt)))
	if !utf8.Valid(letter.Payload) {
		fmt.Fprintf(p.stdout, "%q\n", letter.Payload)
		return nil
	}
	fmt.Fprintf(p.stdout, "%s\n", letter.Payload)
	return nil
}

func replayLetters(ctx context.Context, p program, letters *natsbus.DeadLetters, args []string) error {
	pending := func(l natsbus.Letter) bool { return l.ReplayedAt.IsZero() }
	return eachLetter(ctx, p, letters, "replayed", args, pending, letters.Replay)
}

func dropLetters(ctx context.Context, p program, letters *natsbus.DeadLetters, args []string) error {
	whichever := func(natsbus.Letter) bool { return true }
	return eachLetter(ctx, p, letters, "dropped", args, whichever, letters.Drop)
}

// eachLetter does something to the letters that args select: by id, or all of
// those, or all of a type, that are eligible.
func eachLetter(ctx context.Context, p program, letters *natsbus.DeadLetters, done string, args []string, eligible func(natsbus.Letter) bool, do func(context.Context, uint64) error) error {
	flags, asJSON := newFlags("dlq")
	all := flags.Bool("all", false, "all letters; of those to replay, the ones that were not replayed yet")
	eventType := flags.String("type", "", "like --all, but only letters of this type of event")
	dryRun := flags.Bool("dry-run", false, "only say which letters that would be")
	if err := parse(flags, args); err != nil {
		return err
	}
	if (*all || *eventType != "") == (flags.NArg() > 0) {
		return &usageError{"say which letters: ids from `billing dlq list`, or --all, or --type"}
	}
	ids := []uint64{}
	for _, arg := range flags.Args() {
		id, err := letterID(arg)
		if err != nil {
			return err
		}
		if _, err := letters.Show(ctx, id); err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if flags.NArg() == 0 {
		for letter, err := range letters.All(ctx) {
			if err != nil {
				return err
			}
			if eligible(letter) && (*eventType == "" || letter.Subject == *eventType) {
				ids = append(ids, letter.Sequence)
			}
		}
	}
	if *dryRun {
		do, done = func(context.Context, uint64) error { return nil }, "would be "+done+":"
	}
	for _, id := range ids {
		if err := do(ctx, id); err != nil {
			return err
		}
		if !*asJSON {
			fmt.Fprintln(p.stdout, done, id)
		}
	}
	if *asJSON {
		return printJSON(p.stdout, map[string]any{"letters": ids, "dryRun": *dryRun})
	}
	return nil
}

// letterJSON is a dead letter in the output of --json.
type letterJSON struct {
	ID         uint64     `json:"id"`
	Subject    string     `json:"subject"`
	EventID    string     `json:"eventId,omitempty"`
	Error      string     `json:"error"`
	FailedAt   time.Time  `json:"failedAt"`
	Stream     string     `json:"stream"`
	Sequence   uint64     `json:"sequence"`
	Consumer   string     `json:"consumer"`
	Deliveries int        `json:"deliveries"`
	ReplayedAt *time.Time `json:"replayedAt,omitempty"`
	Payload    string     `json:"payload"`
}

func newLetterJSON(l natsbus.Letter) letterJSON {
	shown := letterJSON{
		ID: l.Sequence, Subject: l.Subject, EventID: l.EventID, Error: l.Error, FailedAt: l.FailedAt.UTC(),
		Stream: l.Stream, Sequence: l.Origin, Consumer: l.Consumer, Deliveries: l.Deliveries, Payload: string(l.Payload),
	}
	if !l.ReplayedAt.IsZero() {
		at := l.ReplayedAt.UTC()
		shown.ReplayedAt = &at
	}
	return shown
}

func letterID(arg string) (uint64, error) {
	id, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || id == 0 {
		return 0, &usageError{fmt.Sprintf("%q is no id of a letter", arg)}
	}
	return id, nil
}
