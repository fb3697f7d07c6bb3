package httpapi

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/winaity/billing/docs"
)

// The codes of the contract, and their statuses, are for ever.
func TestCatalogIsTheContract(t *testing.T) {
	contract := map[string]int{
		"malformed-request": 400, "invalid-cursor": 400, "idempotency-key-invalid": 400,
		"not-found": 404, "invoice-not-found": 404,
		"method-not-allowed":    405,
		"request-timeout":       408,
		"idempotency-in-flight": 409, "invalid-state-transition": 409,
		"version-mismatch":       412,
		"body-too-large":         413,
		"unsupported-media-type": 415,
		"validation-failed":      422, "idempotency-key-reused": 422,
		"too-many-requests":      429,
		"internal":               500,
		"dependency-unavailable": 503,
	}
	for code, status := range contract {
		if got := catalog[code].Status; got != status {
			t.Errorf("%s: got %d, want %d", code, got, status)
		}
	}
	for code, known := range catalog {
		if contract[code] == 0 {
			t.Errorf("%s is not in the contract", code)
		}
		if known.Title == "" || known.Cause == "" || known.Remedy == "" {
			t.Errorf("%s does not say enough", code)
		}
	}
}

// The API document has every problem with its status, and its examples say what
// the service would.
func TestEveryProblemIsInTheAPIDocument(t *testing.T) {
	content, err := docs.Files.ReadFile("openapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	type example struct {
		Reference string `yaml:"$ref"`
		Value     struct {
			Type, Title, Code string
			Status            any // of an invoice, it is a string
		}
	}
	var document struct {
		Components struct {
			Examples  map[string]example
			Responses map[string]struct {
				Content map[string]struct {
					Schema struct {
						AllOf []struct {
							Properties struct {
								Status struct{ Const int }
								Code   struct {
									Const string
									Enum  []string
								}
							}
						} `yaml:"allOf"`
					}
					Examples map[string]example
				}
			}
		}
	}
	if err := yaml.Unmarshal(content, &document); err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for name, response := range document.Components.Responses {
		media := response.Content[problemMediaType]
		for _, part := range media.Schema.AllOf {
			codes := part.Properties.Code.Enum
			if code := part.Properties.Code.Const; code != "" && part.Properties.Status.Const != 0 {
				codes = []string{code}
			}
			for _, code := range codes {
				documented[code] = true
				if got, want := part.Properties.Status.Const, catalog[code].Status; got != want {
					t.Errorf("%s: %s has the status %d, in the catalog %d", name, code, got, want)
				}
			}
		}
		for _, shown := range media.Examples {
			if at, ok := strings.CutPrefix(shown.Reference, "#/components/examples/"); ok {
				shown = document.Components.Examples[at]
			}
			got, want := shown.Value, catalog[shown.Value.Code]
			if got.Title != want.Title || got.Status != want.Status || got.Type != problemPath+got.Code {
				t.Errorf("%s: the example %+v is not what the service says", name, got)
			}
		}
	}
	if got, want := slices.Sorted(maps.Keys(documented)), slices.Sorted(maps.Keys(catalog)); !slices.Equal(got, want) {
		t.Errorf("the document has %q, the catalog %q", got, want)
	}
}

func TestEveryProblemHasItsPage(t *testing.T) {
	index := httptest.NewRecorder()
	Handle(listProblems)(index, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/problems", nil))
	for code, known := range catalog {
		if !strings.Contains(index.Body.String(), `href="/problems/`+code+`"`) {
			t.Errorf("the index does not have %s", code)
		}
		r := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/problems/"+code, nil)
		r.SetPathValue("code", code)
		page := httptest.NewRecorder()
		Handle(explainProblem)(page, r)
		for _, text := range []string{code, known.Title, known.Cause, known.Remedy} {
			if !strings.Contains(page.Body.String(), text) {
				t.Errorf("the page of %s does not have %q", code, text)
			}
		}
	}
}
