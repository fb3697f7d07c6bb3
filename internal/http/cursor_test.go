package httpapi

import (
	"encoding/base64"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/winaity/billing/internal/app/invoicing"
)

func TestCursorRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		p := invoicing.Position{
			IssuedAt: time.UnixMicro(rapid.Int64Range(0, latest).Draw(t, "issuedAt")).UTC(),
			ID:       rapid.StringMatching(invoiceID.String()).Draw(t, "id"),
		}
		got, err := decodeCursor(encodeCursor(p))
		if err != nil || *got != p {
			t.Fatalf("got %v, %v, want %v", got, err, p)
		}
	})
}

func TestOnlyOwnCursorsAreAccepted(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := rapid.String().Draw(t, "cursor")
		if p, err := decodeCursor(s); err == nil && encodeCursor(*p) != s {
			t.Fatalf("%q was accepted", s)
		}
	})
	const id = "inv_01HXYZ0000000000000000000A"
	good := base64.RawURLEncoding.EncodeToString([]byte("1 " + id))
	if _, err := decodeCursor(good); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", good + "=", good + "\n", good[:len(good)-1], " " + good} {
		if _, err := decodeCursor(bad); err == nil {
			t.Errorf("%q was accepted", bad)
		}
	}
	for _, text := range []string{
		"", " ", "1", "1 ", id, " " + id, "+1 " + id, "01 " + id, "-1 " + id, "1  " + id, "1 " + id + " ", "1.0 " + id,
		"253402300800000000 " + id, "9223372036854775808 " + id, "1 inv_x", "1 " + id + "\n", "1 rct_" + id[4:],
	} {
		if _, err := decodeCursor(base64.RawURLEncoding.EncodeToString([]byte(text))); err == nil {
			t.Errorf("%q was accepted", text)
		}
	}
}
