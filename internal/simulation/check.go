package simulation

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
	"github.com/winaity/billing/internal/domain/numbering"
	"github.com/winaity/billing/internal/domain/version"
)

// waiting returns how many events wait to be published.
func (d *Database) waiting() (n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, r := range d.tables.outbox {
		if !r.published {
			n++
		}
	}
	return n
}

// findings collects the promises that were broken.
type findings []string

func (f *findings) add(format string, args ...any) { *f = append(*f, fmt.Sprintf(format, args...)) }

// check compares what there is with every promise.
func (w *world) check() (f findings) {
	committed := &w.db.tables
	changes := map[string]int{} // by "thing version"
	effects := map[string][]Thing{}
	for _, thing := range committed.things {
		for i, command := range thing.Changes {
			changes[fmt.Sprint(thing.ID, " ", i+1)] = 0
			effects[command] = append(effects[command], thing)
		}
	}
	for _, note := range committed.notes {
		changes[note.ID+" 1"] = 0
	}
	f.checkEvents(committed, changes)
	f.checkStream(committed, w.stream.Messages())
	f.checkNumbers(committed)
	f.checkEffects(committed, w.stream)
	for _, r := range w.commands {
		f.checkCommand(r, committed, effects[r.id])
	}
	return f
}

func envelope(m messaging.Message) messaging.Envelope {
	e, _ := messaging.Open(m.Subject, m.Payload) // the zero Envelope if it is none
	return e
}

// checkEvents: a change and its event are committed together.
func (f *findings) checkEvents(committed *tables, changes map[string]int) {
	for _, r := range committed.outbox {
		e := envelope(r.message)
		change := fmt.Sprint(e.AggregateID, " ", e.Version)
		if _, exists := changes[change]; !exists {
			f.add("event of %s, which is not committed", change)
		}
		changes[change]++
	}
	for change, events := range changes {
		if events != 1 {
			f.add("%s has %d events", change, events)
		}
	}
}

// checkStream: every committed event is in the stream, at first in order.
func (f *findings) checkStream(committed *tables, messages []messaging.Message) {
	recorded, seen, last := map[string]bool{}, map[string]bool{}, map[string]int{}
	for _, r := range committed.outbox {
		recorded[r.message.ID] = true
	}
	for _, m := range messages {
		if m.ID == "" || seen[m.ID] {
			continue
		}
		seen[m.ID] = true
		e := envelope(m)
		if !recorded[m.ID] {
			f.add("event %d of %s is in the stream and not committed", e.Version, e.AggregateID)
		}
		if e.Version != last[e.AggregateID]+1 {
			f.add("event %d of %s follows event %d", e.Version, e.AggregateID, last[e.AggregateID])
		}
		last[e.AggregateID] = e.Version
	}
	for id := range recorded {
		if !seen[id] {
			f.add("event %s is not in the stream", id)
		}
	}
}

// checkNumbers: numbers are gapless, unique, and in the order of their dates.
func (f *findings) checkNumbers(committed *tables) {
	series := map[numbering.Series][]numbering.Number{}
	for _, thing := range committed.things {
		series[thingSeries] = append(series[thingSeries], thing.Number)
	}
	for _, note := range committed.notes {
		series[noteSeries] = append(series[noteSeries], note.Number)
	}
	for name, numbers := range series {
		slices.SortFunc(numbers, func(a, b numbering.Number) int { return a.TakenAt.Compare(b.TakenAt) })
		last := numbering.Number{Series: name, TakenAt: time.Unix(0, 0)}
		for _, n := range numbers {
			ordinal := 1
			if n.TakenAt.Year() == last.TakenAt.Year() {
				ordinal = last.Ordinal + 1
			}
			if n.Ordinal != ordinal || !n.TakenAt.After(last.TakenAt) {
				f.add("%s of %v follows %s of %v", n, n.TakenAt, last, last.TakenAt)
			}
			last = n
		}
		if counted := committed.series[name]; len(numbers) > 0 && counted != last {
			f.add("the last number is %s, and %s was taken", last, counted)
		}
	}
}

// checkEffects: each delivered event has its effect once, or is a dead letter.
func (f *findings) checkEffects(committed *tables, stream *Stream) {
	notes, letters := map[string]int{}, map[string]Letter{}
	for _, n := range committed.notes {
		notes[n.EventID]++
	}
	for _, l := range stream.Letters() {
		letters[l.Message.ID] = l
	}
	for _, m := range stream.Messages() {
		if m.Subject != typeChanged {
			continue
		}
		var about data
		e := envelope(m)
		_ = json.Unmarshal(e.Data, &about) // what has no data has no trouble either
		letter, isDead := letters[m.ID]
		handled := e.ID != "" && about.Trouble == harmless
		switch n := notes[m.ID]; {
		case n > 1 || n > 0 && !handled:
			f.add("event %s with trouble %q had its effect %d times", m.ID, about.Trouble, n)
		case n == 0 && !isDead:
			f.add("event %s had no effect, and is no dead letter", m.ID)
		case handled && isDead && letter.Deliveries < maxDeliver:
			f.add("event %s was given up after %d deliveries: %s", m.ID, letter.Deliveries, letter.Reason)
		}
		delete(notes, m.ID)
	}
	for id := range notes {
		f.add("an effect of event %s, which is not in the stream", id)
	}
}

// checkCommand: what the client was told is what is committed.
func (f *findings) checkCommand(r *record, committed *tables, effects []Thing) {
	if len(effects) > 1 {
		f.add("command %s had its effect %d times", r.id, len(effects))
	}
	if r.inVain {
		f.add("the client of command %s was never told what became of it", r.id)
	}
	if len(r.answers) > 0 && len(effects) == 0 && r.kind != look {
		f.add("command %s was answered, and had no effect", r.id)
	}
	if len(r.answers) == 0 && len(effects) > 0 && (r.request.Keyed() || r.unknown == 0) {
		f.add("command %s was refused, and had its effect: %v", r.id, r.refusals)
	}
	if len(r.answers) > 0 && r.reuses {
		f.add("command %s was answered although its key is another's", r.id)
	}
	for _, a := range r.answers {
		if string(a.Body) != string(r.answers[0].Body) {
			f.add("command %s was answered with %s and with %s", r.id, r.answers[0].Body, a.Body)
		}
		var told result
		if err := json.Unmarshal(a.Body, &told); err != nil {
			f.add("command %s was answered with %s", r.id, a.Body)
			continue
		}
		thing := committed.things[told.Thing]
		isSo := thing.Number.String() == told.Number && told.Version <= thing.Version()
		if !isSo || r.kind != look && thing.Changes[told.Version-1] != r.id {
			f.add("command %s was answered with %s, but there is %+v", r.id, a.Body, thing)
		}
	}
	for _, err := range r.refusals {
		f.checkRefusal(r, err, committed.things[r.thing])
	}
}

// checkRefusal: a refusal speaks of what is committed.
func (f *findings) checkRefusal(r *record, err error, thing Thing) {
	kind := fault.KindOf(err)
	current := 0
	if e, ok := err.(*fault.Error); ok && e.Code == version.CodeMismatch { //nolint:errorlint // it has passed through unchanged
		current, _ = e.Details["currentVersion"].(int)
	}
	switch {
	case kind == fault.NotFound,
		strings.Contains(err.Error(), strings.TrimSuffix(errClosed.Message, ".")) && !thing.Closed,
		current > thing.Version():
		f.add("command %s was refused (%v), but there is %+v", r.id, err, thing)
	}
}
