package main

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

// logLine has the members that lines of requests and deliveries have.
type logLine struct {
	Level, Msg                                     string
	Method, Route                                  string
	Status                                         int
	Outcome, EventID, AggregateID                  string
	CorrelationID, CausationID, TraceID, InvoiceID string
}

func TestLogTellsTheLoopAndNoSecret(t *testing.T) {
	s := newStack(t)
	database, err := url.Parse(s.database)
	s.must(err)
	i := s.serve(map[string]string{"NATS_URL": strings.Replace(s.nats.URL(), "://", "://nats:secret-of-nats@", 1)})
	const correlation = "corr-of-the-test"
	id := i.issue("X-Correlation-ID", correlation, "traceparent", sampledIssue, "Idempotency-Key", "secret-key")
	i.expect(http.StatusOK, http.MethodPost, "/v1/invoices/"+id+"/pay", `{"paymentReference":"secret-reference"}`,
		"X-Correlation-ID", correlation, "traceparent", sampled)
	i.awaitReceipt(id)
	refused := i.expect(http.StatusConflict, http.MethodPost, "/v1/invoices/"+id+"/cancel", `{"reason":"secret-reason"}`, "traceparent", sampled)
	s.eventually("three events in the stream", func() bool { return len(s.events()) == 3 })
	events := s.events()
	i.stop()

	log := i.log.String()
	for _, secret := range []string{database.User.String(), "secret-", "cust_42"} {
		if at := strings.Index(log, secret); at >= 0 {
			t.Errorf("the log tells %s: %s", secret, log[max(at-100, 0):at+100])
		}
	}
	var lines []logLine
	for line := range strings.Lines(log) {
		var l logLine
		s.must(json.Unmarshal([]byte(line), &l))
		if l.Method != http.MethodGet && (l.Msg == "request" || l.Msg == "delivery") {
			lines = append(lines, l)
		}
	}
	want := []logLine{
		{Level: "INFO", Msg: "request", Method: "POST", Route: "/v1/invoices", Status: 201, CorrelationID: correlation, TraceID: issueTrace, InvoiceID: id},
		{Level: "INFO", Msg: "request", Method: "POST", Route: "/v1/invoices/{id}/pay", Status: 200, CorrelationID: correlation, TraceID: changeTrace, InvoiceID: id},
		{Level: "INFO", Msg: "delivery", Outcome: "handled", EventID: events[1].ID, AggregateID: id, CorrelationID: correlation, CausationID: events[1].ID, TraceID: changeTrace},
		{Level: "INFO", Msg: "request", Method: "POST", Route: "/v1/invoices/{id}/cancel", Status: 409, CorrelationID: refused.problem().CorrelationID, TraceID: refused.problem().TraceID, InvoiceID: id},
	}
	for _, line := range want {
		n := 0
		for _, l := range lines {
			if l == line {
				n++
			}
		}
		if n != 1 {
			t.Errorf("logged %d times: %+v", n, line)
		}
	}
	if len(lines) != len(want) {
		t.Errorf("logged %+v", lines)
	}
	if refused.problem().TraceID != changeTrace {
		t.Errorf("the problem is of trace %s", refused.problem().TraceID)
	}
}
