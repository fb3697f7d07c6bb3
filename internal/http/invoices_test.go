package httpapi_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"regexp"
	"strings"
	"testing"
	"time"

	httpapi "github.com/winaity/billing/internal/http"
)

type invoiceJSON struct {
	ID                 string    `json:"id"`
	InvoiceNumber      string    `json:"invoiceNumber"`
	CustomerID         string    `json:"customerId"`
	Amount             int64     `json:"amount"`
	Currency           string    `json:"currency"`
	Status             string    `json:"status"`
	DueDate            string    `json:"dueDate"`
	IssuedAt           time.Time `json:"issuedAt"`
	PaidAt             time.Time `json:"paidAt"`
	PaymentReference   string    `json:"paymentReference"`
	CancelledAt        time.Time `json:"cancelledAt"`
	CancellationReason string    `json:"cancellationReason"`
	Version            int       `json:"version"`
}

type pageJSON struct {
	Data       []invoiceJSON `json:"data"`
	NextCursor string        `json:"nextCursor"`
}

const issueBody = `{"customerId":"cust_42","amount":15000,"currency":"EUR"}`

func issue(t *testing.T, api http.Handler) invoiceJSON {
	t.Helper()
	return decode[invoiceJSON](t, call(t, api, "POST", "/v1/invoices", issueBody), 201)
}

func TestIssue(t *testing.T) {
	api := newAPIOnPostgres(t, nil)
	res := call(t, api, "POST", "/v1/invoices", issueBody)
	got := decode[invoiceJSON](t, res, 201)
	if got.CustomerID != "cust_42" || got.Amount != 15000 || got.Currency != "EUR" || got.Status != "issued" || got.Version != 1 ||
		!regexp.MustCompile(`^inv_[0-9A-HJKMNP-TV-Z]{26}$`).MatchString(got.ID) ||
		got.InvoiceNumber != fmt.Sprintf("INV-%d-0001", got.IssuedAt.Year()) ||
		got.DueDate != got.IssuedAt.AddDate(0, 0, 30).Format(time.DateOnly) {
		t.Errorf("got %s", res.body)
	}
	for name, want := range map[string]string{
		"Location": "/v1/invoices/" + got.ID, "ETag": `"1"`, "Cache-Control": "no-store", "X-Content-Type-Options": "nosniff",
		"Idempotent-Replayed": "",
	} {
		if value := res.Header.Get(name); value != want {
			t.Errorf("%s: got %q, want %q", name, value, want)
		}
	}
	var members map[string]any
	if err := json.Unmarshal([]byte(res.body), &members); err != nil {
		t.Fatal(err)
	}
	// What has no value is absent, not null.
	if len(members) != 9 || members["paidAt"] != nil {
		t.Errorf("got the members %v", members)
	}
	shown := call(t, api, "GET", res.Header.Get("Location"), "")
	if shown.StatusCode != http.StatusOK || shown.body != res.body || shown.Header.Get("ETag") != `"1"` || shown.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("got %d %v: %s", shown.StatusCode, shown.Header, shown.body)
	}
}

func TestDueDateInThePastByItself(t *testing.T) {
	api := newAPIOnPostgres(t, nil)
	today := time.Now().In(time.FixedZone("UTC-12", -12*60*60)).Format(time.DateOnly)
	taken := call(t, api, "POST", "/v1/invoices", fmt.Sprintf(`{"customerId":"c","amount":1,"currency":"EUR","dueDate":%q}`, today))
	if got := decode[invoiceJSON](t, taken, 201); got.DueDate != today {
		t.Errorf("got %s", taken.body)
	}
	res := call(t, api, "POST", "/v1/invoices", `{"customerId":"c","amount":1,"currency":"EUR","dueDate":"2020-01-01"}`)
	if p := wantProblem(t, res, 422, "validation-failed"); p.pointers() != "/dueDate" {
		t.Errorf("got %s", res.body)
	}
	if got := issue(t, api); !strings.HasSuffix(got.InvoiceNumber, "-0002") {
		t.Errorf("the refused invoice left a gap before %s", got.InvoiceNumber)
	}
}

func TestPayAndCancel(t *testing.T) {
	api := newAPIOnPostgres(t, nil)
	paid, cancelled := "/v1/invoices/"+issue(t, api).ID, "/v1/invoices/"+issue(t, api).ID

	const reference = `{"paymentReference":"RF18 5390 0754 7034 – merci"}`
	first := call(t, api, "POST", paid+"/pay", reference)
	got := decode[invoiceJSON](t, first, 200)
	if got.Status != "paid" || got.Version != 2 || got.PaidAt.IsZero() || got.PaymentReference != "RF18 5390 0754 7034 – merci" || first.Header.Get("ETag") != `"2"` {
		t.Errorf("got %s", first.body)
	}
	if again := call(t, api, "POST", paid+"/pay", reference); again.StatusCode != http.StatusOK || again.body != first.body {
		t.Errorf("again: got %d %s", again.StatusCode, again.body)
	}
	for _, refused := range []response{
		call(t, api, "POST", paid+"/pay", ""),
		call(t, api, "POST", paid+"/pay", `{"paymentReference":"other"}`),
		call(t, api, "POST", paid+"/cancel", ""),
	} {
		if p := wantProblem(t, refused, 409, "invalid-state-transition"); p.CurrentStatus != "paid" {
			t.Errorf("got %s", refused.body)
		}
	}

	first = call(t, api, "POST", cancelled+"/cancel", `{"reason":"Entered twice"}`)
	got = decode[invoiceJSON](t, first, 200)
	if got.Status != "cancelled" || got.Version != 2 || got.CancelledAt.IsZero() || got.CancellationReason != "Entered twice" {
		t.Errorf("got %s", first.body)
	}
	if again := call(t, api, "POST", cancelled+"/cancel", `{"reason":"Another"}`); again.StatusCode != http.StatusOK || again.body != first.body {
		t.Errorf("again: got %d %s", again.StatusCode, again.body)
	}
	if p := wantProblem(t, call(t, api, "POST", cancelled+"/pay", ""), 409, "invalid-state-transition"); p.CurrentStatus != "cancelled" {
		t.Errorf("got %+v", p)
	}
	for _, call := range []response{
		call(t, api, "POST", "/v1/invoices/"+anID+"/pay", ""), call(t, api, "POST", "/v1/invoices/"+anID+"/cancel", ""), call(t, api, "GET", "/v1/invoices/"+anID, ""),
	} {
		wantProblem(t, call, 404, "invoice-not-found")
	}
}

func TestConditionalRequests(t *testing.T) {
	api := newAPIOnPostgres(t, nil)
	path := "/v1/invoices/" + issue(t, api).ID
	for _, tags := range []string{`"1"`, `W/"1"`, `"7", W/"1"`, `*`} {
		res := call(t, api, "GET", path, "", "If-None-Match: "+tags)
		if res.StatusCode != http.StatusNotModified || res.body != "" || res.Header.Get("ETag") != `"1"` || res.Header.Get("Content-Type") != "" {
			t.Errorf("If-None-Match: %s: got %d %v", tags, res.StatusCode, res.Header)
		}
	}
	decode[invoiceJSON](t, call(t, api, "GET", path, "", `If-None-Match: "2"`), 200)
	decode[invoiceJSON](t, call(t, api, "GET", path, "", `If-Match: "1"`), 200)
	wantProblem(t, call(t, api, "GET", path, "", `If-Match: "2"`), 412, "version-mismatch")

	for _, stale := range []string{`If-Match: "2"`, `If-Match: W/"1"`, `If-Match: "0", "2"`, `If-None-Match: *`} {
		for _, command := range []string{"/pay", "/cancel"} {
			if p := wantProblem(t, call(t, api, "POST", path+command, "", stale), 412, "version-mismatch"); p.CurrentVersion != 1 {
				t.Errorf("%s: got %+v", stale, p)
			}
		}
	}
	wantProblem(t, call(t, api, "POST", path+"/pay", "", `If-Match: 1`), 400, "malformed-request")
	wantProblem(t, call(t, api, "GET", path, "", `If-None-Match: 1`), 400, "malformed-request")
	decode[invoiceJSON](t, call(t, api, "POST", path+"/pay", "", `If-Match: "0", "1"`), 200)
	wantProblem(t, call(t, api, "POST", path+"/pay", "", `If-Match: "1"`), 412, "version-mismatch")
	decode[invoiceJSON](t, call(t, api, "POST", path+"/pay", "", `If-Match: *`), 200)
}

// Invariant 5: a command retried with its key has one effect and the same
// answer, with the fast path away, too.
func TestRetryWithIdempotencyKey(t *testing.T) {
	api := newAPIOnPostgres(t, nil)
	first := call(t, api, "POST", "/v1/invoices", issueBody, "Idempotency-Key: key-1", "X-Correlation-ID: first")
	replay := call(t, api, "POST", "/v1/invoices", issueBody, `Idempotency-Key: "key-1"`, "X-Correlation-ID: second")
	if first.StatusCode != http.StatusCreated || replay.StatusCode != http.StatusCreated || replay.body != first.body {
		t.Errorf("got %d %s, then %d %s", first.StatusCode, first.body, replay.StatusCode, replay.body)
	}
	for _, name := range []string{"Content-Type", "Content-Length", "Location", "ETag", "Cache-Control"} {
		if replay.Header.Get(name) != first.Header.Get(name) || first.Header.Get(name) == "" {
			t.Errorf("%s: got %q, then %q", name, first.Header.Get(name), replay.Header.Get(name))
		}
	}
	if first.Header.Get("Idempotent-Replayed") != "" || replay.Header.Get("Idempotent-Replayed") != "true" || replay.Header.Get("X-Correlation-ID") != "second" {
		t.Errorf("got %v, then %v", first.Header, replay.Header)
	}

	path := first.Header.Get("Location")
	for _, other := range []response{
		call(t, api, "POST", "/v1/invoices", issueBody+" ", "Idempotency-Key: key-1"),
		call(t, api, "POST", path+"/pay", "", "Idempotency-Key: key-1"),
	} {
		wantProblem(t, other, 422, "idempotency-key-reused")
	}
	wantProblem(t, call(t, api, "POST", "/v1/invoices", "{}", "Idempotency-Key: key-1"), 422, "validation-failed")
	wantProblem(t, call(t, api, "POST", "/v1/invoices", issueBody, "Idempotency-Key: "), 400, "idempotency-key-invalid")

	// The answer to a payment stays what it was, whatever happened since; an
	// error is no answer, so the key is free for a better request.
	wantProblem(t, call(t, api, "POST", path+"/pay", "", "Idempotency-Key: key-2", `If-Match: "9"`), 412, "version-mismatch")
	paid := call(t, api, "POST", path+"/pay", "", "Idempotency-Key: key-2", `If-Match: "1"`)
	replay = call(t, api, "POST", path+"/pay", "", "Idempotency-Key: key-2", `If-Match: "1"`)
	if paid.StatusCode != http.StatusOK || replay.StatusCode != http.StatusOK || replay.body != paid.body || replay.Header.Get("Idempotent-Replayed") != "true" {
		t.Errorf("got %d %s, then %d %s", paid.StatusCode, paid.body, replay.StatusCode, replay.body)
	}
	replay = call(t, api, "POST", "/v1/invoices", issueBody, "Idempotency-Key: key-1")
	if replay.body != first.body {
		t.Errorf("after the payment: got %s", replay.body)
	}
}

// Invariant 5, past midnight: what was due today is due in the past on the day
// of the retry.
func TestRetryOnAnotherDay(t *testing.T) {
	later := false
	api := newAPIOnPostgres(t, func(o *httpapi.Options) {
		o.Now = func() time.Time {
			if later {
				return time.Now().AddDate(0, 0, 7)
			}
			return time.Now()
		}
	})
	body := fmt.Sprintf(`{"customerId":"c","amount":1,"currency":"EUR","dueDate":%q}`, time.Now().UTC().AddDate(0, 0, 2).Format(time.DateOnly))
	first := call(t, api, "POST", "/v1/invoices", body, "Idempotency-Key: k")
	later = true
	replay := call(t, api, "POST", "/v1/invoices", body, "Idempotency-Key: k")
	if first.StatusCode != http.StatusCreated || replay.StatusCode != http.StatusCreated || replay.body != first.body {
		t.Errorf("got %d %s, then %d %s", first.StatusCode, first.body, replay.StatusCode, replay.body)
	}
}

func TestListIsPagedNewestFirst(t *testing.T) {
	api := newAPIOnPostgres(t, nil)
	if res := call(t, api, "GET", "/v1/invoices", ""); res.StatusCode != http.StatusOK || res.body != `{"data":[]}` {
		t.Errorf("got %d %s", res.StatusCode, res.body)
	}
	var newestFirst []string
	for range 21 {
		newestFirst = append([]string{issue(t, api).ID}, newestFirst...)
	}
	decode[invoiceJSON](t, call(t, api, "POST", "/v1/invoices/"+newestFirst[3]+"/pay", ""), 200)

	for query, want := range map[string][]string{
		"limit=4":     newestFirst,
		"limit=7":     newestFirst, // the last page is full
		"":            newestFirst, // 20 and 1
		"limit=100":   newestFirst,
		"status=paid": newestFirst[3:4],
		"limit=10&customerId=cust_42&status=issued": append(append([]string{}, newestFirst[:3]...), newestFirst[4:]...),
		"customerId=nobody":                         nil,
	} {
		if got := walk(t, api, query); strings.Join(got, " ") != strings.Join(want, " ") {
			t.Errorf("%s: got %v, want %v", query, got, want)
		}
	}
	if got := decode[pageJSON](t, call(t, api, "GET", "/v1/invoices", ""), 200); len(got.Data) != 20 {
		t.Errorf("got %d invoices without a limit", len(got.Data))
	}
	last := call(t, api, "GET", "/v1/invoices?limit=21", "")
	if strings.Contains(last.body, "nextCursor") || last.Header.Get("Cache-Control") != "private, no-cache" {
		t.Errorf("got %v %s", last.Header, last.body)
	}
}

// walk returns the ids on all pages.
func walk(t *testing.T, api http.Handler, query string) (ids []string) {
	t.Helper()
	cursor := ""
	for {
		page := decode[pageJSON](t, call(t, api, "GET", "/v1/invoices?"+query+cursor, ""), 200)
		for _, i := range page.Data {
			ids = append(ids, i.ID)
		}
		if page.NextCursor == "" {
			return ids
		}
		cursor = "&cursor=" + page.NextCursor
	}
}
