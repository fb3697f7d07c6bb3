package httpapi_test

import (
	"net/http"
	"strings"
	"testing"
)

const anID = "inv_01HXYZ0000000000000000000A"

// Accepted requests end at the database, which is away in these tests.
func wantAccepted(t *testing.T, res response) {
	t.Helper()
	if p := wantProblem(t, res, 503, "dependency-unavailable"); p.Errors != nil {
		t.Errorf("got %s", res.body)
	}
}

func TestWhatIsNoJSONObjectIsMalformed(t *testing.T) {
	api := newAPI(nil)
	for name, body := range map[string]string{
		"nothing":                       "",
		"white space":                   " \n",
		"syntax":                        `{"amount":}`,
		"cut off":                       `{"amount":1`,
		"single quotes":                 `{'amount':1}`,
		"trailing comma":                `{"amount":1,}`,
		"comment":                       `{"amount":1} // cents`,
		"second object":                 `{"amount":1}{}`,
		"trailing data":                 `{"amount":1} x`,
		"leading zero":                  `{"amount":01}`,
		"plus sign":                     `{"amount":+1}`,
		"NaN":                           `{"amount":NaN}`,
		"line break in a string":        "{\"customerId\":\"a\nb\"}",
		"byte order mark":               "\ufeff{}",
		"array":                         `[]`,
		"string":                        `"{}"`,
		"number":                        `1`,
		"null":                          `null`,
		"true":                          `true`,
		"duplicate name":                `{"amount":1,"amount":1}`,
		"duplicate name by its escape":  `{"amount":1,"\u0061mount":2}`,
		"duplicate name deep inside":    `{"x":[1,{"y":{"z":1,"z":2}}]}`,
		"duplicate name before unknown": `{"x":{"a":1e999,"a":2}}`,
		"invalid UTF-8":                 "{\"customerId\":\"\xff\"}",
		"UTF-8 of a surrogate":          "{\"customerId\":\"\xed\xa0\x80\"}",
		"overlong UTF-8":                "{\"customerId\":\"\xc0\xaf\"}",
		"lone high surrogate":           `{"customerId":"\ud83d"}`,
		"lone high, then text":          `{"customerId":"\ud83dabcdef"}`,
		"lone high, then an escape":     `{"customerId":"\ud83d\n00000"}`,
		"high after high":               `{"customerId":"\ud83d\ud83d"}`,
		"lone low surrogate":            `{"customerId":"\udc00"}`,
		"lone surrogate in a name":      `{"\udc00":1}`,
		"lone after an escaped slash":   `{"customerId":"\\\ud83d"}`,
		"nested too deep":               `{"x":` + strings.Repeat("[", 20_000) + strings.Repeat("]", 20_000) + `}`,
	} {
		t.Run(name, func(t *testing.T) {
			res := call(t, api, http.MethodPost, "/v1/invoices", body, "Content-Type: application/json")
			wantProblem(t, res, 400, "malformed-request")
			if body == "" {
				return // which pay and cancel allow
			}
			res = call(t, api, http.MethodPost, "/v1/invoices/"+anID+"/pay", body)
			wantProblem(t, res, 400, "malformed-request")
		})
	}
}

func TestEveryFieldThatDoesNotFitIsListed(t *testing.T) {
	api := newAPI(nil)
	const good = `"customerId":"c","amount":1,"currency":"EUR"`
	for name, test := range map[string]struct{ body, want string }{
		"missing":                {`{}`, "/customerId /amount /currency"},
		"missing one":            {`{"customerId":"c","amount":1}`, "/currency"},
		"null is a wrong type":   {`{"customerId":null,"amount":null,"currency":null,"dueDate":null}`, "/customerId /amount /currency /dueDate"},
		"wrong types":            {`{"customerId":1,"amount":"1","currency":["EUR"],"dueDate":{}}`, "/customerId /amount /currency /dueDate"},
		"all at once":            {`{"customerId":"a b","amount":0,"currency":"DEM","dueDate":"2020-01-01","x":1}`, "/customerId /amount /currency /dueDate /x"},
		"due date and unknown":   {`{` + good + `,"dueDate":"2020-01-01","x":1}`, "/dueDate /x"},
		"unknown":                {`{` + good + `,"b":1,"a":{"customerId":1}}`, "/a /b"},
		"unknown by its case":    {`{"customerId":"c","Amount":1,"currency":"EUR"}`, "/amount /Amount"},
		"unknown is escaped":     {`{` + good + `,"a/b~c":1,"":2}`, "/ /a~1b~0c"},
		"fraction":               {`{"customerId":"c","amount":1.5,"currency":"EUR"}`, "/amount"},
		"fraction of zero":       {`{"customerId":"c","amount":1.0,"currency":"EUR"}`, "/amount"},
		"exponent":               {`{"customerId":"c","amount":1e3,"currency":"EUR"}`, "/amount"},
		"beyond any number":      {`{"customerId":"c","amount":1e999,"currency":"EUR"}`, "/amount"},
		"zero":                   {`{"customerId":"c","amount":0,"currency":"EUR"}`, "/amount"},
		"negative zero":          {`{"customerId":"c","amount":-0,"currency":"EUR"}`, "/amount"},
		"negative":               {`{"customerId":"c","amount":-1,"currency":"EUR"}`, "/amount"},
		"2^53":                   {`{"customerId":"c","amount":9007199254740992,"currency":"EUR"}`, "/amount"},
		"2^64":                   {`{"customerId":"c","amount":18446744073709551616,"currency":"EUR"}`, "/amount"},
		"empty customer":         {`{"customerId":"","amount":1,"currency":"EUR"}`, "/customerId"},
		"long customer":          {`{"customerId":"` + strings.Repeat("c", 65) + `","amount":1,"currency":"EUR"}`, "/customerId"},
		"customer with a break":  {`{"customerId":"c\n","amount":1,"currency":"EUR"}`, "/customerId"},
		"lower-case currency":    {`{"customerId":"c","amount":1,"currency":"eur"}`, "/currency"},
		"gold":                   {`{"customerId":"c","amount":1,"currency":"XAU"}`, "/currency"},
		"no calendar date":       {`{` + good + `,"dueDate":"2026-02-30"}`, "/dueDate"},
		"date and time":          {`{` + good + `,"dueDate":"2999-01-01T00:00:00Z"}`, "/dueDate"},
		"short date":             {`{` + good + `,"dueDate":"2999-1-1"}`, "/dueDate"},
		"the date of no date":    {`{` + good + `,"dueDate":"0001-01-01"}`, "/dueDate"},
		"empty date":             {`{` + good + `,"dueDate":""}`, "/dueDate"},
		"white space is no type": {"{ \"customerId\" : \"c\" , \"amount\" : true ,\t\"currency\"\n:\n\"EUR\" }", "/amount"},
	} {
		t.Run(name, func(t *testing.T) {
			res := call(t, api, http.MethodPost, "/v1/invoices", test.body)
			if p := wantProblem(t, res, 422, "validation-failed"); p.pointers() != test.want {
				t.Errorf("got %s, want %s", p.pointers(), test.want)
			}
		})
	}
}

func TestFieldsOfPayAndCancel(t *testing.T) {
	api := newAPI(nil)
	for name, test := range map[string]struct{ call, body, want string }{
		"control character":   {"pay", `{"paymentReference":"a\u0000b"}`, "/paymentReference"},
		"line break":          {"cancel", `{"reason":"a\nb"}`, "/reason"},
		"deleted":             {"cancel", `{"reason":"\u007f"}`, "/reason"},
		"empty":               {"pay", `{"paymentReference":""}`, "/paymentReference"},
		"too long reference":  {"pay", `{"paymentReference":"` + strings.Repeat("é", 141) + `"}`, "/paymentReference"},
		"too long reason":     {"cancel", `{"reason":"` + strings.Repeat("é", 501) + `"}`, "/reason"},
		"null":                {"pay", `{"paymentReference":null}`, "/paymentReference"},
		"the other's field":   {"pay", `{"reason":"x"}`, "/reason"},
		"wrong and unknown":   {"cancel", `{"reason":1,"paymentReference":"x"}`, "/reason /paymentReference"},
		"unknown in an array": {"pay", `{"x":[{"y":1}]}`, "/x"},
	} {
		t.Run(name, func(t *testing.T) {
			res := call(t, api, http.MethodPost, "/v1/invoices/"+anID+"/"+test.call, test.body)
			if p := wantProblem(t, res, 422, "validation-failed"); p.pointers() != test.want {
				t.Errorf("got %s, want %s", p.pointers(), test.want)
			}
		})
	}
}

func TestWhatFitsIsAccepted(t *testing.T) {
	api := newAPI(nil)
	for name, test := range map[string]struct{ path, body string }{
		"all fields":           {"", `{"customerId":"cust_42-A","amount":15000,"currency":"COP","dueDate":"9999-12-31"}`},
		"largest amount":       {"", `{"customerId":"c","amount":9007199254740991,"currency":"UYW"}`},
		"white space":          {"", " {\t\"customerId\" : \"c\" ,\r\n \"amount\" : 1 , \"currency\" : \"EUR\" }\n "},
		"escapes":              {"", `{"\u0063ustomerId":"\u0063","amount":1,"currency":"EUR"}`},
		"pay: no body":         {"/" + anID + "/pay", ""},
		"pay: empty object":    {"/" + anID + "/pay", "{}"},
		"pay: unicode":         {"/" + anID + "/pay", `{"paymentReference":"` + strings.Repeat("é", 140) + `"}`},
		"pay: surrogate pair":  {"/" + anID + "/pay", `{"paymentReference":"\ud83d\ude00 \\ud83d"}`},
		"cancel: no body":      {"/" + anID + "/cancel", ""},
		"cancel: composed":     {"/" + anID + "/cancel", `{"reason":"👩‍👩‍👧 désolé, 取消"}`},
		"cancel: longest":      {"/" + anID + "/cancel", `{"reason":"` + strings.Repeat("x", 500) + `"}`},
		"pay: 64 KiB, exactly": {"/" + anID + "/pay", `{}` + strings.Repeat(" ", 64<<10-2)},
	} {
		t.Run(name, func(t *testing.T) {
			wantAccepted(t, call(t, api, http.MethodPost, "/v1/invoices"+test.path, test.body))
		})
	}
}

func TestBodyIsBounded(t *testing.T) {
	api := newAPI(nil)
	for _, path := range []string{"", "/" + anID + "/pay", "/" + anID + "/cancel"} {
		res := call(t, api, http.MethodPost, "/v1/invoices"+path, `{}`+strings.Repeat(" ", 64<<10-1))
		wantProblem(t, res, 413, "body-too-large")
	}
}

func TestMediaType(t *testing.T) {
	api := newAPI(nil)
	const body = `{"customerId":"c","amount":1,"currency":"EUR"}`
	for _, accepted := range [][]string{
		{"Content-Type: application/json"},
		{"Content-Type: Application/JSON"},
		{"Content-Type: application/json; charset=utf-8"},
		{`Content-Type: application/json;charset="UTF-8"`},
		{"Content-Type: application/json", "Content-Encoding: identity"},
	} {
		wantAccepted(t, call(t, api, http.MethodPost, "/v1/invoices", body, accepted...))
	}
	for _, refused := range [][]string{
		{"Content-Type: "},
		{"Content-Type: text/plain"},
		{"Content-Type: application/x-www-form-urlencoded"},
		{"Content-Type: application/json-patch+json"},
		{"Content-Type: application/json; charset=latin1"},
		{"Content-Type: application/json; charset"},
		{"Content-Type: application/json, text/plain"},
		{"Content-Type: application/json", "Content-Encoding: gzip"},
	} {
		wantProblem(t, call(t, api, http.MethodPost, "/v1/invoices", body, refused...), 415, "unsupported-media-type")
	}
	r := call(t, api, http.MethodPost, "/v1/invoices/"+anID+"/pay", "", "Content-Type: text/plain")
	wantAccepted(t, r) // nothing has no type
}
