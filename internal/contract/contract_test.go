package contract

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// A check that finds nothing proves nothing until it has found something.
func TestCheckFindsWhatIsNotInTheDocument(t *testing.T) {
	const (
		invoice = `{"id":"inv_01JHMZ5C2B7X5K8D0M4W6S9PQE","invoiceNumber":"INV-2026-0042","customerId":"cust_42","amount":15000,` +
			`"currency":"EUR","status":"issued","dueDate":"2026-02-14","issuedAt":"2026-01-15T10:30:00Z","version":1}`
		problem = `{"type":"/problems/x","title":"X","status":%d,"detail":"X.","code":"%s","correlationId":"c","traceId":"4bf92f3577b34da6a3ce929d0e0e4736"}`
	)
	isJSON := []string{"Content-Type", "application/json", "X-Correlation-ID", "c"}
	isProblem := []string{"Content-Type", "application/problem+json", "X-Correlation-ID", "c"}
	show := "GET /v1/invoices/inv_01JHMZ5C2B7X5K8D0M4W6S9PQE"
	for name, test := range map[string]struct {
		request, sent string
		status        int
		header        []string
		received      string
		want          string // empty if nothing is wrong
	}{
		"as it should be":            {show, "", 200, append(isJSON, "ETag", `"1"`), invoice, ""},
		"a status":                   {show, "", 202, isJSON, invoice, "202 is not in the API document"},
		"no header":                  {show, "", 200, isJSON, invoice, "header Etag is there 0 times"},
		"a wrong header":             {show, "", 200, append(isJSON, "ETag", "1"), invoice, "header Etag"},
		"a header too many":          {show, "", 200, append(isJSON, "ETag", `"1"`, "X-Secret", "s"), invoice, "header X-Secret is not in the document"},
		"a media type":               {show, "", 200, []string{"Content-Type", "text/html", "X-Correlation-ID", "c", "ETag", `"1"`}, invoice, "text/html is not in the document"},
		"a member too many":          {show, "", 200, append(isJSON, "ETag", `"1"`), strings.Replace(invoice, `{`, `{"note":1,`, 1), "at '/note'"},
		"a member too few":           {show, "", 200, append(isJSON, "ETag", `"1"`), strings.Replace(invoice, `"version"`, `"receipt"`, 1), "missing property 'version'"},
		"a type":                     {show, "", 200, append(isJSON, "ETag", `"1"`), strings.Replace(invoice, `15000`, `"15000"`, 1), "got string, want integer"},
		"a format":                   {show, "", 200, append(isJSON, "ETag", `"1"`), strings.Replace(invoice, `2026-02-14`, `2026-02-30`, 1), "not valid date"},
		"no JSON":                    {show, "", 200, append(isJSON, "ETag", `"1"`), "{", "EOF"},
		"a body where there is none": {show, "", 304, append(isJSON, "ETag", `"1"`), invoice, "there is a body"},
		"HEAD has none":              {strings.Replace(show, "GET", "HEAD", 1), "", 200, append(isJSON, "ETag", `"1"`), "", ""},
		"a problem":                  {show, "", 404, isProblem, fmt.Sprintf(problem, 404, "invoice-not-found"), ""},
		"a code":                     {show, "", 404, isProblem, fmt.Sprintf(problem, 404, "not-found"), "'invoice-not-found'"},
		"no Retry-After":             {show, "", 503, isProblem, fmt.Sprintf(problem, 503, "dependency-unavailable"), "header Retry-After is there 0 times"},
		"Retry-After, as a date":     {show, "", 503, append(isProblem, "Retry-After", "soon"), fmt.Sprintf(problem, 503, "dependency-unavailable"), "header Retry-After"},
		"a path":                     {"GET /v2", "", 404, isProblem, fmt.Sprintf(problem, 404, "not-found"), ""},
		"a path that is there":       {"GET /v2", "", 200, isJSON, invoice, "200 is not in the API document"},
		"a method":                   {"PUT /livez", "", 405, append(isProblem, "Allow", "GET, HEAD"), fmt.Sprintf(problem, 405, "method-not-allowed"), ""},
		"a method that is there":     {"PUT /livez", "", 200, isJSON, `{"status":"ok"}`, "200 is not in the API document"},
		"a request that should not succeed": {
			"POST /v1/invoices", `{"customerId":"c","amount":1,"currency":"EUR","note":1}`, 201,
			append(isJSON, "ETag", `"1"`, "Location", "/v1/invoices/inv_01JHMZ5C2B7X5K8D0M4W6S9PQE"), invoice, "'note' not allowed",
		},
	} {
		t.Run(name, func(t *testing.T) {
			method, target, _ := strings.Cut(test.request, " ")
			r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
			r.Header.Set("Content-Type", "application/json")
			res := &http.Response{StatusCode: test.status, Header: make(http.Header)}
			for i := 0; i < len(test.header); i += 2 {
				res.Header.Set(test.header[i], test.header[i+1])
			}
			err := MustLoadAPI().Check(r, []byte(test.sent), res, []byte(test.received))
			if test.want == "" && err != nil || test.want != "" && (err == nil || !strings.Contains(err.Error(), test.want)) {
				t.Errorf("got %v, want %q", err, test.want)
			}
		})
	}
}

func TestExamplesOfTheAPIFit(t *testing.T) {
	document, err := load("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	compiler := newCompiler()
	seal("#", document, partsOf(document))
	if err := compiler.AddResource(apiURL, document); err != nil {
		t.Fatal(err)
	}
	checked := 0
	var check func(p place)
	check = func(p place) {
		if schema := (loader{compiler}).schema(p.at("schema")); schema != nil {
			examples := slices.Collect(maps.Values(p.at("examples").members()))
			for i := range examples {
				examples[i] = examples[i].at("value")
			}
			for _, example := range append(examples, p.at("example")) {
				if example.value == nil {
					continue
				}
				checked++
				if err := schema.Validate(example.value); err != nil {
					t.Errorf("%s: %v", example.name, err)
				}
			}
		}
		for key, member := range p.members() {
			// What references lead to is reached by its own way as well.
			if strings.HasPrefix(member.name, p.name+"/") && key != "schemas" && key != "schema" {
				check(member)
			}
		}
	}
	check(place{document, "#", document})
	if checked < 40 {
		t.Errorf("found only %d examples", checked)
	}
}

// The golden files have every event in its smallest and its fullest form.
func TestGoldenEventsFitTheirSchemas(t *testing.T) {
	events := MustLoadEvents()
	paths, err := filepath.Glob("../app/invoicing/testdata/events/*.json")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no golden files: %v", err)
	}
	seen := make(map[string]bool)
	for _, path := range paths {
		payload, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		var event struct {
			Type string `json:"type"`
		}
		if err := json.Unmarshal(payload, &event); err != nil {
			t.Fatal(err)
		}
		seen[event.Type] = true
		if err := events.Check(event.Type, payload); err != nil {
			t.Errorf("%s: %v", path, err)
		}
		for _, change := range [][2]string{
			{`"data": {`, `"data": {"note": 1,`}, {`"data": {`, `"note": 1, "data": {`}, {`"currency"`, `"Currency"`}, {`15000`, `"15000"`}, {`"id"`, `"ID"`},
		} {
			if changed := strings.Replace(string(payload), change[0], change[1], 1); events.Check(event.Type, []byte(changed)) == nil {
				t.Errorf("%s: it was not found that %s became %s", path, change[0], change[1])
			}
		}
	}
	if types := slices.Sorted(maps.Keys(seen)); !slices.Equal(types, events.Types()) {
		t.Errorf("events %q, but schemas for %q", types, events.Types())
	}
}

func TestSchemasAreCompleteInThemselves(t *testing.T) {
	events := MustLoadEvents()
	for _, name := range schemaFiles() {
		document, err := load(name)
		if err != nil {
			t.Fatal(err)
		}
		root := place{document, "#", document}
		if id := root.at("$id").value; id != "/"+name {
			t.Errorf("%s has the $id %v: it is not where it is served", name, id)
		}
		if dialect := root.at("$schema").value; dialect != "https://json-schema.org/draft/2020-12/schema" {
			t.Errorf("%s is in %v", name, dialect)
		}
		examples, _ := root.at("examples").value.([]any)
		if len(examples) == 0 && !strings.Contains(name, envelope) {
			t.Errorf("%s has no example", name)
		}
		for _, example := range examples {
			if err := events.schemas[name].Validate(example); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// Every event has its channel, by its type, and every channel its schema.
func TestEventDocumentHasEveryEvent(t *testing.T) {
	document, err := load("asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	addresses := map[string]string{} // by schema
	for name, channel := range (place{document, "#", document}).at("channels").members() {
		messages := channel.at("messages").members()
		if len(messages) != 1 {
			t.Errorf("%s has %d messages", name, len(messages))
		}
		for _, message := range messages {
			payload, _ := message.at("payload").value.(map[string]any)
			schema, _ := payload["schema"].(map[string]any)
			file, _ := schema["$ref"].(string)
			address, _ := channel.at("address").value.(string)
			addresses[strings.TrimPrefix(file, "./")] = address
		}
	}
	want := map[string]string{}
	for name, file := range latest(schemaFiles()) {
		switch name {
		case envelope: // is in all others
		case deadLetter:
			want[file] = "dlq.billing"
		default:
			want[file] = name
		}
	}
	if !maps.Equal(addresses, want) {
		t.Errorf("got %v, want %v", addresses, want)
	}
}
