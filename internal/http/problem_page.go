package httpapi

import (
	"bytes"
	"cmp"
	"html/template"
	"net/http"
	"slices"
)

var problemPages = template.Must(template.New("").Parse(`
{{define "top"}}<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{{.}}</title>
<link rel="stylesheet" href="/docs/page.css">
<link rel="icon" href="data:,">
</head>
<body>
<nav><a href="/docs">API</a> <a href="/docs/events.html">Events</a> <a href="/problems">Problems</a></nav>
<main class="page">
{{end}}

{{define "index"}}{{template "top" "Problems"}}
<h1>Problems</h1>
<p>Every error is a problem document (<a href="https://www.rfc-editor.org/rfc/rfc9457">RFC 9457</a>).
Match on its <code>code</code>: one that is published keeps its meaning and its status.</p>
<ul class="problems">
{{range .}}<li><a href="/problems/{{.Code}}">
<span class="status">{{.Status}}</span>
<strong>{{.Title}}</strong> <code>{{.Code}}</code>
<span>{{.Cause}}</span>
</a></li>
{{end}}</ul>
</main>
</body>
</html>
{{end}}

{{define "problem"}}{{template "top" .Title}}
<p><span class="status">{{.Status}}</span> <code>{{.Code}}</code></p>
<h1>{{.Title}}</h1>
<h2>When it happens</h2>
<p>{{.Cause}}</p>
<h2>What to do</h2>
<p>{{.Remedy}}</p>
<h2>What it looks like</h2>
<pre>HTTP/1.1 {{.Status}} {{.StatusText}}
Content-Type: application/problem+json
{{with .RetryAfter}}Retry-After: {{.}}
{{end}}X-Correlation-ID: corr_…

{
  "type": "/problems/{{.Code}}",
  "title": "{{.Title}}",
  "status": {{.Status}},
  "detail": "…",
  "code": "{{.Code}}",
  "correlationId": "corr_…",
  "traceId": "…"
}</pre>
<p>The <code>detail</code> says what is wrong with the request at hand. The <code>correlationId</code> and the
<code>traceId</code> find it in the service's log.</p>
</main>
</body>
</html>
{{end}}
`))

// explained is a problem type as its page has it.
type explained struct {
	Code string
	problemType
}

// StatusText is for the page.
func (e explained) StatusText() string { return http.StatusText(e.Status) }

// listProblems leads to the explanations of all problems.
func listProblems(w http.ResponseWriter, _ *http.Request) error {
	list := make([]explained, 0, len(catalog))
	for code, known := range catalog {
		list = append(list, explained{code, known})
	}
	slices.SortFunc(list, func(a, b explained) int {
		return cmp.Or(cmp.Compare(a.Status, b.Status), cmp.Compare(a.Code, b.Code))
	})
	return writePage(w, "index", list)
}

// explainProblem serves what the type of a problem document points at.
func explainProblem(w http.ResponseWriter, r *http.Request) error {
	code := r.PathValue("code")
	known, ok := catalog[code]
	if !ok {
		return notFound(w, r)
	}
	return writePage(w, "problem", explained{code, known})
}

func writePage(w http.ResponseWriter, name string, data any) error {
	var page bytes.Buffer
	if err := problemPages.ExecuteTemplate(&page, name, data); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Content-Security-Policy", "default-src 'none'; style-src 'self'; img-src data:; frame-ancestors 'none'")
	writeBody(w, http.StatusOK, "text/html; charset=utf-8", page.Bytes())
	return nil
}
