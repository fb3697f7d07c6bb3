package natsbus

import (
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/winaity/billing/internal/domain/fault"
)

// The server's error codes that the client has no names for.
const (
	codeMessageTooLarge     jetstream.ErrorCode = 10054
	codeSubjectsOverlap     jetstream.ErrorCode = 10065
	codeReplicasUnsupported jetstream.ErrorCode = 10074
	codeHeaderTooLarge      jetstream.ErrorCode = 10097
)

func unavailable(action string, err error) error {
	return fault.Wrap(fmt.Errorf("%s: %w", action, err), fault.Unavailable, "nats-unavailable", explain(err))
}

// explain returns the server's reason as a sentence.
func explain(err error) string {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		return "NATS refuses: " + api.Description + "."
	}
	switch {
	case errors.Is(err, nats.ErrPermissionViolation):
		_, reason, _ := strings.Cut(err.Error(), nats.ErrPermissionViolation.Error()+": ")
		return "NATS refuses: " + reason + "."
	case errors.Is(err, jetstream.ErrNoStreamResponse):
		return "No stream takes the subject."
	case errors.Is(err, nats.ErrNoResponders):
		return "JetStream is not available."
	default:
		return "NATS is not available."
	}
}

// classify gives an error of the client or the server a kind: Invalid for what
// can never succeed, NotFound for a stream or message that does not exist,
// Internal for any other refusal by the server, Unavailable for all else.
func classify(action string, err error) error {
	if api, ok := errors.AsType[*jetstream.APIError](err); ok {
		switch {
		case api.ErrorCode == codeMessageTooLarge, api.ErrorCode == codeHeaderTooLarge:
			return tooLarge(action, err)
		case api.Code == 404:
			return fault.Wrap(fmt.Errorf("%s: %w", action, err), fault.NotFound, "nats-not-found", "NATS has nothing of that name.")
		case api.Code == 503, api.Code == 429:
			return unavailable(action, err)
		default:
			return fault.Wrap(fmt.Errorf("%s: %w", action, err), fault.Internal, "nats-refused", "NATS refused the request.")
		}
	}
	switch {
	case errors.Is(err, nats.ErrMaxPayload):
		return tooLarge(action, err)
	case errors.Is(err, nats.ErrBadSubject):
		return fault.Wrap(fmt.Errorf("%s: %w", action, err), fault.Invalid, "bad-subject", "The subject is not valid.")
	}
	return unavailable(action, err)
}

func tooLarge(action string, err error) error {
	return fault.Wrap(fmt.Errorf("%s: %w", action, err), fault.Invalid, "message-too-large", "The message is larger than NATS takes.")
}
