// Package internal_test holds the rules of the architecture, as tests: who may
// import whom, who reads the environment, what the service is not built with,
// and which files must not know the business.
package internal_test

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"testing/fstest"
)

const module = "github.com/winaity/billing/"

// A layer is a directory with all below it.
type layer struct {
	dir    string
	may    []string // what it may import besides itself and the standard library; here or anywhere
	mayNot []string // what of the standard library it may not
}

const anything = "*"

var layers = []layer{
	{
		dir:    "internal/domain", // no I/O, no clock that it was not handed, nothing to cancel
		mayNot: []string{"context", "database", "log", "net", "os", "syscall"},
	}, {
		dir:    "internal/app",
		may:    []string{"internal/domain", "github.com/oklog/ulid/v2"},
		mayNot: []string{"database", "net", "os", "syscall"},
	}, {
		dir: "internal/http",
		may: []string{"internal/app", "internal/domain", "github.com/go-chi/chi/v5", "golang.org/x/sync"},
	}, {
		dir: "internal/console", // a page on top of the API
		may: []string{"internal/app", "internal/domain", "internal/http", "github.com/go-chi/chi/v5"},
	}, {
		dir: "internal/infra/postgres",
		may: []string{"internal/app", "internal/domain", "github.com/jackc", "github.com/pressly/goose/v3"},
	}, {
		dir: "internal/infra/nats",
		may: []string{"internal/app", "internal/domain", "github.com/nats-io/nats.go", "github.com/synadia-io/orbit.go"},
	}, {
		dir: "internal/infra/redis",
		may: []string{"internal/app", "internal/domain", "github.com/redis/go-redis/v9"},
	}, {
		dir: "internal/infra/tracing",
		may: []string{"internal/app", "internal/domain", "go.opentelemetry.io", "github.com/go-logr/logr"},
	}, {
		dir: "internal/infra/metrics",
		may: []string{"internal/app", "internal/domain", "github.com/prometheus/client_golang"},
	}, {
		dir: "internal/simulation", // knows the plumbing, and no driver
		may: []string{"internal/app", "internal/domain", "internal/infra/postgres/groupcommit"},
	}, {
		dir: "internal/contract", // knows the documents, not the service
		may: []string{"docs", "github.com/santhosh-tekuri/jsonschema/v6", "go.yaml.in/yaml/v3"},
	}, {
		dir: "internal/devstack", // knows servers, not the service
		may: []string{"github.com/jackc/pgx/v5", "github.com/nats-io/nats-server/v2", "github.com/redis/go-redis/v9"},
	},
	{
		dir: "internal/browser", // knows pages, not ours
		may: []string{"internal/devstack", "github.com/chromedp"},
	},
	{dir: "docs"},
	{dir: "sql"},
	{dir: "cmd", may: []string{anything}},
}

// notInService is what cmd/billing must not be built with.
var notInService = []string{module + "internal/browser", module + "internal/contract", module + "internal/devstack", module + "internal/simulation", "github.com/chromedp", "github.com/nats-io/nats-server", "testing"}

// generic are the files that a team keeps when it replaces the business, so
// none of them may speak of an invoice.
var generic = []string{
	"internal/domain/event/*.go",
	"internal/domain/fault/*.go",
	"internal/domain/money/*.go",
	"internal/domain/numbering/*.go",
	"internal/domain/version/*.go",

	"internal/app/batch/*.go",
	"internal/app/idempotency/*.go",
	"internal/app/messaging/*.go",

	"internal/http/body.go",
	"internal/http/conditional.go",
	"internal/http/decode.go",
	"internal/http/docs.go",
	"internal/http/fields.go",
	"internal/http/handle.go",
	"internal/http/health.go",
	"internal/http/idempotency.go",
	"internal/http/middleware.go",
	"internal/http/problem*.go",
	"internal/http/trace.go",

	"internal/infra/metrics/*.go",
	"internal/infra/nats/*.go",
	"internal/infra/redis/*.go",
	"internal/infra/tracing/*.go",
	"internal/infra/postgres/backlog.go",
	"internal/infra/postgres/config.go",
	"internal/infra/postgres/errors.go",
	"internal/infra/postgres/floor.go",
	"internal/infra/postgres/groupcommit/*.go",
	"internal/infra/postgres/idempotency.go",
	"internal/infra/postgres/identity.go",
	"internal/infra/postgres/inbox.go",
	"internal/infra/postgres/migrate.go",
	"internal/infra/postgres/outbox.go",
	"internal/infra/postgres/pipeline.go",
	"internal/infra/postgres/plumbing.go",
	"internal/infra/postgres/pool.go",
	"internal/infra/postgres/retention.go",
	"internal/infra/postgres/sqlstate.go",
	"internal/infra/postgres/store.go",
	"internal/infra/postgres/transaction.go",
	"internal/infra/postgres/tx.go",
	"sql/migrations/*_outbox.sql",
	"sql/queries/idempotency.sql",
	"sql/queries/identity.sql",
	"sql/queries/inbox.sql",
	"sql/queries/numbers.sql",
	"sql/queries/outbox.sql",

	"internal/devstack/*.go",
	"internal/simulation/*.go",
	"internal/simulation/conformance/*.go",
}

var business = regexp.MustCompile(`(?i)invoice`)

func TestImportsFollowTheLayers(t *testing.T) {
	findNothing(t, checkImports)
}

func TestOnlyCommandsReadTheEnvironment(t *testing.T) {
	findNothing(t, checkEnvironment)
}

func TestPlumbingDoesNotKnowTheBusiness(t *testing.T) {
	findNothing(t, checkGeneric(generic...))
}

func TestServiceIsBuiltWithoutItsTestBench(t *testing.T) {
	list := exec.CommandContext(t.Context(), "go", "list", "-deps", "./cmd/billing")
	list.Dir = ".."
	out, err := list.Output()
	if err != nil {
		t.Fatal(err)
	}
	packages := strings.Fields(string(out))
	if !slices.Contains(packages, module+"internal/app/messaging") {
		t.Fatalf("go list found no more than %q", packages)
	}
	for _, p := range packages {
		if isOrIsBelow(p, notInService...) {
			t.Errorf("cmd/billing is built with %s", p)
		}
	}
}

// A check that finds nothing proves nothing until it has found something.
func TestViolationsAreFound(t *testing.T) {
	imports, environment, plumbing := checkImports, checkEnvironment, checkGeneric("internal/app/messaging/*.go")
	for _, test := range []struct {
		name   string
		check  check
		file   string
		source string
		want   string // empty if it is no violation
	}{
		{
			"domain with the time", imports, "internal/domain/money/m.go",
			`package money; import "time"`, "",
		}, {
			"domain with a context", imports, "internal/domain/money/m.go",
			`package money; import "context"`, "internal/domain/money/m.go imports context",
		}, {
			"domain with HTTP", imports, "internal/domain/money/m.go",
			`package money; import _ "net/http"`, "internal/domain/money/m.go imports net/http",
		}, {
			"domain with a library", imports, "internal/domain/money/m.go",
			`package money; import "github.com/oklog/ulid/v2"`, "internal/domain/money/m.go imports github.com/oklog/ulid/v2",
		}, {
			"application with the domain", imports, "internal/app/ordering/a.go",
			`package ordering; import "` + module + `internal/domain/money"`, "",
		}, {
			"application with an adapter", imports, "internal/app/ordering/a.go",
			`package ordering; import "` + module + `internal/infra/nats"`, "internal/app/ordering/a.go imports internal/infra/nats",
		}, {
			"adapter with another", imports, "internal/infra/nats/n.go",
			`package nats; import "` + module + `internal/infra/redis"`, "internal/infra/nats/n.go imports internal/infra/redis",
		}, {
			"adapter with another's driver", imports, "internal/infra/nats/n.go",
			`package nats; import "github.com/jackc/pgx/v5"`, "internal/infra/nats/n.go imports github.com/jackc/pgx/v5",
		}, {
			"package in no layer", imports, "internal/util/u.go",
			`package util`, "internal/util/u.go is in no layer",
		}, {
			"variable in an adapter", environment, "internal/infra/nats/n.go",
			`package nats; import "os"; var url = os.Getenv("NATS_URL")`, "internal/infra/nats/n.go reads the environment: os.Getenv",
		}, {
			"variable in a command", environment, "cmd/billing/main.go",
			`package main; import "os"; var url = os.Getenv("NATS_URL")`, "",
		}, {
			"plumbing with business", plumbing, "internal/app/messaging/m.go",
			`package messaging; type PaidInvoices struct{}`, "internal/app/messaging/m.go speaks of an Invoice",
		}, {
			"plumbing that is gone", plumbing, "internal/app/other/m.go",
			`package other`, "internal/app/messaging/*.go matches no file",
		},
	} {
		t.Run(test.name, func(t *testing.T) {
			found, err := test.check(fstest.MapFS{test.file: {Data: []byte(test.source)}})
			if err != nil {
				t.Fatal(err)
			}
			if got := strings.Join(found, "\n"); got != test.want {
				t.Errorf("found %q, want %q", got, test.want)
			}
		})
	}
}

// A check returns the violations of a rule in the module at fsys.
type check func(fsys fs.FS) (violations []string, err error)

// findNothing runs a check on this module.
func findNothing(t *testing.T, check check) {
	t.Helper()
	violations, err := check(os.DirFS(".."))
	if err != nil {
		t.Fatal(err)
	}
	for _, v := range violations {
		t.Error(v)
	}
}

func checkImports(fsys fs.FS) (violations []string, err error) {
	err = eachFile(fsys, func(name string, file *ast.File) {
		i := slices.IndexFunc(layers, func(l layer) bool { return isOrIsBelow(name, l.dir) })
		if i < 0 {
			violations = append(violations, name+" is in no layer")
			return
		}
		for _, spec := range file.Imports {
			imported, _ := strconv.Unquote(spec.Path.Value) // the parser has accepted it
			imported = strings.TrimPrefix(imported, module)
			if !layers[i].allows(imported) {
				violations = append(violations, name+" imports "+imported)
			}
		}
	})
	return violations, err
}

func (l layer) allows(imported string) bool {
	first, _, _ := strings.Cut(imported, "/")
	standard := !strings.Contains(first, ".") && !isOrIsBelow(imported, "cmd", "docs", "internal", "sql")
	switch {
	case slices.Contains(l.may, anything):
		return true
	case standard:
		return !isOrIsBelow(imported, l.mayNot...)
	default:
		return isOrIsBelow(imported, l.dir) || isOrIsBelow(imported, l.may...)
	}
}

func checkEnvironment(fsys fs.FS) (violations []string, err error) {
	readers := []string{"Environ", "ExpandEnv", "Getenv", "LookupEnv"}
	err = eachFile(fsys, func(name string, file *ast.File) {
		if isOrIsBelow(name, "cmd") {
			return
		}
		for node := range ast.Preorder(file) {
			selector, ok := node.(*ast.SelectorExpr)
			if !ok || !slices.Contains(readers, selector.Sel.Name) {
				continue
			}
			if from, ok := selector.X.(*ast.Ident); ok && from.Name == "os" {
				violations = append(violations, fmt.Sprintf("%s reads the environment: os.%s", name, selector.Sel.Name))
			}
		}
	})
	return violations, err
}

func checkGeneric(globs ...string) check {
	return func(fsys fs.FS) (violations []string, err error) {
		for _, glob := range globs {
			names, err := fs.Glob(fsys, glob)
			if err != nil {
				return nil, err
			}
			if len(names) == 0 {
				violations = append(violations, glob+" matches no file")
			}
			for _, name := range names {
				content, err := fs.ReadFile(fsys, name)
				if err != nil {
					return nil, err
				}
				if word := business.Find(content); word != nil {
					violations = append(violations, fmt.Sprintf("%s speaks of an %s", name, word))
				}
			}
		}
		return violations, nil
	}
}

// eachFile visits every Go file of the module but its tests.
func eachFile(fsys fs.FS, visit func(name string, file *ast.File)) error {
	return fs.WalkDir(fsys, ".", func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if name != "." && (strings.HasPrefix(entry.Name(), ".") || entry.Name() == "testdata" || name == "tools") {
				return fs.SkipDir
			}
			return nil
		}
		if path.Ext(name) != ".go" || strings.HasSuffix(name, "_test.go") {
			return nil
		}
		source, err := fs.ReadFile(fsys, name)
		if err != nil {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), name, source, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		visit(name, file)
		return nil
	})
}

func isOrIsBelow(name string, dirs ...string) bool {
	return slices.ContainsFunc(dirs, func(dir string) bool {
		return name == dir || strings.HasPrefix(name, dir+"/")
	})
}
