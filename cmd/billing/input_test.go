package main

import (
	"net/http"
	"slices"
	"strings"
	"testing"
)

// Invariant 9: bad input gets a 4xx that says what to change; no 500, and no
// trace in the tables.
func TestBadInputLeavesNoTrace(t *testing.T) {
	s := newStack(t)
	i := s.serve(nil)
	id := i.issue()
	tables := func() (counts []int) {
		for _, table := range []string{"invoices", "documents", "outbox", "inbox", "idempotency_keys", "number_series WHERE ordinal = 1"} {
			counts = append(counts, s.count(table))
		}
		return counts
	}
	before := tables()
	post := func(body string) [3]string { return [3]string{http.MethodPost, "/v1/invoices", body} }
	pay := func(body string) [3]string { return [3]string{http.MethodPost, "/v1/invoices/" + id + "/pay", body} }
	cancel := func(body string) [3]string { return [3]string{http.MethodPost, "/v1/invoices/" + id + "/cancel", body} }
	get := func(path string) [3]string { return [3]string{http.MethodGet, path, ""} }
	for _, c := range []struct {
		request [3]string
		code    string
		fields  string
		header  []string
	}{
		{request: post(``), code: "malformed-request"},
		{request: post(`{`), code: "malformed-request"},
		{request: post(`[]`), code: "malformed-request"},
		{request: post(`null`), code: "malformed-request"},
		{request: post(anInvoice + anInvoice), code: "malformed-request"},
		{request: post(`{"amount":1,"amount":2}`), code: "malformed-request"},
		{request: post("{\"customerId\":\"\xff\"}"), code: "malformed-request"},
		{request: post(`{}`), code: "validation-failed", fields: "/amount /currency /customerId"},
		{
			request: post(`{"customerId":"a b","amount":0,"currency":"eur","dueDate":"2020-01-01","note":1}`), code: "validation-failed",
			fields: "/amount /currency /customerId /dueDate /note",
		},
		{request: post(`{"customerId":"c","amount":1.0,"currency":"EUR"}`), code: "validation-failed", fields: "/amount"},
		{request: post(`{"customerId":"c","amount":1e3,"currency":"EUR"}`), code: "validation-failed", fields: "/amount"},
		{request: post(`{"customerId":"c","amount":"1","currency":"EUR"}`), code: "validation-failed", fields: "/amount"},
		{request: post(`{"customerId":"c","amount":9007199254740992,"currency":"EUR"}`), code: "validation-failed", fields: "/amount"},
		{request: post(`{"customerId":"c","amount":99999999999999999999,"currency":"EUR"}`), code: "validation-failed", fields: "/amount"},
		{request: post(`{"customerId":"c","amount":1,"currency":"XAU"}`), code: "validation-failed", fields: "/currency"},
		{request: post(`{"customerId":"c","amount":1,"currency":"EUR","dueDate":null}`), code: "validation-failed", fields: "/dueDate"},
		{request: post(`{"customerId":"c","amount":1,"currency":"EUR","dueDate":"2030-02-30"}`), code: "validation-failed", fields: "/dueDate"},
		{request: post(`{"customerId":"` + strings.Repeat("c", 65) + `","amount":1,"currency":"EUR"}`), code: "validation-failed", fields: "/customerId"},
		{request: post(`{"customerId":"` + strings.Repeat("c", 64<<10) + `","amount":1,"currency":"EUR"}`), code: "body-too-large"},
		{request: post(anInvoice), header: []string{"Content-Type", "text/plain"}, code: "unsupported-media-type"},
		{request: post(anInvoice), header: []string{"Idempotency-Key", "two words"}, code: "idempotency-key-invalid"},
		{request: post(anInvoice), header: []string{"Idempotency-Key", strings.Repeat("k", 256)}, code: "idempotency-key-invalid"},
		{request: pay(`{"paymentReference":"a\u0000b"}`), code: "validation-failed", fields: "/paymentReference"},
		{request: pay(`{"paymentReference":"` + strings.Repeat("é", 141) + `"}`), code: "validation-failed", fields: "/paymentReference"},
		{request: pay(`{"reason":"x"}`), code: "validation-failed", fields: "/reason"},
		{request: pay(``), header: []string{"If-Match", `"7"`}, code: "version-mismatch"},
		{request: cancel(`{"reason":7}`), code: "validation-failed", fields: "/reason"},
		{request: [3]string{http.MethodPost, "/v1/invoices/inv_01HXYZ0000000000000000000Z/pay", ""}, code: "invoice-not-found"},
		{request: [3]string{http.MethodPost, "/v1/invoices/7/cancel", ""}, code: "invoice-not-found"},
		{request: [3]string{http.MethodPatch, "/v1/invoices/" + id, "{}"}, code: "method-not-allowed"},
		{request: get("/v1/invoices/%00"), code: "invoice-not-found"},
		{request: get("/v1/nothing"), code: "not-found"},
		{request: get("/v1/invoices?limit=101"), code: "validation-failed", fields: "/limit"},
		{request: get("/v1/invoices?limit=0&status=open&customerId=%20"), code: "validation-failed", fields: "/customerId /limit /status"},
		{request: get("/v1/invoices?cursor=abc"), code: "invalid-cursor"},
	} {
		a := i.call(c.request[0], c.request[1], c.request[2], c.header...)
		p := a.problem()
		name := c.request[0] + " " + c.request[1] + " " + c.request[2][:min(len(c.request[2]), 80)]
		if p.Code != c.code || p.Status != a.StatusCode || a.StatusCode < 400 || a.StatusCode >= 500 || p.Type != "/problems/"+c.code {
			t.Errorf("%s: got %d %s, want %s", name, a.StatusCode, a.body, c.code)
		}
		if a.Header.Get("Content-Type") != "application/problem+json" || p.CorrelationID == "" || a.Header.Get("X-Correlation-ID") != p.CorrelationID {
			t.Errorf("%s: %v", name, a.Header)
		}
		var pointers []string
		for _, e := range p.Errors {
			pointers = append(pointers, e.Pointer)
		}
		slices.Sort(pointers)
		if got := strings.Join(pointers, " "); got != c.fields {
			t.Errorf("%s: offending fields %q, want %q", name, got, c.fields)
		}
		if page := i.call(http.MethodGet, p.Type, ""); page.StatusCode != http.StatusOK {
			t.Errorf("%s: %s", p.Type, page.Status)
		}
	}
	if after := tables(); !slices.Equal(before, after) {
		t.Errorf("rows before %v, after %v", before, after)
	}
}
