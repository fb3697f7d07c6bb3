package invoicing_test

import (
	"bytes"
	"encoding/json"
	"flag"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/winaity/billing/internal/app/messaging"
	"github.com/winaity/billing/internal/domain/document"
	"github.com/winaity/billing/internal/domain/event"
	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
	"github.com/winaity/billing/internal/domain/numbering"
)

var update = flag.Bool("update", false, "rewrite the golden files; a changed one is a changed contract")

// The golden files pin every event as it is published, in its smallest and its
// fullest form. A change of theirs breaks consumers: add members, never rename,
// retype or remove one.
func TestEventsAreAsPublished(t *testing.T) {
	for name, e := range sampleEvents(t) {
		t.Run(name, func(t *testing.T) {
			trace := messaging.Trace{CorrelationID: "corr_01HXYZ789", Traceparent: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"}
			if e.AggregateType != invoice.AggregateType {
				trace.CausationID = "evt_01HXYZ000"
			}
			m, err := messaging.Seal(trace, e)
			if err != nil {
				t.Fatal(err)
			}
			if m.Subject != e.Type || m.AggregateID != e.AggregateID || m.Traceparent != trace.Traceparent || !strings.HasPrefix(m.ID, "evt_") {
				t.Errorf("the message does not fit its event: %+v", m)
			}
			if _, err := messaging.Open(m.Subject, m.Payload); err != nil {
				t.Errorf("consumers could not open it: %v", err)
			}
			got := indent(t, bytes.Replace(m.Payload, []byte(m.ID), []byte("evt_01HXYZ123456"), 1))
			path := filepath.Join("testdata", "events", name+".json")
			if *update {
				if err := os.WriteFile(path, got, 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatalf("%v (a new event? run this test with -update)", err)
			}
			if !bytes.Equal(got, want) {
				t.Errorf("the contract has changed.\ngot:\n%s\nwant:\n%s", got, want)
			}
		})
	}
}

func TestEveryEventHasAGoldenFile(t *testing.T) {
	samples := map[string]bool{}
	for _, e := range sampleEvents(t) {
		samples[e.Type] = true
	}
	for _, eventType := range eventTypes(t) {
		if !samples[eventType] {
			t.Errorf("%s is not among the samples", eventType)
		}
	}
}

// <bounded context>.<aggregate>.<what happened>, in lower case and in the past
// tense, and about the business: a row that was "updated" is no event.
func TestEventTypesAreWellNamed(t *testing.T) {
	pastParticiples := []string{"issued", "paid", "cancelled"}
	shape := regexp.MustCompile(`^billing\.[a-z]+\.[a-z]+$`)
	for _, eventType := range eventTypes(t) {
		if !shape.MatchString(eventType) {
			t.Errorf("%s: want billing.<aggregate>.<past participle> in lower case", eventType)
			continue
		}
		if verb := eventType[strings.LastIndex(eventType, ".")+1:]; !slices.Contains(pastParticiples, verb) {
			t.Errorf("%s: %q is not a known past participle; if it tells what happened in the business, add it", eventType, verb)
		}
	}
}

// sampleEvents returns the events of invoices and documents by a name for each,
// as the aggregates themselves record them.
func sampleEvents(t *testing.T) map[string]event.Event {
	t.Helper()
	at := time.Date(2026, 1, 15, 10, 30, 0, 0, time.UTC)
	number := func(s numbering.Series) numbering.Number { return numbering.Number{Series: s, Ordinal: 1, TakenAt: at} }
	issue := func() *invoice.Invoice {
		i, err := invoice.Issue(invoice.Draft{ID: "inv_01HXYZ456", CustomerID: "cust_01HXYZ789", Total: money.New(15000, "EUR")}, number(invoice.Series))
		must(t, err)
		return i
	}

	paid, paidPlain, cancelled, cancelledPlain := issue(), issue(), issue(), issue()
	must(t, paid.Pay(`RF18 5390 <0754> "é"`, at.Add(1500*time.Microsecond)))
	must(t, paidPlain.Pay("", at.Add(time.Hour)))
	must(t, cancelled.Cancel("ordered twice", at.Add(time.Hour)))
	must(t, cancelledPlain.Cancel("", at.Add(time.Hour)))
	receipt, err := document.IssueReceipt("rct_01HXYZ111", paid.Snapshot(), number(document.ReceiptSeries))
	must(t, err)
	note, err := document.IssueCreditNote("crn_01HXYZ222", cancelled.Snapshot(), number(document.CreditNoteSeries))
	must(t, err)

	ofPaid := paid.FlushEvents()
	return map[string]event.Event{
		"invoice.issued":          ofPaid[0],
		"invoice.paid":            ofPaid[1],
		"invoice.paid.plain":      paidPlain.FlushEvents()[1],
		"invoice.cancelled":       cancelled.FlushEvents()[1],
		"invoice.cancelled.plain": cancelledPlain.FlushEvents()[1],
		"receipt.issued":          receipt.FlushEvents()[0],
		"creditnote.issued":       note.FlushEvents()[0],
	}
}

// eventTypes returns every event type that the domain declares.
func eventTypes(t *testing.T) []string {
	t.Helper()
	var types []string
	err := filepath.WalkDir("../../domain", func(path string, _ fs.DirEntry, err error) error {
		if err != nil || filepath.Ext(path) != ".go" {
			return err
		}
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		ast.Inspect(file, func(n ast.Node) bool {
			literal, ok := n.(*ast.BasicLit)
			if !ok || literal.Kind != token.STRING {
				return true
			}
			if text, err := strconv.Unquote(literal.Value); err == nil && strings.HasPrefix(text, "billing.") {
				types = append(types, text)
			}
			return true
		})
		return nil
	})
	must(t, err)
	if len(types) == 0 {
		t.Fatal("found no event types")
	}
	return types
}

func indent(t *testing.T, raw []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	must(t, json.Indent(&out, raw, "", "  "))
	out.WriteByte('\n')
	return out.Bytes()
}

func must(t *testing.T, err error) {
	t.Helper()
	if err != nil {
		t.Fatal(err)
	}
}
