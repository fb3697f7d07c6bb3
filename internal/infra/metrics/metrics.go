// Package metrics counts what happens, for Prometheus.
package metrics

import (
	"net/http"
	"runtime/debug"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/winaity/billing/internal/app/idempotency"
	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/fault"
)

// Metrics implements messaging.Observer and idempotency.Observer. It is safe for
// concurrent use.
type Metrics struct {
	registry *prometheus.Registry
	subjects map[string]bool // that are consumed

	requests      *prometheus.HistogramVec
	commands      *prometheus.CounterVec
	keyed         *prometheus.CounterVec
	published     prometheus.Counter
	unpublished   prometheus.Counter
	batchSize     prometheus.Histogram
	publishDelay  prometheus.Histogram
	deliveries    *prometheus.CounterVec
	redeliveries  prometheus.Counter
	handling      *prometheus.HistogramVec
	duplicates    *prometheus.CounterVec
	claimFailures prometheus.Counter
}

// Labels are the values of labels that only the service knows. With them, each
// series is there from the start: a counter that appeared with its first event
// would hide that one from every rate.
type Labels struct {
	Commands []string
	Outcomes []string // of commands that did not fail
	Subjects []string // that are consumed
}

// otherSubject is the label of a subject that nobody announced.
const otherSubject = "other"

// layers are the values of the label by what each layer is made of.
var layers = map[messaging.Layer]string{messaging.LayerClaim: "redis", messaging.LayerInbox: "postgres"}

// New returns Metrics with a registry of their own.
func New(labels Labels) *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), newBuildInfo())
	factory := promauto.With(registry)
	quick := prometheus.ExponentialBuckets(0.00025, 2, 16) // 0.25 ms to 8 s
	m := &Metrics{
		registry: registry,
		subjects: make(map[string]bool),
		requests: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "billing_http_request_duration_seconds", Help: "HTTP requests by route and status; 0 if the connection broke before the answer.", Buckets: quick,
		}, []string{"method", "route", "status"}),
		commands: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "billing_commands_total", Help: "Commands that were run, by what became of them. One that the idempotency cache answers is not run.",
		}, []string{"command", "outcome"}),
		keyed: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "billing_idempotency_requests_total", Help: "Commands with an Idempotency-Key, by what the key did.",
		}, []string{"outcome"}),
		published: factory.NewCounter(prometheus.CounterOpts{
			Name: "billing_outbox_published_total", Help: "Events that the stream acknowledged.",
		}),
		unpublished: factory.NewCounter(prometheus.CounterOpts{
			Name: "billing_outbox_publish_failures_total", Help: "Events that the stream did not acknowledge, or that were held back behind one.",
		}),
		batchSize: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "billing_outbox_batch_size", Help: "Events in a batch of the relay.", Buckets: prometheus.ExponentialBuckets(1, 2, 11),
		}),
		publishDelay: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "billing_outbox_publish_delay_seconds", Help: "From the recording of an event, in its transaction, to the stream's acknowledgement.", Buckets: prometheus.ExponentialBuckets(0.00025, 2, 20),
		}),
		deliveries: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "billing_consumer_deliveries_total", Help: "Deliveries by outcome; parked ones are dead letters.",
		}, []string{"outcome"}),
		redeliveries: factory.NewCounter(prometheus.CounterOpts{
			Name: "billing_consumer_redeliveries_total", Help: "Deliveries after the first of their message.",
		}),
		handling: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "billing_consumer_handling_duration_seconds", Help: "From a delivery to its answer, by the subject of the message.", Buckets: quick,
		}, []string{"subject"}),
		duplicates: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "billing_consumer_duplicates_total", Help: "Duplicates by what recognised them.",
		}, []string{"layer"}),
		claimFailures: factory.NewCounter(prometheus.CounterOpts{
			Name: "billing_consumer_claim_failures_total", Help: "Claims that failed because the fast path was away.",
		}),
	}
	m.begin(labels)
	return m
}

// begin makes the series of the counters whose labels are known.
func (m *Metrics) begin(labels Labels) {
	for _, command := range labels.Commands {
		for _, outcome := range labels.Outcomes {
			m.commands.WithLabelValues(command, outcome)
		}
		for _, kind := range []fault.Kind{fault.Internal, fault.Invalid, fault.NotFound, fault.Conflict, fault.Unavailable} {
			m.commands.WithLabelValues(command, labelOf(kind.String()))
		}
	}
	for _, outcome := range []idempotency.Outcome{idempotency.Fresh, idempotency.Replayed, idempotency.InFlight, idempotency.Reused, idempotency.Failed} {
		m.keyed.WithLabelValues(string(outcome))
	}
	for _, outcome := range []messaging.Outcome{messaging.Handled, messaging.Duplicate, messaging.Retried, messaging.Parked, messaging.Abandoned} {
		m.deliveries.WithLabelValues(string(outcome))
	}
	for _, layer := range layers {
		m.duplicates.WithLabelValues(layer)
	}
	for _, subject := range labels.Subjects {
		m.subjects[subject] = true
		m.handling.WithLabelValues(subject)
	}
}

// newBuildInfo returns a metric that is always 1 and says by its labels what
// runs. A build without the repository, as in an image, knows no revision.
func newBuildInfo() prometheus.Collector {
	version, revision, goVersion := "unknown", "unknown", "unknown"
	if info, ok := debug.ReadBuildInfo(); ok {
		version, goVersion = info.Main.Version, info.GoVersion
		for _, setting := range info.Settings {
			if setting.Key == "vcs.revision" {
				revision = setting.Value
			}
		}
	}
	return prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "billing_build_info", Help: "What was built; always 1.",
		ConstLabels: prometheus.Labels{"version": version, "revision": revision, "goversion": goVersion},
	}, func() float64 { return 1 })
}

// Handler serves the metrics. Scrapes that come at once share one collection, so
// no number of them asks the database more than one thing at a time.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{
		Registry:       m.registry,
		ErrorHandling:  promhttp.ContinueOnError, // what can be measured is worth more than nothing
		CoalesceGather: true,
	})
}

// Request counts an HTTP request.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

// Command counts a command that was run.
func (m *Metrics) Command(command, outcome string) {
	m.commands.WithLabelValues(command, labelOf(outcome)).Inc()
}

// Keyed implements idempotency.Observer.
func (m *Metrics) Keyed(o idempotency.Outcome) { m.keyed.WithLabelValues(string(o)).Inc() }

// BatchPublished implements messaging.Observer.
func (m *Metrics) BatchPublished(batch []messaging.Message, outcomes []error, _ time.Duration) {
	m.batchSize.Observe(float64(len(batch)))
	now := time.Now()
	for i, err := range outcomes {
		if err != nil {
			m.unpublished.Inc()
			continue
		}
		m.published.Inc()
		m.publishDelay.Observe(now.Sub(batch[i].RecordedAt).Seconds())
	}
}

// Delivered implements messaging.Observer.
func (m *Metrics) Delivered(r messaging.DeliveryReport) {
	m.deliveries.WithLabelValues(string(r.Outcome)).Inc()
	if r.Attempt > 1 {
		m.redeliveries.Inc()
	}
	subject := r.Subject
	if !m.subjects[subject] {
		subject = otherSubject
	}
	m.handling.WithLabelValues(subject).Observe(r.Took.Seconds())
}

// Deduplicated implements messaging.Observer.
func (m *Metrics) Deduplicated(layer messaging.Layer) {
	m.duplicates.WithLabelValues(layers[layer]).Inc()
}

// ClaimFailed implements messaging.Observer.
func (m *Metrics) ClaimFailed() { m.claimFailures.Inc() }

// labelOf writes a label's value as the field does.
func labelOf(words string) string { return strings.ReplaceAll(words, " ", "_") }
