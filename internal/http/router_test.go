package httpapi_test

import (
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	httpapi "github.com/winaity/billing/internal/http"
)

func TestUnknownPathsAreNotFound(t *testing.T) {
	api := newAPI(nil)
	for _, path := range []string{
		"/", "/v1", "/v2/invoices", "/v1/invoice", "/V1/invoices", "/v1/invoices/" + anID + "/refund", "/v1/invoices/" + anID + "/pay/",
		"/problems/no-such-code", "/problems/", "/docs/", "/docs/no-such-file", "/schemas/", "/schemas/..", "/schemas/x", "//v1/invoices",
	} {
		wantProblem(t, call(t, api, "GET", path, ""), 404, "not-found")
	}
	wantProblem(t, call(t, api, "BREW", "/coffee", ""), 404, "not-found")
}

func TestMethodsThatAPathDoesNotHave(t *testing.T) {
	api := newAPI(nil)
	for path, allow := range map[string]string{
		"/v1/invoices":                     "GET, HEAD, POST",
		"/v1/invoices/" + anID:             "GET, HEAD",
		"/v1/invoices/" + anID + "/pay":    "POST",
		"/v1/invoices/" + anID + "/cancel": "POST",
		"/problems/not-found":              "GET, HEAD",
		"/livez":                           "GET, HEAD",
		"/readyz":                          "GET, HEAD",
		"/metrics":                         "GET, HEAD",
	} {
		for _, method := range []string{"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "CONNECT", "QUERY", "BREW"} {
			res := call(t, api, method, path, "")
			if strings.Contains(", "+allow+",", ", "+method+",") {
				if res.StatusCode == http.StatusMethodNotAllowed {
					t.Errorf("%s %s is allowed, but gets %d", method, path, res.StatusCode)
				}
				continue
			}
			wantProblem(t, res, 405, "method-not-allowed")
			if got := res.Header.Values("Allow"); len(got) != 1 || got[0] != allow {
				t.Errorf("%s %s: Allow %q, want %q", method, path, got, allow)
			}
		}
	}
}

func TestIDThatIsNotWellFormedIsNotFound(t *testing.T) {
	api := newAPI(nil) // the database is away: an id that could be one gets 503
	for _, id := range []string{
		"x", "inv_", anID + "0", anID[:len(anID)-1], strings.ToLower(anID), "evt_" + anID[4:], "inv_8" + anID[5:],
		"inv_01HXYZ000000000000000000IL", "inv_01HXYZ000000000000000000%00", "%2e%2e", "inv_01HXYZ0000000000000000000%F0",
	} {
		wantProblem(t, call(t, api, "GET", "/v1/invoices/"+id, ""), 404, "invoice-not-found")
		wantProblem(t, call(t, api, "POST", "/v1/invoices/"+id+"/pay", ""), 404, "invoice-not-found")
		wantProblem(t, call(t, api, "POST", "/v1/invoices/"+id+"/cancel", "{"), 404, "invoice-not-found")
	}
	wantProblem(t, call(t, api, "GET", "/v1/invoices/"+anID, ""), 503, "dependency-unavailable")
}

func TestQueryOfTheList(t *testing.T) {
	api := newAPI(nil)
	for query, want := range map[string]string{
		"limit=0":                              "/limit",
		"limit=101":                            "/limit",
		"limit=-1":                             "/limit",
		"limit=":                               "/limit",
		"limit=1.0":                            "/limit",
		"limit=ten":                            "/limit",
		"limit=99999999999999999999":           "/limit",
		"status=open":                          "/status",
		"status=ISSUED":                        "/status",
		"status=":                              "/status",
		"customerId=a%20b":                     "/customerId",
		"customerId=":                          "/customerId",
		"limit=1&limit=2":                      "/limit",
		"status=paid&status=paid":              "/status",
		"state=paid":                           "/state",
		"limit=x&status=x&customerId=%00&a/b=": "/status /customerId /limit /a~1b",
	} {
		res := call(t, api, "GET", "/v1/invoices?"+query, "")
		if p := wantProblem(t, res, 422, "validation-failed"); p.pointers() != want {
			t.Errorf("%s: got %s, want %s", query, p.pointers(), want)
		}
	}
	for _, query := range []string{"cursor=", "cursor=x", "cursor=%00", "cursor=MQ", "limit=0&cursor=x"} {
		wantProblem(t, call(t, api, "GET", "/v1/invoices?"+query, ""), 400, "invalid-cursor")
	}
	for _, query := range []string{"status=%zz", "status=paid;limit=1"} {
		wantProblem(t, call(t, api, "GET", "/v1/invoices?"+query, ""), 400, "malformed-request")
	}
	for _, query := range []string{"", "limit=1", "limit=100", "status=issued", "status=paid&customerId=a_-1", "status=cancelled"} {
		wantProblem(t, call(t, api, "GET", "/v1/invoices?"+query, ""), 503, "dependency-unavailable") // accepted
	}
}

func TestProblemTypesAreServed(t *testing.T) {
	api := newAPI(nil)
	p := wantProblem(t, call(t, api, "POST", "/v1/invoices", "{"), 400, "malformed-request")
	page := call(t, api, "GET", p.Type, "")
	if page.StatusCode != http.StatusOK || page.Header.Get("Content-Type") != "text/html; charset=utf-8" ||
		!strings.Contains(page.body, p.Code) || !strings.Contains(page.body, p.Title) {
		t.Errorf("got %d: %s", page.StatusCode, page.body)
	}
}

func TestHeadIsGetWithoutTheBody(t *testing.T) {
	server := httptest.NewServer(newAPI(func(o *httpapi.Options) {
		o.Metrics = http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "metrics") })
	}))
	defer server.Close()
	for _, path := range []string{"/livez", "/readyz", "/metrics", "/problems/internal", "/v1/invoices", "/v1/invoices/x", "/nothing"} {
		get, head := fetch(t, server, http.MethodGet, path), fetch(t, server, http.MethodHead, path)
		if head.StatusCode != get.StatusCode || head.body != "" || head.Header.Get("Content-Type") != get.Header.Get("Content-Type") {
			t.Errorf("%s: got %d %q %q, GET has %d", path, head.StatusCode, head.Header.Get("Content-Type"), head.body, get.StatusCode)
		}
		// What a correlation id is made of always has the same length.
		if length := strconv.Itoa(len(get.body)); head.Header.Get("Content-Length") != length && path != "/metrics" {
			t.Errorf("%s: Content-Length %s, GET has %s", path, head.Header.Get("Content-Length"), length)
		}
	}
}

func fetch(t *testing.T, server *httptest.Server, method, path string) response {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	res, err := server.Client().Do(r)
	if err != nil {
		t.Fatal(err)
	}
	return read(t, res)
}
