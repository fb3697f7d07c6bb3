package console

import (
	"bytes"
	"crypto/sha256"
	"embed"
	"encoding/hex"
	"io/fs"
	"net/http"
	"path"
	"time"

	"github.com/go-chi/chi/v5"
)

//go:embed static
var embedded embed.FS

// policy lets the page run and ask only what comes from here, and nobody frame
// it, for it has buttons.
const policy = "default-src 'self'; base-uri 'none'; form-action 'self'; frame-ancestors 'none'; object-src 'none'"

var contentTypes = map[string]string{
	".css":   "text/css; charset=utf-8",
	".html":  "text/html; charset=utf-8",
	".js":    "text/javascript; charset=utf-8",
	".json":  "application/json",
	".png":   "image/png",
	".svg":   "image/svg+xml",
	".woff2": "font/woff2",
}

// asset is one file of the page, as it is served.
type asset struct {
	name    string
	content []byte
	tag     string // ETag
}

// assets returns the files of the page by their name.
func assets() map[string]asset {
	entries, err := fs.ReadDir(embedded, "static")
	must(err)
	files := make(map[string]asset, len(entries))
	for _, entry := range entries {
		content, err := embedded.ReadFile("static/" + entry.Name())
		must(err)
		sum := sha256.Sum256(content)
		files[entry.Name()] = asset{entry.Name(), content, `"` + hex.EncodeToString(sum[:16]) + `"`}
	}
	return files
}

func must(err error) {
	if err != nil {
		panic(err) // what is embedded can be read
	}
}

// page is GET /.
func (c *Console) page(w http.ResponseWriter, r *http.Request) error {
	return c.serve(w, r, "index.html")
}

// file is GET /console/{file}.
func (c *Console) file(w http.ResponseWriter, r *http.Request) error {
	return c.serve(w, r, chi.URLParam(r, "file"))
}

func (c *Console) serve(w http.ResponseWriter, r *http.Request, name string) error {
	a, ok := c.assets[name]
	if !ok {
		return errNotFound
	}
	h := w.Header()
	h.Set("Content-Type", contentTypes[path.Ext(name)])
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // asks, by the ETag, whether it is the same binary's
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, name, time.Time{}, bytes.NewReader(a.content))
	return nil
}
