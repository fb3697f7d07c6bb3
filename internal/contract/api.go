package contract

import (
	"bytes"
	"errors"
	"fmt"
	"mime"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
)

// API is the OpenAPI document. It is safe for concurrent use.
type API struct {
	operations       []operation
	notFound         answer // to a path that the document does not have
	methodNotAllowed answer // to a method that the path does not have
}

type operation struct {
	method, path string
	body         map[string]*jsonschema.Schema // by media type
	answers      map[int]answer                // by status
}

type answer struct {
	headers map[string]header
	content map[string]*jsonschema.Schema // by media type; a nil schema accepts all
}

type header struct {
	required bool
	schema   *jsonschema.Schema
}

// MustLoadAPI returns the OpenAPI document that the service serves.
func MustLoadAPI() *API {
	document, err := load("openapi.yaml")
	if err != nil {
		panic(err)
	}
	seal("#", document, partsOf(document))
	compiler := newCompiler()
	if err := compiler.AddResource(apiURL, document); err != nil {
		panic(err)
	}
	l := loader{compiler}
	root := place{document, "#", document}
	api := &API{
		notFound:         l.answer(root.at("components", "responses", "NotFound")),
		methodNotAllowed: l.answer(root.at("components", "responses", "MethodNotAllowed")),
	}
	for path, item := range root.at("paths").members() {
		for method, p := range item.members() {
			o := operation{strings.ToUpper(method), path, l.content(p.at("requestBody", "content")), make(map[int]answer)}
			for code, response := range p.at("responses").members() {
				status, err := strconv.Atoi(code)
				if err != nil {
					panic(err)
				}
				o.answers[status] = l.answer(response)
			}
			api.operations = append(api.operations, o)
		}
	}
	return api
}

const apiURL = "https://billing.example/openapi.yaml"

// loader compiles the schemas of the document.
type loader struct{ compiler *jsonschema.Compiler }

func (l loader) schema(p place) *jsonschema.Schema {
	if p.value == nil {
		return nil
	}
	// The document is a URL's fragment away.
	return l.compiler.MustCompile(apiURL + "#" + (&url.URL{Path: strings.TrimPrefix(p.name, "#")}).EscapedPath())
}

func (l loader) content(p place) map[string]*jsonschema.Schema {
	content := make(map[string]*jsonschema.Schema)
	for mediaType, media := range p.members() {
		content[mediaType] = l.schema(media.at("schema"))
	}
	return content
}

func (l loader) answer(p place) answer {
	a := answer{make(map[string]header), l.content(p.at("content"))}
	for name, h := range p.at("headers").members() {
		a.headers[http.CanonicalHeaderKey(name)] = header{h.at("required").value == true, l.schema(h.at("schema"))}
	}
	return a
}

// Routes returns every operation as its method and path.
func (a *API) Routes() []string {
	routes := make([]string, len(a.operations))
	for i, o := range a.operations {
		routes[i] = o.method + " " + o.path
	}
	slices.Sort(routes)
	return routes
}

// Check says what of an answer, and of the request if it succeeded, is not as
// the document has it.
func (a *API) Check(r *http.Request, sent []byte, res *http.Response, received []byte) error {
	o := a.find(r.Method, r.URL.EscapedPath())
	expected, ok := o.answers[res.StatusCode]
	if !ok {
		return fmt.Errorf("%s %s: %d is not in the API document", r.Method, r.URL, res.StatusCode)
	}
	problems := expected.checkHeader(res.Header)
	if r.Method != http.MethodHead {
		problems = append(problems, expected.checkBody(res.Header, received))
	}
	if len(sent) > 0 && res.StatusCode < http.StatusMultipleChoices {
		problems = append(problems, checkContent(o.body, r.Header, sent))
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%s %s, %d, is not as in the API document: %w\n%.2000s", r.Method, r.URL, res.StatusCode, err, received)
	}
	return nil
}

// find returns the operation for a request. There always is one: what the
// document does not have can only be answered in one way.
func (a *API) find(method, path string) operation {
	if method == http.MethodHead {
		method = http.MethodGet
	}
	other := operation{answers: map[int]answer{http.StatusNotFound: a.notFound}}
	for _, o := range a.operations {
		if !matches(o.path, path) {
			continue
		}
		if o.method == method {
			return o
		}
		other.answers = map[int]answer{http.StatusMethodNotAllowed: a.methodNotAllowed}
	}
	return other
}

func matches(template, path string) bool {
	want, got := strings.Split(template, "/"), strings.Split(path, "/")
	return slices.EqualFunc(want, got, func(want, got string) bool {
		return want == got || strings.HasPrefix(want, "{") && got != ""
	})
}

// ofHTTP are header fields that the document need not speak of.
var ofHTTP = []string{
	"Cache-Control", "Connection", "Content-Encoding", "Content-Length", "Content-Security-Policy", "Content-Type", "Date", "Vary",
	"X-Content-Type-Options",
}

func (a answer) checkHeader(h http.Header) (problems []error) {
	for name, expected := range a.headers {
		values := h.Values(name)
		if len(values) > 1 || expected.required && len(values) == 0 {
			problems = append(problems, fmt.Errorf("header %s is there %d times", name, len(values)))
			continue
		}
		for _, value := range values {
			if err := expected.schema.Validate(expected.parse(value)); err != nil {
				problems = append(problems, fmt.Errorf("header %s: %w", name, err))
			}
		}
	}
	for name := range h {
		if _, ok := a.headers[name]; !ok && !slices.Contains(ofHTTP, name) {
			problems = append(problems, fmt.Errorf("header %s is not in the document", name))
		}
	}
	return problems
}

// parse returns the value as the type that the schema asks for.
func (h header) parse(value string) any {
	if h.schema.Types != nil && slices.Contains(h.schema.Types.ToStrings(), "integer") {
		if n, err := strconv.Atoi(value); err == nil {
			return n
		}
	}
	return value
}

func (a answer) checkBody(h http.Header, body []byte) error {
	if len(a.content) > 0 {
		return checkContent(a.content, h, body)
	}
	if len(body) > 0 || h.Get("Content-Type") != "" {
		return errors.New("there is a body, but none in the document")
	}
	return nil
}

func checkContent(content map[string]*jsonschema.Schema, h http.Header, body []byte) error {
	mediaType, _, err := mime.ParseMediaType(h.Get("Content-Type"))
	if err != nil {
		return fmt.Errorf("Content-Type: %w", err)
	}
	schema, ok := content[mediaType]
	if !ok {
		return fmt.Errorf("Content-Type %s is not in the document", mediaType)
	}
	if schema == nil {
		return nil
	}
	return validate(schema, body)
}

func validate(schema *jsonschema.Schema, body []byte) error {
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		return err
	}
	return schema.Validate(value)
}
