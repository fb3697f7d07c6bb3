package docs_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/winaity/billing/docs"
)

var update = flag.Bool("update", false, "publish the schemas as they are, if that breaks no consumer")

// The schemas as they were published are kept in testdata. What is published
// stays: events of last month are still to be read, and consumers of last year
// still read. What has to change otherwise becomes a new version beside it, in
// the name of the file and in the $id.
func TestNoPublishedSchemaBreaksItsConsumers(t *testing.T) {
	const dir = "testdata/published"
	present, err := fs.Glob(docs.Files, "schemas/*.json")
	if err != nil {
		t.Fatal(err)
	}
	published, err := filepath.Glob(dir + "/*.json")
	if err != nil || len(published) == 0 {
		t.Fatalf("nothing is published: %v", err)
	}
	for _, file := range published {
		if !slices.Contains(present, "schemas/"+filepath.Base(file)) {
			t.Errorf("%s is gone: keep it for those who read it", filepath.Base(file))
		}
	}
	for _, name := range present {
		is, err := docs.Files.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		file := filepath.Join(dir, path.Base(name))
		was, err := os.ReadFile(file)
		if err != nil && !os.IsNotExist(err) {
			t.Fatal(err)
		}
		if was != nil {
			for _, change := range breakingChanges(t, was, is) {
				t.Errorf("%s: %s; make a new version", name, change)
			}
		}
		switch {
		case bytes.Equal(was, is) || t.Failed():
		case *update:
			if err := os.WriteFile(file, is, 0o644); err != nil {
				t.Fatal(err)
			}
		default:
			t.Errorf("%s has changed, and breaks nothing: publish it with -update", name)
		}
	}
}

func TestEverySchemaIsOnThePageOfTheEvents(t *testing.T) {
	page, err := docs.Files.ReadFile("ui/events.html")
	if err != nil {
		t.Fatal(err)
	}
	present, err := fs.Glob(docs.Files, "schemas/*.json")
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range present {
		if !strings.Contains(string(page), `href="/`+name+`"`) {
			t.Errorf("%s is not there", name)
		}
	}
}

func TestBreakingChangesAreFound(t *testing.T) {
	was, err := docs.Files.ReadFile("schemas/billing.invoice.paid.v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	envelope, err := docs.Files.ReadFile("schemas/envelope.v1.schema.json")
	if err != nil {
		t.Fatal(err)
	}
	for name, test := range map[string]struct {
		schema   []byte
		old, new string
		want     string // empty if it breaks nobody
	}{
		"an added optional field":    {was, `"paidAt": {`, `"method": {"type": "string"}, "paidAt": {`, ""},
		"a better description":       {was, `"description": "In minor units`, `"description": "Always in minor units`, ""},
		"another example":            {was, `"cust_42"`, `"cust_43"`, ""},
		"another order":              {was, `"invoiceNumber",`, `"currency", "invoiceNumber",`, ""},
		"a renamed field":            {was, `"amount": {`, `"total": {`, "/data/amount is gone"},
		"a removed optional field":   {was, `"paymentReference": {`, `"reference": {`, "/data/paymentReference is gone"},
		"a retyped field":            {was, `"type": "integer"`, `"type": "string"`, "/data/amount: type was integer, is string"},
		"a field of two types":       {was, `"type": "integer"`, `"type": ["integer", "null"]`, "/data/amount: type was integer, is [integer null]"},
		"an optional field required": {was, `"paidAt"` + "\n", `"paidAt", "paymentReference"` + "\n", "/data/paymentReference is required now: events that are out do not have it"},
		"a required field optional":  {was, `"paidAt"` + "\n", `"amount"` + "\n", "/data/paidAt is not required any more: consumers rely on it"},
		"a new required field":       {was, `"paidAt"` + "\n", `"paidAt", "method"` + "\n", "/data/method is required now"},
		"a narrower field":           {was, `"maxLength": 140`, `"maxLength": 100`, "/data/paymentReference: maxLength was 140, is 100"},
		"a wider field":              {was, `"maxLength": 140`, `"maxLength": 200`, "/data/paymentReference: maxLength was 140, is 200"},
		"another form":               {was, `"format": "date-time"`, `"format": "date"`, "/data/paidAt: format was date-time, is date"},
		"a new rule":                 {was, `"type": "integer"`, `"type": "integer", "multipleOf": 5`, "/data/amount: multipleOf was <nil>, is 5"},
		"a closed object":            {was, `"data": {`, `"data": {"additionalProperties": false,`, "/data: additionalProperties was <nil>, is false"},
		"another type":               {was, `"const": "billing.invoice.paid"`, `"const": "billing.invoice.settled"`, "/type: const was billing.invoice.paid, is billing.invoice.settled"},
		"no envelope":                {was, `envelope.v1.`, `envelope.v2.`, "allOf was"},
		"a field of the envelope":    {envelope, `"causationId": {`, `"cause": {`, "/causationId is gone"},
	} {
		t.Run(name, func(t *testing.T) {
			is := bytes.Replace(test.schema, []byte(test.old), []byte(test.new), 1)
			if bytes.Equal(is, test.schema) {
				t.Fatalf("%s is not there", test.old)
			}
			got := strings.Join(breakingChanges(t, test.schema, is), "\n")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("got %q, want %q", got, test.want)
			}
		})
	}
}

func breakingChanges(t *testing.T, was, is []byte) []string {
	t.Helper()
	var before, after map[string]any
	for raw, schema := range map[*[]byte]*map[string]any{&was: &before, &is: &after} {
		if err := json.Unmarshal(*raw, schema); err != nil {
			t.Fatal(err)
		}
	}
	return compare("", before, after)
}

// annotations say nothing of what fits.
var annotations = []string{"$comment", "title", "description", "examples"}

// compare returns what of a schema has changed so that events written by one
// could not be read by the other. Only a new optional property is harmless: any
// other change is too much for one side or the other.
func compare(at string, was, is map[string]any) (changes []string) {
	before, after := object(was["properties"]), object(is["properties"])
	for _, name := range slices.Sorted(maps.Keys(before)) {
		if _, ok := after[name]; !ok {
			changes = append(changes, at+"/"+name+" is gone: consumers read it")
			continue
		}
		changes = append(changes, compare(at+"/"+name, object(before[name]), object(after[name]))...)
	}
	mandatory, stillMandatory := list(was["required"]), list(is["required"])
	for _, name := range mandatory {
		if !slices.Contains(stillMandatory, name) {
			changes = append(changes, fmt.Sprintf("%s/%s is not required any more: consumers rely on it", at, name))
		}
	}
	for _, name := range stillMandatory {
		if !slices.Contains(mandatory, name) {
			changes = append(changes, fmt.Sprintf("%s/%s is required now: events that are out do not have it", at, name))
		}
	}
	rules := maps.Clone(was)
	maps.Copy(rules, is)
	for _, rule := range slices.Sorted(maps.Keys(rules)) {
		if rule == "properties" || rule == "required" || slices.Contains(annotations, rule) {
			continue
		}
		if !reflect.DeepEqual(was[rule], is[rule]) {
			changes = append(changes, fmt.Sprintf("%s: %s was %v, is %v", at, rule, was[rule], is[rule]))
		}
	}
	return changes
}

func object(v any) map[string]any {
	o, _ := v.(map[string]any)
	return o
}

func list(v any) []any {
	l, _ := v.([]any)
	return l
}
