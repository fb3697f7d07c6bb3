package main

import (
	"encoding/json"
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

const observability = "../../deploy/observability/"

// query is a query of a panel or an alert.
type query struct{ from, expr, legend string }

// alert is a rule of alerts.yaml.
type alert struct {
	Alert, Expr         string
	Labels, Annotations map[string]string
}

func readAlerts(t *testing.T) (alerts []alert) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []alert } }
	readFile(t, observability+"alerts.yaml", yaml.Unmarshal, &file)
	for _, group := range file.Groups {
		alerts = append(alerts, group.Rules...)
	}
	if len(alerts) == 0 {
		t.Fatal("there are no alerts")
	}
	return alerts
}

func readFile(t *testing.T, name string, decode func([]byte, any) error, v any) {
	t.Helper()
	content, err := os.ReadFile(name)
	if err == nil {
		err = decode(content, v)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func readQueries(t *testing.T) (queries []query) {
	t.Helper()
	for _, a := range readAlerts(t) {
		queries = append(queries, query{from: a.Alert, expr: a.Expr})
	}
	var dashboard struct {
		Panels []struct {
			Title, Type string
			Targets     []struct{ Expr, LegendFormat string }
		}
	}
	readFile(t, observability+"dashboard.json", json.Unmarshal, &dashboard)
	for _, panel := range dashboard.Panels {
		if panel.Type != "row" && len(panel.Targets) == 0 {
			t.Errorf("panel %q shows nothing", panel.Title)
		}
		for _, target := range panel.Targets {
			queries = append(queries, query{panel.Title, target.Expr, target.LegendFormat})
		}
	}
	return queries
}

// What a panel or an alert asks for has to be among what the service says.
func TestDashboardAndAlertsAskForWhatExists(t *testing.T) {
	queries := readQueries(t)
	s := newStack(t)
	i := s.serve(nil)
	i.aBusyDay()
	scraped := i.scrape()
	for _, q := range queries {
		for _, problem := range q.check(scraped) {
			t.Errorf("%s: %s\n%s", q.from, problem, q.expr)
		}
	}

	// A check that finds nothing proves nothing until it has found something.
	for expr, want := range map[string]string{
		`sum(billing_outbox_publishd_total)`:                                                  "there is no billing_outbox_publishd_total",
		`rate(billing_commands_total{comand="pay"}[5m])`:                                      `billing_commands_total has no label comand`,
		`rate(billing_commands_total{command="pai"}[5m])`:                                     `no series of billing_commands_total has command="pai"`,
		`sum by (outcom) (rate(billing_commands_total[5m]))`:                                  "nothing in it has a label outcom",
		`histogram_quantile(0.9, rate(billing_outbox_batch_size_sum[5m])) + sum by (le) (up)`: "nothing in it has a label le",
		`1 + 1`: "it asks for nothing",
	} {
		if got := (query{expr: expr}).check(scraped); !slices.Contains(got, want) {
			t.Errorf("%s: found %q, want %q", expr, got, want)
		}
	}
}

var (
	selector  = regexp.MustCompile(`\b((?:billing|go|process)_\w+|up)\b(?:\{([^}]*)\})?`)
	matcher   = regexp.MustCompile(`(\w+)(=~|!~|!=|=)"([^"]*)"`)
	grouping  = regexp.MustCompile(`\bby \(([^)]*)\)`)
	inLegends = regexp.MustCompile(`\{\{(\w+)\}\}`)
)

// check returns what the query asks for that is not there.
func (q query) check(scraped exposition) (problems []string) {
	there := map[string]bool{"job": true, "instance": true} // Prometheus adds these
	asked := selector.FindAllStringSubmatch(q.expr, -1)
	if len(asked) == 0 {
		problems = append(problems, "it asks for nothing")
	}
	for _, a := range asked {
		metric := a[1]
		if metric == "up" { // Prometheus makes this one
			continue
		}
		values := scraped.labelsOf(metric)
		if values == nil {
			problems = append(problems, "there is no "+metric)
			continue
		}
		for name := range values {
			there[name] = true
		}
		for _, m := range matcher.FindAllStringSubmatch(a[2], -1) {
			name, operator, value := m[1], m[2], m[3]
			switch {
			case name == "job" || name == "instance":
			case values[name] == nil:
				problems = append(problems, fmt.Sprintf("%s has no label %s", metric, name))
			case operator == "=" && !values[name][value]:
				problems = append(problems, fmt.Sprintf("no series of %s has %s", metric, m[0]))
			}
		}
	}
	var wanted []string
	for _, g := range grouping.FindAllStringSubmatch(q.expr, -1) {
		wanted = append(wanted, strings.Split(g[1], ", ")...)
	}
	for _, l := range inLegends.FindAllStringSubmatch(q.legend, -1) {
		wanted = append(wanted, l[1])
	}
	for _, name := range wanted {
		if !there[name] {
			problems = append(problems, "nothing in it has a label "+name)
		}
	}
	return problems
}

// labelsOf returns the labels of a metric with their values, or nil if there is
// no such metric.
func (e exposition) labelsOf(metric string) map[string]map[string]bool {
	if !e.has(metric) {
		return nil
	}
	values := make(map[string]map[string]bool)
	for series := range e {
		name, labels, _ := strings.Cut(series, "{")
		if name != metric {
			continue
		}
		for _, l := range label.FindAllStringSubmatch(labels, -1) {
			if values[l[1]] == nil {
				values[l[1]] = make(map[string]bool)
			}
			values[l[1]][l[2]] = true
		}
	}
	return values
}

var alertHeading = regexp.MustCompile(`(?m)^## (Billing\w+)$`)

// Whoever an alert wakes has to find out what to do.
func TestEveryAlertHasItsPage(t *testing.T) {
	runbook, err := os.ReadFile("../../docs/runbook.md")
	if err != nil {
		t.Fatal(err)
	}
	var tests struct {
		Tests []struct {
			Cases []struct {
				Name   string `yaml:"alertname"`
				Firing []any  `yaml:"exp_alerts"`
			} `yaml:"alert_rule_test"`
		}
	}
	readFile(t, observability+"alerts_test.yaml", yaml.Unmarshal, &tests)
	fires := make(map[string]bool)
	for _, test := range tests.Tests {
		for _, c := range test.Cases {
			fires[c.Name] = fires[c.Name] || len(c.Firing) > 0
		}
	}
	pages := make(map[string]bool)
	for _, heading := range alertHeading.FindAllStringSubmatch(string(runbook), -1) {
		pages[heading[1]] = true
	}
	for _, a := range readAlerts(t) {
		if !pages[a.Alert] {
			t.Errorf("docs/runbook.md has no heading %s", a.Alert)
		}
		delete(pages, a.Alert)
		if !strings.HasSuffix(a.Annotations["runbook_url"], "/docs/runbook.md#"+strings.ToLower(a.Alert)) {
			t.Errorf("%s leads to %q", a.Alert, a.Annotations["runbook_url"])
		}
		if severity := a.Labels["severity"]; severity != "critical" && severity != "warning" || a.Annotations["summary"] == "" {
			t.Errorf("%s has severity %q and summary %q", a.Alert, severity, a.Annotations["summary"])
		}
		if !fires[a.Alert] {
			t.Errorf("alerts_test.yaml has no case in which %s fires", a.Alert)
		}
	}
	for name := range pages {
		t.Errorf("docs/runbook.md has a page for %s, which is no alert", name)
	}
}
