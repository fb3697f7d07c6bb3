package httpapi

import (
	"bytes"
	"encoding/json"
	"net/http"
	"testing"

	"github.com/winaity/billing/internal/domain/invoice"
	"github.com/winaity/billing/internal/domain/money"
)

// Invariant 9: bad input gets a 4xx that says what to change; no 500.
func FuzzDecode(f *testing.F) {
	for _, seed := range []string{
		`{"customerId":"c","amount":1,"currency":"EUR","dueDate":"2026-01-01"}`,
		`{"amount":-0,"amount":1e999}`, `{"a/b":[[[{}]]]}`, `{"customerId":"\ud83d\\"}`, "{\"\xff\":1}", "null", "",
	} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		object, err := parseObject(body)
		if err != nil {
			if code := presentable(err).Code; code != codeMalformed {
				t.Errorf("%s: %v", code, err)
			}
			return
		}
		var members map[string]any
		decoder := json.NewDecoder(bytes.NewReader(body))
		decoder.UseNumber()
		if err := decoder.Decode(&members); err != nil {
			t.Errorf("accepted, but %v", err)
		}
		customer := required(object, "customerId", text(invoice.ParseCustomerID))
		required(object, "amount", integer(invoice.ParseAmount))
		required(object, "currency", text(money.ParseCurrency))
		optional(object, "dueDate", text(invoice.ParseDate))
		if err := object.err(); err != nil {
			if shown := presentable(err); typeOf(shown).Status != http.StatusUnprocessableEntity || len(shown.Fields) == 0 {
				t.Errorf("got %v", err)
			}
			return
		}
		if members["customerId"] != string(customer) {
			t.Errorf("read %q, sent %v", customer, members["customerId"])
		}
	})
}
