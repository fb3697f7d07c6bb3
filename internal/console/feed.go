package console

import (
	"bytes"
	"encoding/json"
	"maps"
	"slices"
	"sync"

	"github.com/winaity/billing/internal/app/messaging"
)

// maxReaders bounds the open streams.
const maxReaders = 32

// feed holds what the page is to show, encoded once for all who read it. A reader
// that is slow misses states that were overtaken, and nothing piles up for it.
type feed struct {
	refresh messaging.Signal // wakes the watch
	ended   chan struct{}

	mu        sync.Mutex
	readers   map[*reader]struct{}
	state     frame
	timelines map[string]frame // by invoice id; of those that somebody looks at
	samples   []frame          // the last ones, oldest first
}

// frame is an event for the page.
type frame struct {
	revision uint64 // counts the different ones, from 1
	data     []byte // JSON
}

// reader is an open stream. What it has seen belongs to its goroutine.
type reader struct {
	invoice string // whose timeline it shows; empty if none
	wake    messaging.Signal

	seenState, seenTimeline, seenSample uint64
}

func newFeed() *feed {
	return &feed{
		refresh:   messaging.NewSignal(),
		ended:     make(chan struct{}),
		readers:   make(map[*reader]struct{}),
		timelines: make(map[string]frame),
	}
}

// join adds a reader; ok is false if there are too many.
func (f *feed) join(invoice string) (r *reader, ok bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if len(f.readers) >= maxReaders {
		return nil, false
	}
	r = &reader{invoice: invoice, wake: messaging.NewSignal()}
	f.readers[r] = struct{}{}
	f.refresh.Notify()
	return r, true
}

// leave forgets the reader, and what nobody else looks at: it would be old when
// somebody looks again.
func (f *feed) leave(r *reader) {
	f.mu.Lock()
	defer f.mu.Unlock()
	delete(f.readers, r)
	if len(f.readers) == 0 {
		f.state.data = nil
	}
	if !slices.Contains(f.wantedLocked(), r.invoice) {
		delete(f.timelines, r.invoice)
	}
}

// end ends all streams, those to come too. It may be called again.
func (f *feed) end() {
	f.mu.Lock()
	defer f.mu.Unlock()
	select {
	case <-f.ended:
	default:
		close(f.ended)
	}
}

// wanted returns whose timelines are looked at; watched is false if nobody looks
// at anything.
func (f *feed) wanted() (invoices []string, watched bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.wantedLocked(), len(f.readers) > 0
}

func (f *feed) wantedLocked() []string {
	distinct := make(map[string]struct{}, len(f.readers))
	for r := range f.readers {
		if r.invoice != "" {
			distinct[r.invoice] = struct{}{}
		}
	}
	return slices.Sorted(maps.Keys(distinct))
}

func (f *feed) setState(s state) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state.set(s) {
		f.wakeLocked()
	}
}

func (f *feed) setTimeline(invoice string, t timeline) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if !slices.Contains(f.wantedLocked(), invoice) {
		return // its reader left meanwhile
	}
	latest := f.timelines[invoice]
	if latest.set(t) {
		f.timelines[invoice] = latest
		f.wakeLocked()
	}
}

func (f *feed) addSample(s sample) {
	f.mu.Lock()
	defer f.mu.Unlock()
	latest := frame{}
	if len(f.samples) > 0 {
		latest.revision = f.samples[len(f.samples)-1].revision
	}
	latest.set(s)
	if len(f.samples) == keptSamples {
		f.samples = f.samples[1:]
	}
	f.samples = append(f.samples, latest)
	f.wakeLocked()
}

func (f *feed) wakeLocked() {
	for r := range f.readers {
		r.wake.Notify()
	}
}

// set encodes v and reports whether it differs from what is there.
func (f *frame) set(v any) bool {
	data, err := json.Marshal(v)
	if err != nil {
		panic(err) // there is nothing in our types that cannot be encoded
	}
	if bytes.Equal(data, f.data) {
		return false
	}
	f.revision++
	f.data = data
	return true
}

// news returns what the reader has not seen, as server-sent events.
func (f *feed) news(r *reader) []byte {
	f.mu.Lock()
	defer f.mu.Unlock()
	var out bytes.Buffer
	f.writeSamples(&out, r)
	if f.state.data != nil && f.state.revision != r.seenState {
		r.seenState = f.state.revision
		writeEvent(&out, "state", f.state.data)
	}
	if latest := f.timelines[r.invoice]; latest.revision != r.seenTimeline && latest.data != nil {
		r.seenTimeline = latest.revision
		writeEvent(&out, "timeline", latest.data)
	}
	return out.Bytes()
}

// writeSamples writes all samples to a reader that is new, and single ones later.
func (f *feed) writeSamples(out *bytes.Buffer, r *reader) {
	fresh := slices.DeleteFunc(slices.Clone(f.samples), func(s frame) bool { return s.revision <= r.seenSample })
	if len(fresh) == 0 {
		return
	}
	if r.seenSample > 0 {
		for _, s := range fresh {
			writeEvent(out, "sample", s.data)
		}
	} else {
		all := make([][]byte, len(fresh))
		for i, s := range fresh {
			all[i] = s.data
		}
		writeEvent(out, "samples", slices.Concat([]byte("["), bytes.Join(all, []byte(",")), []byte("]")))
	}
	r.seenSample = fresh[len(fresh)-1].revision
}

// writeEvent writes one event of the format text/event-stream (WHATWG HTML,
// 9.2.5). JSON has no line breaks that are not escaped.
func writeEvent(out *bytes.Buffer, name string, data []byte) {
	out.WriteString("event: " + name + "\ndata: ")
	out.Write(data)
	out.WriteString("\n\n")
}
