package main

import (
	"github.com/go-chi/chi/v5"

	"github.com/winaity/billing/internal/console"
)

// consoleRoutes adds the console to the API, or is nil if there is none.
func (s *service) consoleRoutes() func(chi.Router) {
	if s.config.Console == console.Off {
		return nil
	}
	return console.New().Routes
}
