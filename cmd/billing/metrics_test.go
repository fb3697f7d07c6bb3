package main

import (
	"bytes"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/winaity/billing/internal/domain/invoice"
)

// exposition is a scrape: the value of each series, by the series as it is
// written there.
type exposition map[string]float64

func (i *instance) scrape() exposition {
	i.Helper()
	return i.parseExposition(i.expect(http.StatusOK, http.MethodGet, "/metrics", "").body)
}

func (s *stack) parseExposition(text []byte) exposition {
	s.Helper()
	series := make(exposition)
	for line := range strings.Lines(string(text)) {
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		end := strings.LastIndexByte(line, ' ')
		value, err := strconv.ParseFloat(line[end+1:], 64)
		s.must(err)
		series[line[:end]] = value
	}
	return series
}

// has reports whether there is a series of the metric.
func (e exposition) has(metric string) bool {
	for series := range e {
		if name, _, _ := strings.Cut(series, "{"); name == metric {
			return true
		}
	}
	return false
}

var label = regexp.MustCompile(`(\w+)="((?:[^"\\]|\\.)*)"`)

// aBusyDay drives the loop through all that the metrics tell apart, and waits
// until it is over.
func (i *instance) aBusyDay() {
	i.Helper()
	keyed := func(status int, body string) answer {
		return i.expect(status, http.MethodPost, "/v1/invoices", body, "Idempotency-Key", "a-key")
	}
	id := keyed(http.StatusCreated, anInvoice).invoice().ID
	keyed(http.StatusCreated, anInvoice)                                                                  // again
	keyed(http.StatusUnprocessableEntity, strings.Replace(anInvoice, "15000", "15001", 1))                // another body
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", `{"paymentReference":"a"}`)       //
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", `{"paymentReference":"a"}`)       // again
	i.expect(http.StatusConflict, http.MethodPost, "/v1/invoices/"+id+"/pay", `{"paymentReference":"b"}`) // another payment
	i.expect(http.StatusConflict, http.MethodPost, "/v1/invoices/"+id+"/cancel", "")
	i.expect(http.StatusNotFound, http.MethodPost, "/v1/invoices/inv_01HZZZZZZZZZZZZZZZZZZZZZZZ/cancel", "")
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+i.issue()+"/cancel", "")

	i.awaitReceipt(id)
	i.settled()
	paid := i.paidEvent(id)
	i.publish(paid.Type, "a copy", paid.raw.Data)
	i.settled()
	i.flushRedis()
	i.publish(paid.Type, "another copy", paid.raw.Data)
	i.publish(paid.Type, "no event", []byte("{broken"))
	unknown := bytes.Replace(paid.raw.Data, []byte(paid.ID), []byte("evt_of_nothing"), 1)
	i.publish(paid.Type, "of no invoice", bytes.ReplaceAll(unknown, []byte(id), []byte("inv_unknown")))
	i.eventually("the poisoned messages are dead letters", func() bool { return len(i.letters()) == 2 })
	i.settled()
}

func TestMetricsTellWhatHappened(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	i.aBusyDay()
	want := exposition{
		`billing_http_request_duration_seconds_count{method="POST",route="/v1/invoices",status="201"}`:             3,
		`billing_http_request_duration_seconds_count{method="POST",route="/v1/invoices",status="422"}`:             1,
		`billing_http_request_duration_seconds_count{method="POST",route="/v1/invoices/{id}/cancel",status="404"}`: 1,

		`billing_commands_total{command="issue",outcome="changed"}`:    2,
		`billing_commands_total{command="issue",outcome="replayed"}`:   1,
		`billing_commands_total{command="issue",outcome="invalid"}`:    1, // the key of another body
		`billing_commands_total{command="pay",outcome="changed"}`:      1,
		`billing_commands_total{command="pay",outcome="unchanged"}`:    1,
		`billing_commands_total{command="pay",outcome="conflict"}`:     1,
		`billing_commands_total{command="pay",outcome="unavailable"}`:  0,
		`billing_commands_total{command="cancel",outcome="changed"}`:   1,
		`billing_commands_total{command="cancel",outcome="conflict"}`:  1,
		`billing_commands_total{command="cancel",outcome="not_found"}`: 1,

		`billing_idempotency_requests_total{outcome="fresh"}`:     1,
		`billing_idempotency_requests_total{outcome="replayed"}`:  1,
		`billing_idempotency_requests_total{outcome="reused"}`:    1,
		`billing_idempotency_requests_total{outcome="in_flight"}`: 0,
		`billing_idempotency_requests_total{outcome="failed"}`:    0,

		// Two invoices, a payment and its receipt, a cancellation and its credit note.
		`billing_outbox_published_total`:                6,
		`billing_outbox_publish_failures_total`:         0,
		`billing_outbox_batch_size_sum`:                 6,
		`billing_outbox_publish_delay_seconds_count`:    6,
		`billing_outbox_unpublished_events`:             0,
		`billing_outbox_oldest_unpublished_age_seconds`: 0,
		`billing_outbox_blocked_events`:                 0,

		`billing_consumer_deliveries_total{outcome="handled"}`:                                  2,
		`billing_consumer_deliveries_total{outcome="duplicate"}`:                                2,
		`billing_consumer_deliveries_total{outcome="retried"}`:                                  4,
		`billing_consumer_deliveries_total{outcome="parked"}`:                                   2,
		`billing_consumer_deliveries_total{outcome="abandoned"}`:                                0,
		`billing_consumer_redeliveries_total`:                                                   4,
		`billing_consumer_handling_duration_seconds_count{subject="billing.invoice.paid"}`:      9,
		`billing_consumer_handling_duration_seconds_count{subject="billing.invoice.cancelled"}`: 1,
		`billing_consumer_duplicates_total{layer="redis"}`:                                      1,
		`billing_consumer_duplicates_total{layer="postgres"}`:                                   1,
		`billing_consumer_claim_failures_total`:                                                 0,
		`billing_consumer_pending_messages`:                                                     0,
		`billing_consumer_ack_pending_messages`:                                                 0,
		`billing_dead_letters`:                                                                  2,

		`billing_dependency_up{dependency="postgres"}`: 1,
		`billing_dependency_up{dependency="nats"}`:     1,
		`billing_dependency_up{dependency="redis"}`:    1,
		`billing_db_pool_max_connections`:              16,
	}
	var wrong []string
	i.eventually("the metrics tell it", func() bool {
		got := i.scrape()
		wrong = nil
		for series, value := range want {
			if now, ok := got[series]; !ok || now != value {
				wrong = append(wrong, fmt.Sprintf("%s is %v (%t), want %v", series, now, ok, value))
			}
		}
		return len(wrong) == 0
	})

	problems, err := promlint.New(bytes.NewReader(i.expect(http.StatusOK, http.MethodGet, "/metrics", "").body)).Lint()
	s.must(err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

// boundedLabels are all labels, with what their values may be.
var boundedLabels = map[string]*regexp.Regexp{
	"method":     regexp.MustCompile(`^(GET|HEAD|POST|PUT|PATCH|DELETE|OPTIONS|TRACE|CONNECT|OTHER)$`),
	"route":      regexp.MustCompile(`^(/|(/[a-z0-9]+|/openapi.yaml|/asyncapi.yaml|/\{[a-z]+\})+|none)$`),
	"status":     regexp.MustCompile(`^[2-5][0-9][0-9]$`),
	"command":    regexp.MustCompile(`^(issue|pay|cancel)$`),
	"outcome":    regexp.MustCompile(`^[a-z_]{4,11}$`),
	"subject":    regexp.MustCompile(`^billing\.invoice\.(paid|cancelled)$`),
	"layer":      regexp.MustCompile(`^(redis|postgres)$`),
	"dependency": regexp.MustCompile(`^(redis|postgres|nats)$`),
	"state":      regexp.MustCompile(`^(acquired|idle|constructing)$`),
	"le":         regexp.MustCompile(`^([0-9.e+-]+|\+Inf)$`),
	// of what runs, and of the client library
	"version": regexp.MustCompile(``), "revision": regexp.MustCompile(``), "goversion": regexp.MustCompile(``),
	"quantile": regexp.MustCompile(``), "cause": regexp.MustCompile(`^(gathering|encoding)$`),
}

// What clients send must not make series without end.
func TestLabelsAreBounded(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	i.awaitReceipt(i.issuePaid())
	for n := range 20 {
		odd := fmt.Sprint("odd", n)
		for _, method := range []string{"GET", "POST", "DELETE", "HEAD", strings.ToUpper(odd)} {
			for _, path := range []string{
				"/" + odd, "/v1/invoices/" + odd, "/v1/invoices?status=" + odd, "/v1/invoices?cursor=" + odd, "/v1/invoices/" + odd + "/pay",
				"/problems/" + odd, "/docs/" + odd, "/schemas/" + odd, "/metrics/" + odd, "/%6f" + odd,
			} {
				i.call(method, path, "", "Idempotency-Key", odd, "X-Correlation-ID", odd, "User-Agent", odd, "traceparent", odd)
			}
		}
		s.publish(invoice.TypePaid, odd, []byte(odd))
		s.publish("billing."+odd, odd+" elsewhere", []byte(odd))
	}
	s.eventually("every poisoned message is a dead letter", func() bool { return len(s.letters()) == 20 })
	for series := range i.scrape() {
		for _, l := range label.FindAllStringSubmatch(series, -1) {
			if fits := boundedLabels[l[1]]; fits == nil || !fits.MatchString(l[2]) || strings.Contains(strings.ToLower(l[2]), "odd") {
				t.Errorf("%s has %s", series, l[0])
			}
		}
	}
}

// What a dependency that is away would know is absent, and not wrong, however
// many ask; what the service knows itself is there.
func TestScrapeWhileDependenciesAreAway(t *testing.T) {
	s := newStack(t)
	postgres, database := s.newWire(s.database)
	nats, bus := s.newWire(s.nats.URL())
	redis, cache := s.newWire(s.redis.URL())
	i := s.serve(map[string]string{"DATABASE_URL": database, "NATS_URL": bus, "REDIS_URL": cache})
	i.awaitReceipt(i.issuePaid())
	asked := []string{
		"billing_outbox_unpublished_events", "billing_outbox_oldest_unpublished_age_seconds", "billing_outbox_blocked_events",
		"billing_consumer_pending_messages", "billing_consumer_ack_pending_messages", "billing_dead_letters",
	}
	dependencies := func(e exposition) (up float64) {
		for _, name := range []string{"postgres", "nats", "redis"} {
			up += e[`billing_dependency_up{dependency="`+name+`"}`]
		}
		return up
	}
	for _, w := range []*wire{postgres, nats, redis} {
		w.hang()
	}
	var scrapers sync.WaitGroup
	for range 50 {
		scrapers.Go(func() {
			a, err := i.try(http.MethodGet, "/metrics", "")
			if err != nil || a.StatusCode != http.StatusOK {
				t.Errorf("scrape: %v %v", a.Response, err)
				return
			}
			e := s.parseExposition(a.body)
			for _, metric := range asked {
				if e.has(metric) {
					t.Errorf("%s is there", metric)
				}
			}
			if up := dependencies(e); up != 0 {
				t.Errorf("%v dependencies are up", up)
			}
			for _, metric := range []string{"billing_commands_total", "billing_outbox_published_total", "billing_db_pool_max_connections", "billing_build_info", "go_goroutines"} {
				if !e.has(metric) {
					t.Errorf("%s is missing", metric)
				}
			}
		})
	}
	scrapers.Wait()
	for _, w := range []*wire{postgres, nats, redis} {
		w.goOn()
	}
	s.eventually("all of it is there again", func() bool {
		e := i.scrape()
		for _, metric := range asked {
			if !e.has(metric) {
				return false
			}
		}
		return dependencies(e) == 3
	})
}
