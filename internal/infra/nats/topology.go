package natsbus

import (
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// The names of what the service has in JetStream.
const (
	EventsStream = "BILLING_EVENTS"
	Processor    = "billing-processor" // consumer of EventsStream

	DeadLetterStream  = "BILLING_DLQ"
	DeadLetterSubject = "dlq.billing"
	ExhaustedConsumer = "billing-exhausted" // consumer of DeadLetterStream

	// replayedSubject, followed by a letter's sequence, carries the mark that the
	// letter was replayed.
	replayedSubject = DeadLetterSubject + ".replayed."
	// exhaustedSubject is where the server reports a message that the Processor
	// did not answer as often as it may be delivered.
	exhaustedSubject = "$JS.EVENT.ADVISORY.CONSUMER.MAX_DELIVERIES." + EventsStream + "." + Processor
)

// duplicateWindow is for how long the events stream recognises an id that it
// has. What publishes must not take longer from one attempt to the next.
const duplicateWindow = 2 * time.Minute

// Settings are what differs between deployments of the same service.
type Settings struct {
	Replicas   int
	MaxDeliver int           // deliveries of a message before the server gives up
	AckWait    time.Duration // for one delivery to be answered
	Subjects   []string      // that the service handles
}

// Topology is what has to exist in JetStream.
type Topology struct {
	Streams   []jetstream.StreamConfig
	Consumers []Consumer // created after the streams, in this order
}

// Consumer is a durable consumer of a stream.
type Consumer struct {
	Stream string
	jetstream.ConsumerConfig
}

// BillingTopology returns the streams and consumers of this service.
func BillingTopology(s Settings) Topology {
	return Topology{
		Streams: []jetstream.StreamConfig{
			{
				Name:               EventsStream,
				Description:        "The events of the billing service.",
				Subjects:           []string{"billing.>"},
				Storage:            jetstream.FileStorage,
				Retention:          jetstream.LimitsPolicy,
				MaxMsgs:            1_000_000,
				MaxAge:             7 * 24 * time.Hour,
				Duplicates:         duplicateWindow,
				AllowAtomicPublish: true,
				Replicas:           s.Replicas,
			},
			{
				Name:        DeadLetterStream,
				Description: "Messages that the billing service could not handle.",
				Subjects:    []string{DeadLetterSubject, replayedSubject + "*", exhaustedSubject},
				Storage:     jetstream.FileStorage,
				Retention:   jetstream.LimitsPolicy,
				MaxAge:      30 * 24 * time.Hour,
				Duplicates:  24 * time.Hour, // parking a message again within it stores nothing
				Replicas:    s.Replicas,
			},
		},
		Consumers: []Consumer{
			{DeadLetterStream, jetstream.ConsumerConfig{
				Durable:        ExhaustedConsumer,
				Description:    "Turns messages that were never answered into dead letters.",
				FilterSubjects: []string{exhaustedSubject},
				AckPolicy:      jetstream.AckExplicitPolicy,
				AckWait:        30 * time.Second,
				MaxDeliver:     -1,
			}},
			{EventsStream, jetstream.ConsumerConfig{
				Durable:        Processor,
				Description:    "Has the effects of events.",
				FilterSubjects: s.Subjects,
				AckPolicy:      jetstream.AckExplicitPolicy,
				AckWait:        s.AckWait,
				MaxDeliver:     s.MaxDeliver,
			}},
		},
	}
}
