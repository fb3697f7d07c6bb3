package main

import (
	"net/http"

	"github.com/winaity/billing/internal/contract"
)

var apiDocument = contract.MustLoadAPI()

// checkAnswer holds every answer of an end-to-end test, and every request that
// succeeded, against the API document.
func (s *stack) checkAnswer(r *http.Request, sent string, res *http.Response, received []byte) {
	s.Helper()
	if err := apiDocument.Check(r, []byte(sent), res, received); err != nil {
		s.Error(err)
	}
}
