package natsbus

import (
	"bytes"
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
		for sequence := uint64(1); ; {
			msg, err := l.get(ctx, DeadLetterStream, sequence, jetstream.WithGetMsgSubject(DeadLetterSubject))
			if fault.KindOf(err) == fault.NotFound {
				return
			}
			var letter Letter
			if err == nil {
				letter, err = l.read(ctx, msg)
			}
			if !yield(letter, err) || err != nil {
				return
			}
			sequence = msg.Sequence + 1
		}
	}
}

// Show returns one letter. There may be none: then the error is NotFound.
func (l *DeadLetters) Show(ctx context.Context, sequence uint64) (Letter, error) {
	msg, err := l.get(ctx, DeadLetterStream, sequence)
	if err != nil {
		return Letter{}, err
	}
	if msg.Subject != DeadLetterSubject {
		return Letter{}, fault.New(fault.NotFound, "letter-not-found", fmt.Sprintf("There is no dead letter %d.", sequence))
	}
	return l.read(ctx, msg)
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
		msg, err := l.get(ctx, letter.Stream, letter.Origin)
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
	if _, err := l.Show(ctx, sequence); err != nil {
		return err
	}
	stream, err := l.conn.js.Stream(ctx, DeadLetterStream)
	if err == nil {
		err = stream.DeleteMsg(ctx, sequence)
	}
	if err != nil {
		return classify(fmt.Sprintf("drop letter %d", sequence), err)
	}
	return nil
}

// read decodes a letter and looks up its mark.
func (l *DeadLetters) read(ctx context.Context, msg *jetstream.RawStreamMsg) (Letter, error) {
	letter, err := decode(msg)
	if err != nil {
		return Letter{}, err
	}
	stream, err := l.conn.js.Stream(ctx, DeadLetterStream)
	if err != nil {
		return Letter{}, classify("look up replays", err)
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
	if encoded := msg.Header.Get(headerPayload); encoded != "" {
		if letter.Payload, err = base64.StdEncoding.DecodeString(encoded); err != nil {
			return Letter{}, fmt.Errorf("decode letter %d: %w", msg.Sequence, err)
		}
	}
	var event struct{ ID, Type string }
	if json.Unmarshal(letter.Payload, &event) == nil {
		letter.EventID, letter.EventType = event.ID, event.Type
	}
	return letter, nil
}

// get returns a message of a stream, or the first from sequence on if an option
// names a subject. If there is none the error is NotFound.
func (l *DeadLetters) get(ctx context.Context, stream string, sequence uint64, opts ...jetstream.GetMsgOpt) (*jetstream.RawStreamMsg, error) {
	ctx, cancel := l.conn.whileConnected(ctx)
	defer cancel()
	action := fmt.Sprintf("get message %d of %s", sequence, stream)
	s, err := l.conn.js.Stream(ctx, stream)
	if err != nil {
		return nil, classify(action, errors.Join(err, context.Cause(ctx)))
	}
	msg, err := s.GetMsg(ctx, sequence, opts...)
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil, fault.Wrap(err, fault.NotFound, "message-not-found", fmt.Sprintf("Stream %s has no message %d.", stream, sequence))
	}
	if err != nil {
		return nil, classify(action, errors.Join(err, context.Cause(ctx)))
	}
	msg.Data = bytes.Clone(msg.Data)
	return msg, nil
}
