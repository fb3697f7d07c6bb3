package natsbus

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// setting compares one setting of a stream or consumer that exists with what it
// has to be.
type setting struct {
	name       string // as the nats command line and the server call it
	have, want string
	// adapt makes it right in the configuration at hand. It is nil if no program
	// may do that: it would lose messages, or the server does not allow it.
	adapt func()
}

func streamSettings(have *jetstream.StreamConfig, want jetstream.StreamConfig) []setting {
	settings := []setting{
		exactly("subjects", list(have.Subjects), list(want.Subjects)),
		exactly("storage", have.Storage.String(), want.Storage.String()),
		exactly("retention", have.Retention.String(), want.Retention.String()),
		exactly("discard", have.Discard.String(), want.Discard.String()),
		exactly("no_ack", strconv.FormatBool(have.NoAck), strconv.FormatBool(want.NoAck)),
		exactly("sealed", strconv.FormatBool(have.Sealed), strconv.FormatBool(want.Sealed)),
		atLeast("max_msgs", &have.MaxMsgs, want.MaxMsgs),
		atLeast("max_age", &have.MaxAge, want.MaxAge),
		atLeast("duplicate_window", &have.Duplicates, want.Duplicates),
		atLeast("num_replicas", &have.Replicas, want.Replicas),
	}
	if want.AllowAtomicPublish {
		settings = append(settings, adaptable("allow_atomic", &have.AllowAtomicPublish, true))
	}
	return settings
}

func consumerSettings(have *jetstream.ConsumerConfig, want jetstream.ConsumerConfig) []setting {
	filters := have.FilterSubjects
	if have.FilterSubject != "" {
		filters = []string{have.FilterSubject}
	}
	return []setting{
		exactly("ack_policy", have.AckPolicy.String(), want.AckPolicy.String()),
		exactly("deliver_policy", have.DeliverPolicy.String(), want.DeliverPolicy.String()),
		{"filter_subjects", list(filters), list(want.FilterSubjects), func() {
			have.FilterSubject, have.FilterSubjects = "", want.FilterSubjects
		}},
		{"backoff", fmt.Sprint(have.BackOff), fmt.Sprint(want.BackOff), func() { have.BackOff = want.BackOff }},
		adaptable("max_deliver", &have.MaxDeliver, want.MaxDeliver),
		adaptable("ack_wait", &have.AckWait, want.AckWait),
	}
}

// exactly is a setting that must not be changed behind an operator's back.
func exactly(name, have, want string) setting { return setting{name, have, want, nil} }

// adaptable is a setting that is this service's alone.
func adaptable[T comparable](name string, have *T, want T) setting {
	return setting{name, fmt.Sprint(*have), fmt.Sprint(want), func() { *have = want }}
}

// atLeast is a limit that may be higher, or absent, which the server tells by 0
// or −1. A want of 0 stands for whatever there is.
func atLeast[T int | int64 | time.Duration](name string, have *T, want T) setting {
	if *have <= 0 || *have >= want {
		want = *have
	}
	return adaptable(name, have, want)
}

// reconcile adapts the settings that differ and says how. If one of them cannot
// be adapted it returns a Conflict that names all of those.
func reconcile(what, name string, settings []setting) (changes []string, err error) {
	var contradictions []string
	for _, s := range settings {
		switch {
		case s.have == s.want:
		case s.adapt == nil:
			contradictions = append(contradictions, fmt.Sprintf("%s is %s, not %s", s.name, s.have, s.want))
		default:
			s.adapt()
			changes = append(changes, fmt.Sprintf("%s %s → %s", s.name, s.have, s.want))
		}
	}
	if len(contradictions) > 0 {
		return nil, conflict(nil, "The existing %s %s has other settings: %s. Change it with \"nats %s edit %s\", or, if nothing in it is needed, delete it with \"nats %s rm %s\" and it is created anew.",
			what, name, strings.Join(contradictions, "; "), what, name, what, name)
	}
	return changes, nil
}

func list(subjects []string) string {
	return "[" + strings.Join(slices.Sorted(slices.Values(subjects)), " ") + "]"
}
