package main

import (
	"net/http"
	"strings"

	"github.com/winaity/billing/internal/contract"
)

var apiDocument = contract.MustLoadAPI()

// ofTheConsole reports whether a path is the console's, and so is not in the API
// document: the page comes with the binary and is the only client of its routes,
// which are no contract with anybody else.
func ofTheConsole(path string) bool { return path == "/" || strings.HasPrefix(path, "/console/") }

// checkAnswer holds every answer of an end-to-end test, and every request that
// succeeded, against the API document.
func (s *stack) checkAnswer(r *http.Request, sent string, res *http.Response, received []byte) {
	s.Helper()
	if ofTheConsole(r.URL.Path) && res.StatusCode != http.StatusNotFound {
		return
	}
	if err := apiDocument.Check(r, []byte(sent), res, received); err != nil {
		s.Error(err)
	}
}
