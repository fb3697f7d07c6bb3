package main

import (
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"time"
)

// screen shows the demo to a person.
type screen struct {
	out   io.Writer
	color bool
}

type style string

const (
	bold  style = "1"
	dim   style = "2"
	red   style = "31"
	green style = "32"
	blue  style = "34"
	cyan  style = "36"
)

// in returns text in the style, padded to at least width columns.
func (s *screen) in(style style, width int, text string) string {
	text = fmt.Sprintf("%-*s", width, text)
	if !s.color {
		return text
	}
	return "\x1b[" + string(style) + "m" + text + "\x1b[0m"
}

func (s *screen) line(format string, args ...any) { fmt.Fprintf(s.out, format+"\n", args...) }

func (s *screen) header(url, state, server string) {
	s.line("%s", s.in(bold, 0, "billing: from a command to its effect, event by event"))
	s.line("")
	s.line("  service  %s (%s)", url, state)
	s.line("  events   %s, streams %s and %s", server, eventsStream, deadLetterStream)
	s.line("  times    from the command's answer; an event that is faster has a minus")
}

func (s *screen) scene(number int, title string) {
	s.line("\n%s\n", s.in(bold, 0, fmt.Sprintf("%d. %s", number, title)))
}

func (s *screen) command(path, body string, header http.Header, a answer, i invoice) {
	s.line("  %s %s", s.in(blue, 0, "POST "+path), body)
	for _, name := range slices.Sorted(maps.Keys(header)) {
		s.line("    %s: %s", name, header.Get(name))
	}
	s.line("    %s in %s: %s %s, %d.%02d %s, version %d", a.status, milliseconds(a.received.Sub(a.sent)),
		i.Number, i.Status, i.Amount/100, i.Amount%100, i.Currency, i.Version)
}

func (s *screen) event(e event, after time.Duration) {
	s.line("    %s %s %s", s.in(cyan, 28, e.Type), s.in(dim, 3, fmt.Sprintf("v%d", e.Version)), signed(after))
	s.detail("id", e.ID)
	s.detail("correlationId", e.CorrelationID)
	if e.CausationID != "" {
		s.detail("causationId", e.CausationID)
	}
}

func (s *screen) published(p publication, payload string) {
	s.line("  %s %s", s.in(blue, 0, "PUBLISH "+p.subject), payload)
	s.line("    message %d of %s", p.sequence, p.stream)
}

func (s *screen) letter(l deadLetter, after time.Duration) {
	s.line("    %s %s", s.in(red, 32, deadLetterSubject), signed(after))
	s.detail("error", l.Error)
	s.detail("originalEvent", string(l.OriginalEvent))
	s.detail("failedAt", l.FailedAt.Format(time.RFC3339Nano))
	s.detail("deliveries", l.header.Get("Dead-Letter-Deliveries")+" to "+l.header.Get("Dead-Letter-Consumer"))
}

func (s *screen) detail(name, value string) {
	s.line("      %s %s", s.in(dim, 13, name), value)
}

func (s *screen) success(format string, args ...any) {
	s.line("  %s %s", s.in(green, 0, "✓"), fmt.Sprintf(format, args...))
}

func (s *screen) end() {
	s.line("\n%s", s.in(green, 0, "All of it happened as it has to."))
}

func signed(d time.Duration) string {
	if d < 0 {
		return milliseconds(d)
	}
	return "+" + milliseconds(d)
}
