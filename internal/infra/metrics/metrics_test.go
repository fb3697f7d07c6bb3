package metrics_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/infra/metrics"
)

// Whoever configured the consumer by hand must not make series without end.
func TestSubjectThatNobodyAnnouncedIsOther(t *testing.T) {
	m := metrics.New(metrics.Labels{Subjects: []string{"order.paid"}})
	for _, subject := range []string{"order.paid", "order.1", "order.2"} {
		m.Delivered(messaging.DeliveryReport{Subject: subject, Attempt: 1, Outcome: messaging.Parked})
	}
	answer := httptest.NewRecorder()
	m.Handler().ServeHTTP(answer, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", nil))
	for _, line := range []string{
		`billing_consumer_handling_duration_seconds_count{subject="order.paid"} 1`,
		`billing_consumer_handling_duration_seconds_count{subject="other"} 2`,
	} {
		if !strings.Contains(answer.Body.String(), line+"\n") {
			t.Errorf("no %s in\n%s", line, answer.Body)
		}
	}
}
