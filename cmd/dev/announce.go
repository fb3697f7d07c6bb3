package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
)

// announce tells people and programs where everything is.
func (s *stack) announce() error {
	if err := s.writeEnvFile(); err != nil {
		return err
	}
	var text strings.Builder
	fmt.Fprintf(&text, "\nbilling is ready.\n\n  %-9s %s\n", "API", s.api.url)
	for _, server := range s.servers {
		where := server.url
		if !server.private {
			where = "as " + server.variable + " says" // the URL may hold a password
		}
		fmt.Fprintf(&text, "  %-9s %s\n", server.name, where)
	}
	fmt.Fprintf(&text, `
Issue an invoice:

  curl -i %s/v1/invoices \
    -H 'Content-Type: application/json' -H 'Idempotency-Key: my-first-invoice' \
    -d '{"customerId":"cust_42","amount":15000,"currency":"EUR"}'

See the whole loop: make demo, in another terminal. Ctrl-C stops everything.

`, s.api.url)
	if consoleMode() != "off" {
		fmt.Fprintf(&text, "Watch it in the browser:\n\n  %s/\n\n", s.api.url)
	}
	_, err := os.Stdout.WriteString(text.String())
	return err
}

func envFile() string { return filepath.Join(directory, "env") }

// writeEnvFile writes what a shell can source to reach the stack.
func (s *stack) writeEnvFile() error {
	var content strings.Builder
	for _, server := range s.servers {
		fmt.Fprintf(&content, "%s=%s\n", server.variable, quote(server.url))
	}
	fmt.Fprintf(&content, "BILLING_URL=%s\n", quote(s.api.url))
	draft := envFile() + ".new"
	if err := os.WriteFile(draft, []byte(content.String()), 0o600); err != nil {
		return err
	}
	return os.Rename(draft, envFile())
}

func removeEnvFile() error {
	if err := os.Remove(envFile()); !errors.Is(err, os.ErrNotExist) {
		return err
	}
	return nil
}

// quote makes a shell take value as it is.
func quote(value string) string {
	if strings.ContainsAny(value, " \t\n\"'`$&;|<>()\\*#~!") {
		return "'" + strings.ReplaceAll(value, "'", `'\''`) + "'"
	}
	return value
}
