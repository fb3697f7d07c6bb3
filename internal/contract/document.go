// Package contract checks what the service takes, answers and publishes against
// the documents that it serves. It is for tests.
package contract

import (
	"bytes"
	"encoding/json"
	"fmt"
	"strconv"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"
	"go.yaml.in/yaml/v3"

	"github.com/winaity/billing/docs"
)

// load returns a document, in YAML or JSON, as the JSON that it stands for.
func load(name string) (any, error) {
	content, err := docs.Files.ReadFile(name)
	if err != nil {
		return nil, err
	}
	var v any
	if err := yaml.Unmarshal(content, &v); err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	asJSON, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", name, err)
	}
	return jsonschema.UnmarshalJSON(bytes.NewReader(asJSON))
}

func newCompiler() *jsonschema.Compiler {
	compiler := jsonschema.NewCompiler()
	compiler.DefaultDraft(jsonschema.Draft2020)
	compiler.AssertFormat()
	compiler.AssertContent()
	return compiler
}

// seal makes the object schemas at v refuse members that they do not declare.
// The documents allow those, since consumers must ignore what they do not know;
// but a test must find what the documents forgot. What is a part of another
// schema is sealed with the whole: the content of every allOf, and what that
// refers to, which parts has by its name.
func seal(name string, v any, parts map[string]bool) {
	switch v := v.(type) {
	case []any:
		for i, element := range v {
			seal(name+"/"+strconv.Itoa(i), element, parts)
		}
	case map[string]any:
		for key, member := range v {
			if key != "allOf" {
				seal(name+"/"+escape(key), member, parts)
			}
		}
		if (v["properties"] != nil || v["allOf"] != nil) && !parts[name] {
			v["unevaluatedProperties"] = false
		}
	}
}

// partsOf returns what every allOf at v refers to.
func partsOf(v any) map[string]bool {
	parts := make(map[string]bool)
	var find func(v any)
	find = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, element := range v {
				find(element)
			}
		case map[string]any:
			elements, _ := v["allOf"].([]any)
			for _, element := range elements {
				if schema, ok := element.(map[string]any); ok {
					if reference, ok := schema["$ref"].(string); ok {
						parts[reference] = true
					}
				}
			}
			for _, member := range v {
				find(member)
			}
		}
	}
	find(v)
	return parts
}

// place is somewhere in a document.
type place struct {
	root  any
	name  string // "#" and a JSON Pointer
	value any    // nil if there is nothing
}

// at goes down along the keys, and wherever a reference leads.
func (p place) at(keys ...string) place {
	for _, key := range keys {
		members, _ := p.value.(map[string]any)
		p.name, p.value = p.name+"/"+escape(key), members[key]
		members, _ = p.value.(map[string]any)
		if reference, ok := members["$ref"].(string); ok {
			path := strings.Split(strings.TrimPrefix(reference, "#/"), "/")
			for i := range path {
				path[i] = unescapes.Replace(path[i])
			}
			p = place{p.root, "#", p.root}.at(path...)
		}
	}
	return p
}

// members returns what is in the object at p.
func (p place) members() map[string]place {
	object, _ := p.value.(map[string]any)
	members := make(map[string]place, len(object))
	for key := range object {
		members[key] = p.at(key)
	}
	return members
}

// JSON Pointer, RFC 6901.
var (
	escapes   = strings.NewReplacer("~", "~0", "/", "~1")
	unescapes = strings.NewReplacer("~1", "/", "~0", "~")
)

func escape(key string) string { return escapes.Replace(key) }
