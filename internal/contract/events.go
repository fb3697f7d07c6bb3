package contract

import (
	"cmp"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/santhosh-tekuri/jsonschema/v6"

	"github.com/winaity/billing/docs"
)

// Events are the JSON Schemas of what the service publishes. They are safe for
// concurrent use.
type Events struct {
	schemas map[string]*jsonschema.Schema // by file, with all their versions
	latest  map[string]string             // the file by its name: an event type, or one of these
}

const (
	envelope   = "envelope"
	deadLetter = "dead-letter"

	schemasURL = "https://billing.example/"
)

// MustLoadEvents returns the schemas that the service serves.
func MustLoadEvents() *Events {
	files := schemaFiles()
	documents := make(map[string]any)
	for _, file := range files {
		document, err := load(file)
		if err != nil {
			panic(err)
		}
		documents[file] = document
	}
	compiler, parts := newCompiler(), partsOf(documents)
	for file, document := range documents {
		seal(path.Base(file), document, parts)
		if err := compiler.AddResource(schemasURL+file, document); err != nil {
			panic(err)
		}
	}
	events := &Events{make(map[string]*jsonschema.Schema), latest(files)}
	for _, file := range files {
		events.schemas[file] = compiler.MustCompile(schemasURL + file)
	}
	return events
}

// schemaFiles returns all schemas, those of a name by their versions.
func schemaFiles() []string {
	files, err := fs.Glob(docs.Files, "schemas/*.json")
	if err != nil {
		panic(err)
	}
	// 10 is longer than 9.
	slices.SortFunc(files, func(a, b string) int { return cmp.Or(cmp.Compare(len(a), len(b)), cmp.Compare(a, b)) })
	return files
}

// latest returns the last version of each schema by its name: name.v1.schema.json.
func latest(files []string) map[string]string {
	byName := make(map[string]string)
	for _, file := range files {
		base := path.Base(file)
		byName[base[:strings.LastIndex(base, ".v")]] = file
	}
	return byName
}

// Types returns the types of all events.
func (e *Events) Types() []string {
	var types []string
	for name := range e.latest {
		if name != envelope && name != deadLetter {
			types = append(types, name)
		}
	}
	slices.Sort(types)
	return types
}

// Check says what of an event is not as its schema has it.
func (e *Events) Check(eventType string, payload []byte) error {
	file, ok := e.latest[eventType]
	if !ok {
		return fmt.Errorf("there is no schema for %s", eventType)
	}
	return validate(e.schemas[file], payload)
}

// CheckDeadLetter says what of a dead letter is not as its schema has it.
func (e *Events) CheckDeadLetter(payload []byte) error {
	return validate(e.schemas[e.latest[deadLetter]], payload)
}
