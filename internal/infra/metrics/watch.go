package metrics

import (
	"context"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promauto"

	"github.com/winaity/billing/internal/app/messaging"
)

// askTimeout bounds what a question may take, and so a scrape: its questions are
// asked side by side.
const askTimeout = time.Second

// question is asked at each scrape and answers with a value for each gauge, all
// of the same moment. Without an answer in time there are no values, rather than
// wrong ones.
type question struct {
	gauges []*prometheus.Desc
	ask    func(context.Context) ([]float64, error)
}

// Describe implements prometheus.Collector.
func (q *question) Describe(descs chan<- *prometheus.Desc) {
	for _, g := range q.gauges {
		descs <- g
	}
}

// Collect implements prometheus.Collector.
func (q *question) Collect(metrics chan<- prometheus.Metric) {
	ctx, cancel := context.WithTimeout(context.Background(), askTimeout)
	defer cancel()
	values, err := q.ask(ctx)
	if err != nil {
		return
	}
	for i, g := range q.gauges {
		metrics <- prometheus.MustNewConstMetric(g, prometheus.GaugeValue, values[i])
	}
}

func gauge(name, help string) *prometheus.Desc { return prometheus.NewDesc(name, help, nil, nil) }

// WatchBacklog shows what waits to be published.
func (m *Metrics) WatchBacklog(ask func(context.Context) (messaging.Backlog, error)) {
	m.registry.MustRegister(&question{
		gauges: []*prometheus.Desc{
			gauge("billing_outbox_unpublished_events", "Committed events that wait to be published; more than a million are not counted."),
			gauge("billing_outbox_oldest_unpublished_age_seconds", "Age of the oldest event that waits."),
			gauge("billing_outbox_blocked_events", "Events that the stream refuses; each holds back an aggregate of its own."),
		},
		ask: func(ctx context.Context) ([]float64, error) {
			b, err := ask(ctx)
			return []float64{float64(b.Events), b.OldestAge.Seconds(), float64(b.Blocked)}, err
		},
	})
}

// WatchLag shows how far the consumer is behind.
func (m *Metrics) WatchLag(ask func(context.Context) (messaging.Lag, error)) {
	m.registry.MustRegister(&question{
		gauges: []*prometheus.Desc{
			gauge("billing_consumer_pending_messages", "Messages that were not delivered yet."),
			gauge("billing_consumer_ack_pending_messages", "Messages that were delivered, and wait for their answer or their next delivery."),
		},
		ask: func(ctx context.Context) ([]float64, error) {
			lag, err := ask(ctx)
			return []float64{float64(lag.Pending), float64(lag.AckPending)}, err
		},
	})
}

// WatchDeadLetters shows how many dead letters wait.
func (m *Metrics) WatchDeadLetters(ask func(context.Context) (int, error)) {
	m.registry.MustRegister(&question{
		gauges: []*prometheus.Desc{gauge("billing_dead_letters", "Dead letters that were neither replayed nor dropped.")},
		ask: func(ctx context.Context) ([]float64, error) {
			n, err := ask(ctx)
			return []float64{float64(n)}, err
		},
	})
}

// WatchOldestTransaction shows how old the oldest transaction of the database is.
func (m *Metrics) WatchOldestTransaction(ask func(context.Context) (time.Duration, error)) {
	m.registry.MustRegister(&question{
		gauges: []*prometheus.Desc{gauge("billing_db_oldest_transaction_age_seconds", "Age of the oldest transaction that keeps dead rows from being removed, whosever it is.")},
		ask: func(ctx context.Context) ([]float64, error) {
			age, err := ask(ctx)
			return []float64{age.Seconds()}, err
		},
	})
}

// WatchDependency shows whether the probe passes.
func (m *Metrics) WatchDependency(name string, probe func(context.Context) error) {
	m.registry.MustRegister(&question{
		gauges: []*prometheus.Desc{prometheus.NewDesc("billing_dependency_up",
			"1 if this instance can reach the dependency, else 0.", nil, prometheus.Labels{"dependency": name})},
		ask: func(ctx context.Context) ([]float64, error) {
			up := 0.0
			if probe(ctx) == nil {
				up = 1
			}
			return []float64{up}, nil
		},
	})
}

// PoolStats is a moment of a connection pool, as pgxpool.Stat has it.
type PoolStats interface {
	AcquiredConns() int32
	IdleConns() int32
	ConstructingConns() int32
	MaxConns() int32
	AcquireCount() int64
	EmptyAcquireCount() int64
	EmptyAcquireWaitTime() time.Duration
	CanceledAcquireCount() int64
}

// WatchPool shows the pool of database connections.
func (m *Metrics) WatchPool(stats func() PoolStats) {
	factory := promauto.With(m.registry)
	for state, count := range map[string]func(PoolStats) int32{
		"acquired":     PoolStats.AcquiredConns,
		"idle":         PoolStats.IdleConns,
		"constructing": PoolStats.ConstructingConns,
	} {
		factory.NewGaugeFunc(prometheus.GaugeOpts{
			Name: "billing_db_pool_connections", Help: "Connections by what they do.", ConstLabels: prometheus.Labels{"state": state},
		}, func() float64 { return float64(count(stats())) })
	}
	factory.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "billing_db_pool_max_connections", Help: "Connections that the pool has at most.",
	}, func() float64 { return float64(stats().MaxConns()) })
	factory.NewCounterFunc(prometheus.CounterOpts{
		Name: "billing_db_pool_acquires_total", Help: "Connections that were taken.",
	}, func() float64 { return float64(stats().AcquireCount()) })
	factory.NewCounterFunc(prometheus.CounterOpts{
		Name: "billing_db_pool_empty_acquires_total", Help: "Connections that were taken and had to be waited for.",
	}, func() float64 { return float64(stats().EmptyAcquireCount()) })
	factory.NewCounterFunc(prometheus.CounterOpts{
		Name: "billing_db_pool_empty_acquire_wait_seconds_total", Help: "How long those were waited for.",
	}, func() float64 { return stats().EmptyAcquireWaitTime().Seconds() })
	factory.NewCounterFunc(prometheus.CounterOpts{
		Name: "billing_db_pool_canceled_acquires_total", Help: "Connections that were waited for in vain.",
	}, func() float64 { return float64(stats().CanceledAcquireCount()) })
}
