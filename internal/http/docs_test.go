package httpapi_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/go-chi/chi/v5"
)

func TestEveryRouteIsInTheAPIDocumentAndNoOther(t *testing.T) {
	router, ok := newAPI(nil).(chi.Routes)
	if !ok {
		t.Fatal("the API is no chi router")
	}
	var routes []string
	err := chi.Walk(router, func(method, route string, _ http.Handler, _ ...func(http.Handler) http.Handler) error {
		routes = append(routes, method+" "+route)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	slices.Sort(routes)
	if documented := document.Routes(); !slices.Equal(routes, documented) {
		t.Errorf("the router has\n%s\nthe document\n%s", strings.Join(routes, "\n"), strings.Join(documented, "\n"))
	}
}

func TestDocumentsAreServed(t *testing.T) {
	api := newAPI(nil)
	for path, want := range map[string]struct{ contentType, text string }{
		"/openapi.yaml":                    {"application/yaml", "\nopenapi: 3.1."},
		"/asyncapi.yaml":                   {"application/yaml", "\nasyncapi: 3."},
		"/schemas/envelope.v1.schema.json": {"application/schema+json", "2020-12"},
		"/docs":                            {"text/html; charset=utf-8", "/docs/start.js"},
		"/docs/start.js":                   {"text/javascript; charset=utf-8", "/openapi.yaml"},
		"/docs/page.css":                   {"text/css; charset=utf-8", "body {"},
		"/docs/swagger-ui.js":              {"text/javascript; charset=utf-8", "SwaggerUIBundle"},
		"/docs/swagger-ui.css":             {"text/css; charset=utf-8", ".swagger-ui"},
	} {
		res := call(t, api, "GET", path, "")
		body := res.body
		if res.Header.Get("Content-Encoding") == "gzip" {
			body = unzip(t, body)
		}
		if res.StatusCode != http.StatusOK || res.Header.Get("Content-Type") != want.contentType || !strings.Contains("\n"+body, want.text) {
			t.Errorf("%s: got %d %v", path, res.StatusCode, res.Header)
		}
	}
	for _, path := range []string{
		"/docs/README.md", "/docs/..", "/docs/%2e%2e", "/docs/..%2fopenapi.yaml", "/docs/.", "/schemas/.", "/schemas/%2e%2e%2fopenapi.yaml", "/schemas/%00",
	} {
		wantProblem(t, call(t, api, "GET", path, ""), 404, "not-found")
	}
}

// What runs in a page is ours, whatever else gets into it.
func TestPagesRunNoForeignScripts(t *testing.T) {
	api := newAPI(nil)
	for _, path := range []string{"/docs", "/docs/events.html", "/problems", "/problems/internal"} {
		res := call(t, api, "GET", path, "")
		policy := res.Header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'none';") || strings.Contains(policy, "script-src 'self' 'unsafe") || strings.Contains(policy, "http") {
			t.Errorf("%s has the policy %q", path, policy)
		}
		for _, foreign := range []string{`src="http`, `src="//`, `stylesheet" href="http`, "<script>", "onload=", "<style"} {
			if strings.Contains(res.body, foreign) {
				t.Errorf("%s has %s", path, foreign)
			}
		}
	}
}

func unzip(t *testing.T, packed string) string {
	t.Helper()
	r, err := gzip.NewReader(strings.NewReader(packed))
	if err != nil {
		t.Fatal(err)
	}
	content, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	return string(content)
}
