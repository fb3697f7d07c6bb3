package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	natsbus "github.com/winaity/billing/internal/infra/nats"
)

// dlq shows and replays dead letters.
func dlq(ctx context.Context, p program, args []string) error {
	if len(args) == 0 {
		return &usageError{"say what to do: list, show or replay"}
	}
	action, ok := map[string]func(context.Context, program, *natsbus.DeadLetters, []string) error{
		"list":   listLetters,
		"show":   showLetter,
		"replay": replayLetters,
	}[args[0]]
	if !ok {
		return &usageError{fmt.Sprintf("unknown action %q", args[0])}
	}
	ctx, cancel := context.WithTimeout(ctx, operatorTimeout)
	defer cancel()
	connected := make(chan struct{}, 1)
	bus, err := natsbus.Connect(p.config.NATSURL, "billing dlq", slog.New(slog.DiscardHandler), func() {
		select {
		case connected <- struct{}{}:
		default:
		}
	})
	if err != nil {
		return err
	}
	defer bus.Close()
	select {
	case <-connected:
	case <-ctx.Done():
		return errors.Join(fmt.Errorf("cannot reach NATS at %s", redact(p.config.NATSURL)), ctx.Err())
	}
	return action(ctx, p, natsbus.NewDeadLetters(bus, p.log), args[1:])
}

// operatorTimeout bounds an operator's command.
const operatorTimeout = time.Minute

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
	flags, asJSON := newFlags("dlq replay")
	all := flags.Bool("all", false, "replay every letter that was not replayed yet")
	if err := parse(flags, args); err != nil {
		return err
	}
	if *all == (flags.NArg() > 0) {
		return &usageError{"say which letters: ids from `billing dlq list`, or --all"}
	}
	ids := []uint64{}
	for _, arg := range flags.Args() {
		id, err := letterID(arg)
		if err != nil {
			return err
		}
		ids = append(ids, id)
	}
	if *all {
		for letter, err := range letters.All(ctx) {
			if err != nil {
				return err
			}
			if letter.ReplayedAt.IsZero() {
				ids = append(ids, letter.Sequence)
			}
		}
	}
	for _, id := range ids {
		if err := letters.Replay(ctx, id); err != nil {
			return err
		}
		if !*asJSON {
			fmt.Fprintf(p.stdout, "replayed %d\n", id)
		}
	}
	if *asJSON {
		return printJSON(p.stdout, map[string]any{"replayed": ids})
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

func instant(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format(time.RFC3339)
}

func orDash(s string) string {
	if s == "" {
		return "-"
	}
	return s
}
