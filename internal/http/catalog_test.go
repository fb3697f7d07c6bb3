package httpapi

import "testing"

// The codes of the contract, and their statuses, are for ever.
func TestCatalogIsTheContract(t *testing.T) {
	contract := map[string]int{
		"malformed-request": 400, "invalid-cursor": 400, "idempotency-key-invalid": 400,
		"not-found": 404, "invoice-not-found": 404,
		"method-not-allowed":    405,
		"idempotency-in-flight": 409, "invalid-state-transition": 409,
		"version-mismatch":       412,
		"body-too-large":         413,
		"unsupported-media-type": 415,
		"validation-failed":      422, "idempotency-key-reused": 422,
		"too-many-requests":      429,
		"internal":               500,
		"dependency-unavailable": 503,
	}
	for code, status := range contract {
		if got := catalog[code].Status; got != status {
			t.Errorf("%s: got %d, want %d", code, got, status)
		}
	}
	for code, known := range catalog {
		if contract[code] == 0 {
			t.Errorf("%s is not in the contract", code)
		}
		if known.Title == "" || known.Cause == "" || known.Remedy == "" {
			t.Errorf("%s does not say enough", code)
		}
	}
}
