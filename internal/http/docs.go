package httpapi

import (
	"errors"
	"io/fs"
	"net/http"
	"path"
)

// documents has the handlers of what describes the service.
type documents struct{ files fs.FS }

// file serves one file.
func (d documents) file(name string) handler {
	return func(w http.ResponseWriter, r *http.Request) error {
		w.Header().Set("Cache-Control", "no-cache")
		return d.serve(w, r, name)
	}
}

// schema is GET /schemas/{file}.
func (d documents) schema(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-cache")
	return d.serve(w, r, "schemas/"+r.PathValue("file"))
}

// page is GET /docs.
func (d documents) page(w http.ResponseWriter, r *http.Request) error {
	w.Header().Set("Cache-Control", "no-cache")
	return d.serve(w, r, "ui/index.html")
}

// asset is GET /docs/{file}.
func (d documents) asset(w http.ResponseWriter, r *http.Request) error {
	name := "ui/" + r.PathValue("file")
	w.Header().Set("Cache-Control", "public, max-age=3600")
	if _, err := fs.Stat(d.files, name+".gz"); err == nil {
		// Only browsers ask for these, and every browser takes gzip.
		w.Header().Set("Content-Encoding", "gzip")
		return d.send(w, r, name+".gz", contentTypes[path.Ext(name)])
	}
	return d.serve(w, r, name)
}

// pagePolicy lets a page run only our scripts and ask only us. The UI of the API
// sets styles of its own.
const pagePolicy = "default-src 'none'; script-src 'self'; connect-src 'self'; " +
	"style-src 'self' 'unsafe-inline'; img-src 'self' data:; frame-ancestors 'none'"

var contentTypes = map[string]string{
	".css":  "text/css; charset=utf-8",
	".html": "text/html; charset=utf-8",
	".js":   "text/javascript; charset=utf-8",
	".json": "application/schema+json",
	".yaml": "application/yaml",
}

func (d documents) serve(w http.ResponseWriter, r *http.Request, name string) error {
	return d.send(w, r, name, contentTypes[path.Ext(name)])
}

func (d documents) send(w http.ResponseWriter, r *http.Request, name, contentType string) error {
	content, err := fs.ReadFile(d.files, name)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, fs.ErrInvalid) {
		return notFound(w, r)
	}
	if err != nil {
		return err
	}
	w.Header().Set("Content-Security-Policy", pagePolicy)
	writeBody(w, http.StatusOK, contentType, content)
	return nil
}
