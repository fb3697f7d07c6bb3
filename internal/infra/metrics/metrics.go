// Package metrics counts what happens, for Prometheus.
package metrics

import (
	"context"
	"net/http"
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/client_golang/prometheus/promauto"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/winaity/billing/internal/app/messaging"
)

// Metrics implements messaging.Observer. It is safe for concurrent use.
type Metrics struct {
	registry *prometheus.Registry

	requests     *prometheus.HistogramVec
	published    prometheus.Counter
	unpublished  prometheus.Counter
	batchSize    prometheus.Histogram
	publishDelay prometheus.Histogram
	deliveries   *prometheus.CounterVec
	redeliveries prometheus.Counter
	handling     prometheus.Histogram
	duplicates   *prometheus.CounterVec
	claimsFailed prometheus.Counter
}

// New returns Metrics with a registry of their own.
func New() *Metrics {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}), collectors.NewBuildInfoCollector())
	factory := promauto.With(registry)
	quick := prometheus.ExponentialBuckets(0.00025, 2, 16) // 0.25 ms to 8 s
	return &Metrics{
		registry: registry,
		requests: factory.NewHistogramVec(prometheus.HistogramOpts{
			Name: "billing_http_request_duration_seconds", Help: "HTTP requests by route and status.", Buckets: quick,
		}, []string{"method", "route", "status"}),
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
			Name: "billing_outbox_publish_delay_seconds", Help: "From the recording of an event to the stream's acknowledgement.", Buckets: prometheus.ExponentialBuckets(0.00025, 2, 20),
		}),
		deliveries: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "billing_consumer_deliveries_total", Help: "Deliveries by outcome; parked ones are dead letters.",
		}, []string{"outcome"}),
		redeliveries: factory.NewCounter(prometheus.CounterOpts{
			Name: "billing_consumer_redeliveries_total", Help: "Deliveries after the first of their message.",
		}),
		handling: factory.NewHistogram(prometheus.HistogramOpts{
			Name: "billing_consumer_handling_duration_seconds", Help: "From a delivery to its answer.", Buckets: quick,
		}),
		duplicates: factory.NewCounterVec(prometheus.CounterOpts{
			Name: "billing_consumer_duplicates_total", Help: "Duplicates by what recognised them.",
		}, []string{"layer"}),
		claimsFailed: factory.NewCounter(prometheus.CounterOpts{
			Name: "billing_consumer_claim_failures_total", Help: "Claims that failed because the fast path was away.",
		}),
	}
}

// Handler serves the metrics.
func (m *Metrics) Handler() http.Handler {
	return promhttp.HandlerFor(m.registry, promhttp.HandlerOpts{Registry: m.registry})
}

// Request counts an HTTP request.
func (m *Metrics) Request(method, route string, status int, took time.Duration) {
	m.requests.WithLabelValues(method, route, strconv.Itoa(status)).Observe(took.Seconds())
}

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
	m.handling.Observe(r.Took.Seconds())
}

// Deduplicated implements messaging.Observer.
func (m *Metrics) Deduplicated(layer messaging.Layer) {
	m.duplicates.WithLabelValues(string(layer)).Inc()
}

// ClaimFailed implements messaging.Observer.
func (m *Metrics) ClaimFailed() { m.claimsFailed.Inc() }

// backlogTimeout bounds the question that a scrape asks.
const backlogTimeout = time.Second

// WatchBacklog shows what status says, at each scrape: how many events wait to
// be published, the age of the oldest, and how many are blocked.
func (m *Metrics) WatchBacklog(status func(context.Context) (messaging.Backlog, error)) {
	m.registry.MustRegister(&backlogCollector{
		status:  status,
		events:  prometheus.NewDesc("billing_outbox_unpublished_events", "Committed events that wait to be published.", nil, nil),
		age:     prometheus.NewDesc("billing_outbox_oldest_unpublished_age_seconds", "Age of the oldest event that waits.", nil, nil),
		blocked: prometheus.NewDesc("billing_outbox_blocked_events", "Events that the stream refuses; each holds back its aggregate.", nil, nil),
	})
}

type backlogCollector struct {
	status               func(context.Context) (messaging.Backlog, error)
	events, age, blocked *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c *backlogCollector) Describe(descs chan<- *prometheus.Desc) {
	descs <- c.events
	descs <- c.age
	descs <- c.blocked
}

// Collect implements prometheus.Collector. While the database is away there are
// no values, rather than wrong ones.
func (c *backlogCollector) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), backlogTimeout)
	defer cancel()
	b, err := c.status(ctx)
	if err != nil {
		return
	}
	metrics <- prometheus.MustNewConstMetric(c.events, prometheus.GaugeValue, float64(b.Events))
	metrics <- prometheus.MustNewConstMetric(c.age, prometheus.GaugeValue, b.OldestAge.Seconds())
	metrics <- prometheus.MustNewConstMetric(c.blocked, prometheus.GaugeValue, float64(b.Blocked))
}
