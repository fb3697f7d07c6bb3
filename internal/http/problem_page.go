package httpapi

import (
	"bytes"
	"html/template"
	"net/http"
)

var problemPage = template.Must(template.New("problem").Parse(`<!DOCTYPE html>
<html lang="en">
<head><meta charset="utf-8"><title>{{.Code}}</title></head>
<body>
<h1>{{.Title}}</h1>
<p>Code <code>{{.Code}}</code>, status {{.Status}}</p>
<h2>When it happens</h2>
<p>{{.Cause}}</p>
<h2>What to do</h2>
<p>{{.Remedy}}</p>
</body>
</html>
`))

// explainProblem serves what the type of a problem document points at.
func explainProblem(w http.ResponseWriter, r *http.Request) error {
	code := r.PathValue("code")
	known, ok := catalog[code]
	if !ok {
		return notFound(w, r)
	}
	var page bytes.Buffer
	if err := problemPage.Execute(&page, struct {
		Code string
		problemType
	}{code, known}); err != nil {
		return err
	}
	w.Header().Set("Cache-Control", "public, max-age=3600")
	w.Header().Set("Content-Security-Policy", "default-src 'none'")
	writeBody(w, http.StatusOK, "text/html; charset=utf-8", page.Bytes())
	return nil
}
