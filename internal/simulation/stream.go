package simulation

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// Stream is a stream of messages in memory, with one durable consumer, and the
// stream of its dead letters. It is safe for concurrent use.
type Stream struct {
	options StreamOptions

	mu       sync.Mutex
	away     bool
	messages []stored
	ids      map[string]time.Time // when a message of that id was stored last
	next     int                  // the first message that was never delivered
	open     map[int]*unanswered  // messages that were delivered, by their place
	letters  map[int]Letter       // by the place of their message
	changed  chan struct{}        // closed when there may be something to deliver
}

// StreamOptions are the settings of a Stream; all are required.
type StreamOptions struct {
	Window     time.Duration   // within which it recognises a message by its id
	Subjects   map[string]bool // that the consumer wants
	AckWait    time.Duration
	MaxDeliver int
	MaxPayload int
}

type stored struct {
	messaging.Message
	at time.Time
}

// unanswered is a message that comes again when it is due.
type unanswered struct {
	deliveries int
	due        time.Time
}

// Letter is a dead letter.
type Letter struct {
	Message    messaging.Message
	Reason     string
	Deliveries int
}

// NewStream returns an empty Stream.
func NewStream(o StreamOptions) *Stream {
	return &Stream{
		options: o,
		ids:     map[string]time.Time{},
		open:    map[int]*unanswered{},
		letters: map[int]Letter{},
		changed: make(chan struct{}),
	}
}

// SetAway takes the stream away, or brings it back.
func (s *Stream) SetAway(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
	s.notify()
}

// Put stores a message of any payload, without an id.
func (s *Stream) Put(subject, payload string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(messaging.Message{Subject: subject, Payload: []byte(payload)})
}

// Letters returns the dead letters.
func (s *Stream) Letters() []Letter {
	s.mu.Lock()
	defer s.mu.Unlock()
	letters := make([]Letter, 0, len(s.letters))
	for _, l := range s.letters {
		letters = append(letters, l)
	}
	return letters
}

// Messages returns what is stored, in order.
func (s *Stream) Messages() []messaging.Message {
	s.mu.Lock()
	defer s.mu.Unlock()
	messages := make([]messaging.Message, len(s.messages))
	for i, m := range s.messages {
		messages[i] = m.Message
	}
	return messages
}

// Lag returns how many messages the consumer has not got, and not answered.
func (s *Stream) Lag() messaging.Lag {
	s.mu.Lock()
	defer s.mu.Unlock()
	lag := messaging.Lag{AckPending: len(s.open)}
	for _, m := range s.messages[s.next:] {
		if s.options.Subjects[m.Subject] {
			lag.Pending++
		}
	}
	return lag
}

func (s *Stream) serve(request func() error) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errConnection
	}
	return request()
}

func (s *Stream) notify() {
	close(s.changed)
	s.changed = make(chan struct{})
}

// has reports whether a message of the id was stored within the window.
func (s *Stream) has(id string) bool {
	at, ok := s.ids[id]
	return ok && id != "" && time.Since(at) < s.options.Window
}

func (s *Stream) store(m messaging.Message) {
	now := time.Now()
	s.messages, s.ids[m.ID] = append(s.messages, stored{m, now}), now
	s.notify()
}

// Publisher is a messaging.Publisher: a Stream as a process reaches it.
type Publisher struct {
	stream  *Stream
	process *Process
	timeout time.Duration
}

var _ messaging.Publisher = (*Publisher)(nil)

// Publisher returns the stream as the process reaches it, which waits so long for
// its acknowledgement.
func (s *Stream) Publisher(p *Process, timeout time.Duration) *Publisher {
	return &Publisher{s, p, timeout}
}

var errRefused = fault.New(fault.Invalid, "refused", "The stream does not take the message.")

// Publish implements messaging.Publisher.
func (p *Publisher) Publish(ctx context.Context, messages []messaging.Message) []error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	outcomes := make([]error, len(messages))
	var publishing sync.WaitGroup
	for i, m := range messages {
		publishing.Go(func() {
			outcomes[i] = unavailable(p.process.call(ctx, "publish", func(f fate) error {
				return p.stream.serve(func() error {
					switch {
					case f.refused || len(m.Payload) > p.stream.options.MaxPayload:
						return errRefused
					case !p.stream.has(m.ID):
						p.stream.store(m)
					}
					return nil
				})
			}))
		})
	}
	publishing.Wait()
	return outcomes
}

// PublishAtomically implements messaging.Publisher.
func (p *Publisher) PublishAtomically(ctx context.Context, messages []messaging.Message) error {
	if len(messages) > messaging.MaxBatch {
		return fmt.Errorf("%w: too many messages", messaging.ErrBatchRejected)
	}
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	err := p.process.call(ctx, "publish atomically", func(f fate) error {
		return p.stream.serve(func() error { return p.stream.storeAll(messages, f.refused) })
	})
	if errors.Is(err, messaging.ErrBatchRejected) {
		return err
	}
	return unavailable(err)
}

func (s *Stream) storeAll(messages []messaging.Message, refused bool) error {
	seen := map[string]bool{}
	for _, m := range messages {
		if refused || seen[m.ID] || s.has(m.ID) || len(m.Payload) > s.options.MaxPayload {
			return messaging.ErrBatchRejected
		}
		seen[m.ID] = true
	}
	for _, m := range messages {
		s.store(m)
	}
	return nil
}
