package natsbus

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// Letter is a dead letter as an operator sees it.
type Letter struct {
	Sequence   uint64 // names the letter
	Subject    string // of the message, as all that follows
	EventID    string // empty if the message is no event
	EventType  string
	Stream     string
	Origin     uint64 // its sequence in Stream
	Consumer   string
	Deliveries int
	Error      string
	FailedAt   time.Time
	ReplayedAt time.Time // zero if it never was
	Payload    []byte    // only the beginning if Truncated
	Truncated  bool      // the letter could not hold the message; Replay needs it in Stream
	header     nats.Header
	id         string
}

// All returns the letters, oldest first. It ends with the first error.
func (l *DeadLetters) All(ctx context.Context) iter.Seq2[Letter, error] {
	return func(yield func(Letter, error) bool) {
		stream, err := l.stream(ctx, DeadLetterStream)
		if err != nil {
			yield(Letter{}, err)
			return
		}
		for next := uint64(1); ; {
			msg, err := stream.GetMsg(ctx, next, jetstream.WithGetMsgSubject(DeadLetterSubject))
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				return
			}
			if err != nil {
				yield(Letter{}, classify("list letters", err))
				return
			}
			letter, err := read(ctx, stream, msg)
			if !yield(letter, err) || err != nil {
				return
			}
			next = msg.Sequence + 1
		}
	}
}

// Show returns one letter. There may be none: then the error is NotFound.
func (l *DeadLetters) Show(ctx context.Context, sequence uint64) (Letter, error) {
	stream, err := l.stream(ctx, DeadLetterStream)
	if err != nil {
		return Letter{}, err
	}
	return show(ctx, stream, sequence)
}

func show(ctx context.Context, stream jetstream.Stream, sequence uint64) (Letter, error) {
	msg, err := stream.GetMsg(ctx, sequence)
	if errors.Is(err, jetstream.ErrMsgNotFound) || err == nil && msg.Subject != DeadLetterSubject {
		return Letter{}, fault.New(fault.NotFound, "letter-not-found", fmt.Sprintf("There is no dead letter %d.", sequence))
	}
	if err != nil {
		return Letter{}, classify(fmt.Sprintf("get letter %d", sequence), err)
	}
	return read(ctx, stream, msg)
}

// Replay publishes the letter's message again, byte for byte and on its old
// subject, and marks the letter as replayed. It has a new id for the stream, but
// whoever had its effect before recognises it by its content.
func (l *DeadLetters) Replay(ctx context.Context, sequence uint64) error {
	letter, err := l.Show(ctx, sequence)
	if err != nil {
		return err
	}
	header, payload := letter.header, letter.Payload
	if letter.Truncated {
		msg, err := l.message(ctx, letter.Stream, letter.Origin)
		if err != nil {
			return err
		}
		if letterID(letter.Stream, msg.Sequence, msg.Time) != letter.id {
			return fault.New(fault.NotFound, "message-not-found",
				fmt.Sprintf("The letter has only a part of its message, and stream %s was created anew since.", letter.Stream))
		}
		header, payload = msg.Header, msg.Data
	}
	again := nats.Header{jetstream.MsgIDHeader: {messaging.NewID("replay_")}}
	for name, values := range header {
		if !ownHeader(name) {
			again[name] = values
		}
	}
	err = l.publish(ctx, &nats.Msg{Subject: letter.Subject, Header: again, Data: payload}, jetstream.WithExpectStream(letter.Stream))
	if err != nil {
		return classify(fmt.Sprintf("replay letter %d", sequence), err)
	}
	mark := &nats.Msg{Subject: replayedSubject + strconv.FormatUint(sequence, 10)}
	if err := l.publish(ctx, mark); err != nil {
		return classify(fmt.Sprintf("letter %d was replayed, but not marked", sequence), err)
	}
	return nil
}

// Drop deletes the letter.
func (l *DeadLetters) Drop(ctx context.Context, sequence uint64) error {
	stream, err := l.stream(ctx, DeadLetterStream)
	if err != nil {
		return err
	}
	if _, err := show(ctx, stream, sequence); err != nil {
		return err
	}
	if err := stream.DeleteMsg(ctx, sequence); err != nil {
		return classify(fmt.Sprintf("drop letter %d", sequence), err)
	}
	return nil
}

// read decodes a letter and looks up its mark.
func read(ctx context.Context, stream jetstream.Stream, msg *jetstream.RawStreamMsg) (Letter, error) {
	letter, err := decode(msg)
	if err != nil {
		return Letter{}, err
	}
	mark, err := stream.GetLastMsgForSubject(ctx, replayedSubject+strconv.FormatUint(msg.Sequence, 10))
	switch {
	case err == nil:
		letter.ReplayedAt = mark.Time
	case !errors.Is(err, jetstream.ErrMsgNotFound):
		return Letter{}, classify("look up replays", err)
	}
	return letter, nil
}

func decode(msg *jetstream.RawStreamMsg) (Letter, error) {
	var content messaging.DeadLetter
	if err := json.Unmarshal(msg.Data, &content); err != nil {
		return Letter{}, fmt.Errorf("decode letter %d: %w", msg.Sequence, err)
	}
	letter := Letter{
		Sequence:  msg.Sequence,
		Subject:   msg.Header.Get(headerSubject),
		Stream:    msg.Header.Get(headerStream),
		Consumer:  msg.Header.Get(headerConsumer),
		Error:     content.Error,
		FailedAt:  content.FailedAt,
		Payload:   content.OriginalEvent,
		Truncated: msg.Header.Get(headerTruncated) == "true",
		header:    msg.Header,
		id:        msg.Header.Get(jetstream.MsgIDHeader),
	}
	var err error
	if letter.Origin, err = strconv.ParseUint(msg.Header.Get(headerSequence), 10, 64); err != nil {
		return Letter{}, fmt.Errorf("decode letter %d: %w", msg.Sequence, err)
	}
	if letter.Deliveries, err = strconv.Atoi(msg.Header.Get(headerDeliveries)); err != nil {
		return Letter{}, fmt.Errorf("decode letter %d: %w", msg.Sequence, err)
	}
	if encoded, ok := msg.Header[headerPayload]; ok { // also for a payload of no bytes
		if letter.Payload, err = base64.StdEncoding.DecodeString(encoded[0]); err != nil {
			return Letter{}, fmt.Errorf("decode letter %d: %w", msg.Sequence, err)
		}
	}
	var event struct {
		ID   string `json:"id"`
		Type string `json:"type"`
	}
	if json.Unmarshal(letter.Payload, &event) == nil {
		letter.EventID, letter.EventType = event.ID, event.Type
	}
	return letter, nil
}

func (l *DeadLetters) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := l.conn.whileConnected(ctx)
	defer cancel()
	stream, err := l.conn.js.Stream(ctx, name)
	if err != nil {
		return nil, classify("look up stream "+name, whyFailed(ctx, err))
	}
	return stream, nil
}

// message returns a message by its sequence. If there is none, or no such
// stream, the error is NotFound.
func (l *DeadLetters) message(ctx context.Context, name string, sequence uint64) (*jetstream.RawStreamMsg, error) {
	stream, err := l.stream(ctx, name)
	if err != nil {
		return nil, err
	}
	msg, err := stream.GetMsg(ctx, sequence)
	if err != nil {
		return nil, classify(fmt.Sprintf("get message %d of %s", sequence, name), err)
	}
	return msg, nil
}
