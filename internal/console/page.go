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

// asset is a file of the page, as it is served.
type asset struct {
	path, contentType string
	content           []byte
	tag               string // ETag
}

// assets returns the files of the page. Each has a route of its own, so that what
// is no file is nothing at all, with any method.
func assets() []asset {
	entries, err := fs.ReadDir(embedded, "static")
	must(err)
	files := make([]asset, len(entries))
	for i, entry := range entries {
		name := entry.Name()
		content, err := embedded.ReadFile("static/" + name)
		must(err)
		sum := sha256.Sum256(content)
		files[i] = asset{"/console/" + name, contentTypes[path.Ext(name)], content, `"` + hex.EncodeToString(sum[:16]) + `"`}
		if name == "index.html" {
			files[i].path = "/"
		}
	}
	return files
}

func must(err error) {
	if err != nil {
		panic(err) // what is embedded can be read
	}
}

// ServeHTTP implements http.Handler.
func (a asset) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	h := w.Header()
	h.Set("Content-Type", a.contentType)
	h.Set("Content-Security-Policy", policy)
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-cache") // it asks, by the tag, whether the binary is still the same
	h.Set("ETag", a.tag)
	http.ServeContent(w, r, "", time.Time{}, bytes.NewReader(a.content))
}
