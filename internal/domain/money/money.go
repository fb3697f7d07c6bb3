// Package money is exact money: whole minor units of an ISO 4217 currency.
package money

import (
	"math"

	"github.com/winaity/billing/internal/domain/fault"
)

// MaxAmount is the largest amount, in minor units: 2^53−1, the largest integer
// that every JSON reader holds exactly (RFC 8259, section 6).
const MaxAmount = 1<<53 - 1

// ErrCurrencyMismatch is returned by arithmetic on two currencies.
var ErrCurrencyMismatch = fault.New(fault.Invalid, "currency-mismatch", "The amounts are in different currencies.")

// ErrOverflow is returned by arithmetic whose result does not fit.
var ErrOverflow = fault.New(fault.Invalid, "amount-overflow", "The amount is too large.")

// Money is an amount in minor units (cents, for most currencies). The zero
// value is no money in no currency. Values compare with ==.
type Money struct {
	amount   int64
	currency Currency
}

// New returns amount minor units of currency.
func New(amount int64, currency Currency) Money {
	return Money{amount: amount, currency: currency}
}

// Amount returns the number of minor units.
func (m Money) Amount() int64 { return m.amount }

// Currency returns the currency.
func (m Money) Currency() Currency { return m.currency }

// Add returns m + o. It fails with ErrCurrencyMismatch or ErrOverflow.
func (m Money) Add(o Money) (Money, error) {
	if m.currency != o.currency {
		return Money{}, ErrCurrencyMismatch
	}
	if (o.amount > 0 && m.amount > math.MaxInt64-o.amount) || (o.amount < 0 && m.amount < math.MinInt64-o.amount) {
		return Money{}, ErrOverflow
	}
	return Money{m.amount + o.amount, m.currency}, nil
}

// Sub returns m − o. It fails with ErrCurrencyMismatch or ErrOverflow.
func (m Money) Sub(o Money) (Money, error) {
	if o.amount == math.MinInt64 {
		return Money{}, ErrOverflow
	}
	return m.Add(Money{-o.amount, o.currency})
}
