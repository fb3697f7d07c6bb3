package httpapi

import (
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/winaity/billing/internal/domain/fault"
)

func TestIdempotencyKey(t *testing.T) {
	long := strings.Repeat("k", maxKeyLength)
	for _, test := range []struct{ header, want string }{
		{`abc`, `abc`},
		{`"abc"`, `abc`},
		{`8e03978e-40d5-43dd-bc93-6894a57f9324`, `8e03978e-40d5-43dd-bc93-6894a57f9324`},
		{`"a\"b"`, `a"b`},
		{`"a\\b"`, `a\b`},
		{`a"b`, `a"b`},
		{`a\b`, `a\b`},
		{`!~`, `!~`},
		{long, long},
		{`"` + long + `"`, long},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		r.Header.Set("Idempotency-Key", test.header)
		got, err := keyOf(r, nil)
		if err != nil || got.Key != test.want {
			t.Errorf("%s: got %q, %v", test.header, got.Key, err)
		}
	}
}

func TestInvalidIdempotencyKey(t *testing.T) {
	for _, values := range [][]string{
		{``}, {`""`}, {`"`}, {`"abc`}, {`"abc"d`}, {`"abc" `}, {`"abc";p=1`}, {`"abc", "def"`}, {`"a\b"`}, {`"a\`}, {`"a\"`},
		{`a b`}, {`"a b"`}, {"a\tb"}, {"é"}, {"\"\x7f\""},
		{strings.Repeat("k", maxKeyLength+1)}, {`"` + strings.Repeat("k", maxKeyLength+1) + `"`},
		{`abc`, `abc`},
	} {
		r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
		r.Header["Idempotency-Key"] = values
		if got, err := keyOf(r, nil); presentable(err).Code != codeKeyInvalid || fault.KindOf(err) != fault.Invalid {
			t.Errorf("%q: got %q, %v", values, got.Key, err)
		}
	}
}

func TestFingerprintDiffersForAnyOtherRequest(t *testing.T) {
	seen := make(map[string]string)
	for _, request := range []string{"POST /a", "POST /a?x", "PUT /a", "POST /a/b", "POST /a%2Fb"} {
		for _, body := range []string{"", "{}", "{ }"} {
			method, target, _ := strings.Cut(request, " ")
			got := fingerprint(httptest.NewRequestWithContext(t.Context(), method, target, nil), []byte(body))
			what := request + " " + body
			if other, ok := seen[got]; ok && !strings.Contains(what, "?") { // a query is no part of it
				t.Errorf("%s has the fingerprint of %s", what, other)
			}
			seen[got] = what
		}
	}
}
