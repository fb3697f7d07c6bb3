package invoice

import (
	"errors"
	"fmt"
	"regexp"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/winaity/billing/internal/domain/money"
)

// CustomerID names a customer of the caller: 1 to 64 of A–Z a–z 0–9 _ -.
type CustomerID string

var customerID = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// ParseCustomerID returns s as a CustomerID, or says what it must look like.
func ParseCustomerID(s string) (CustomerID, error) {
	if !customerID.MatchString(s) {
		return "", errors.New("must be 1 to 64 characters of A-Z, a-z, 0-9, _ and -")
	}
	return CustomerID(s), nil
}

// ParseAmount returns n as the minor units of an invoice: 1 to money.MaxAmount.
func ParseAmount(n int64) (int64, error) {
	if n < 1 || n > money.MaxAmount {
		return 0, fmt.Errorf("must be from 1 to %d minor units", int64(money.MaxAmount))
	}
	return n, nil
}

// PaymentReference is what the payer wrote with the payment: at most 140
// characters (the length of SEPA remittance information). Empty means none.
type PaymentReference string

// ParsePaymentReference returns s as a PaymentReference.
func ParsePaymentReference(s string) (PaymentReference, error) {
	return PaymentReference(s), printable(s, 140)
}

// Reason is why an invoice was cancelled: at most 500 characters. Empty means none.
type Reason string

// ParseReason returns s as a Reason.
func ParseReason(s string) (Reason, error) {
	return Reason(s), printable(s, 500)
}

func printable(s string, limit int) error {
	if n := utf8.RuneCountInString(s); n < 1 || n > limit {
		return fmt.Errorf("must have 1 to %d characters", limit)
	}
	for _, r := range s {
		// The joiners are not graphic themselves, but names in several scripts
		// and most composed emoji need them.
		if joiner := r == '\u200c' || r == '\u200d'; !unicode.IsGraphic(r) && !joiner {
			return errors.New("must not have control or other unprintable characters")
		}
	}
	return nil
}

// Date is a calendar day without a time zone. Dates compare with ==.
type Date struct{ midnight time.Time }

// DateOf returns the day of t in UTC.
func DateOf(t time.Time) Date {
	year, month, day := t.UTC().Date()
	return Date{time.Date(year, month, day, 0, 0, 0, 0, time.UTC)}
}

// ParseDate parses YYYY-MM-DD (ISO 8601 calendar date, extended format). The day
// of the zero Date, 0001-01-01, is no date: it would stand for none.
func ParseDate(s string) (Date, error) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil || t.IsZero() {
		return Date{}, errors.New("must be a calendar date, YYYY-MM-DD")
	}
	return Date{t}, nil
}

// IsZero reports whether d is the zero Date, which stands for none.
func (d Date) IsZero() bool { return d.midnight.IsZero() }

// AddDays returns the day n days later.
func (d Date) AddDays(n int) Date { return Date{d.midnight.AddDate(0, 0, n)} }

// Before reports whether d is an earlier day than o.
func (d Date) Before(o Date) bool { return d.midnight.Before(o.midnight) }

// Time returns midnight UTC of the day.
func (d Date) Time() time.Time { return d.midnight }

// String formats the day as YYYY-MM-DD.
func (d Date) String() string { return d.midnight.Format(time.DateOnly) }

// MarshalText makes a Date a JSON string.
func (d Date) MarshalText() ([]byte, error) { return []byte(d.String()), nil }
