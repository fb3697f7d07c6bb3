package natsbus

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"log/slog"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/app/messaging"
)

// The header of a dead letter, besides the header of its message.
const (
	headerStream     = "Dead-Letter-Stream"     // where the message is from
	headerSequence   = "Dead-Letter-Sequence"   // its number there
	headerSubject    = "Dead-Letter-Subject"    // its subject
	headerMessageID  = "Dead-Letter-Message-Id" // its Nats-Msg-Id, if it has one
	headerDeliveries = "Dead-Letter-Deliveries" // how often it was delivered
	headerConsumer   = "Dead-Letter-Consumer"   // to whom
	// headerPayload has the payload in base64 if the letter's JSON does not
	// preserve its bytes.
	headerPayload = "Dead-Letter-Payload"
	// headerTruncated is "true" if the letter was too large: then it has only the
	// beginning of the payload, and nothing of the message's header.
	headerTruncated = "Dead-Letter-Truncated"
)

const (
	maxHeader    = 60_000 // bytes; the server takes 64 KiB
	maxReason    = 8 << 10
	headerPrefix = "Dead-Letter-"
)

// DeadLetters is a messaging.DeadLetters: a stream of its own. It is safe for
// concurrent use.
type DeadLetters struct {
	conn *Conn
	log  *slog.Logger
}

var _ messaging.DeadLetters = (*DeadLetters)(nil)

// NewDeadLetters returns the DeadLetters of the service.
func NewDeadLetters(conn *Conn, log *slog.Logger) *DeadLetters { return &DeadLetters{conn, log} }

// original is a message that could not be handled.
type original struct {
	stream     string
	sequence   uint64
	storedAt   time.Time
	subject    string
	header     nats.Header
	payload    []byte
	consumer   string
	deliveries uint64
}

// letterID is the Nats-Msg-Id of the letter for a message. It has the time
// because a stream that is deleted and created anew counts from 1 again.
func letterID(stream string, sequence uint64, storedAt time.Time) string {
	return fmt.Sprintf("dlq-%s-%d-%d", stream, sequence, storedAt.UnixNano())
}

// Park stores the letter with the message's payload and header. Parking a
// message again within a day stores nothing new.
func (l *DeadLetters) Park(ctx context.Context, d messaging.Delivery, reason error) error {
	own, ok := d.(*delivery)
	if !ok {
		return fmt.Errorf("park %T: %w", d, errForeignDelivery)
	}
	return l.park(ctx, original{
		stream:     own.meta.Stream,
		sequence:   own.meta.Sequence.Stream,
		storedAt:   own.meta.Timestamp,
		subject:    own.msg.Subject(),
		header:     own.msg.Headers(),
		payload:    own.msg.Data(),
		consumer:   own.meta.Consumer,
		deliveries: own.meta.NumDelivered,
	}, reason.Error())
}

func (l *DeadLetters) park(ctx context.Context, o original, reason string) error {
	reason = truncate(reason, maxReason)
	maxPayload := int(l.conn.nc.MaxPayload())
	msg, err := newLetter(o, reason)
	if err != nil {
		return err
	}
	headerSize := (&nats.Msg{Header: msg.Header}).Size()
	if headerSize > maxHeader || headerSize+len(msg.Data) > maxPayload {
		if msg, err = newTruncatedLetter(o, reason, maxPayload); err != nil {
			return err
		}
	}
	if err := l.publish(ctx, msg); err != nil {
		return l.conn.notPublished(fmt.Sprintf("park message %d of %s", o.sequence, o.stream), err)
	}
	return nil
}

func (l *DeadLetters) publish(ctx context.Context, msg *nats.Msg, opts ...jetstream.PublishOpt) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	ctx, done := l.conn.whileConnected(ctx)
	defer done()
	if _, err := l.conn.js.PublishMsg(ctx, msg, opts...); err != nil {
		return whyFailed(ctx, err)
	}
	return nil
}

func newLetter(o original, reason string) (*nats.Msg, error) {
	data, err := json.Marshal(messaging.NewDeadLetter(o.payload, reason, time.Now()))
	if err != nil {
		return nil, fmt.Errorf("encode dead letter: %w", err)
	}
	header := o.letterHeader()
	for name, values := range o.header {
		if !ownHeader(name) {
			header[name] = values
		}
	}
	if id := o.header.Get(jetstream.MsgIDHeader); id != "" {
		header.Set(headerMessageID, id)
	}
	var written messaging.DeadLetter
	if err := json.Unmarshal(data, &written); err != nil || !bytes.Equal(written.OriginalEvent, o.payload) {
		header.Set(headerPayload, base64.StdEncoding.EncodeToString(o.payload))
	}
	return &nats.Msg{Subject: DeadLetterSubject, Header: header, Data: data}, nil
}

func newTruncatedLetter(o original, reason string, maxPayload int) (*nats.Msg, error) {
	// A byte takes up to six in a JSON string.
	beginning := o.payload[:min(len(o.payload), maxPayload/8)]
	data, err := json.Marshal(messaging.NewDeadLetter(beginning, reason, time.Now()))
	if err != nil {
		return nil, fmt.Errorf("encode dead letter: %w", err)
	}
	header := o.letterHeader()
	header.Set(headerTruncated, "true")
	return &nats.Msg{Subject: DeadLetterSubject, Header: header, Data: data}, nil
}

func (o original) letterHeader() nats.Header {
	return nats.Header{
		jetstream.MsgIDHeader: {letterID(o.stream, o.sequence, o.storedAt)},
		headerStream:          {o.stream},
		headerSequence:        {strconv.FormatUint(o.sequence, 10)},
		headerSubject:         {o.subject},
		headerDeliveries:      {strconv.FormatUint(o.deliveries, 10)},
		headerConsumer:        {o.consumer},
	}
}

// ownHeader reports whether a header field says something of the message in its
// stream, or of the letter, and so is not passed on.
func ownHeader(name string) bool {
	return strings.HasPrefix(name, "Nats-") || strings.HasPrefix(name, headerPrefix)
}

// truncate returns at most limit bytes of s, whole characters.
func truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	for limit > 0 && !utf8.RuneStart(s[limit]) {
		limit--
	}
	return s[:limit]
}
