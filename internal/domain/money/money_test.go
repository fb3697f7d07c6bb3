package money_test

import (
	"errors"
	"math"
	"math/big"
	"testing"

	"pgregory.net/rapid"

	"github.com/winaity/billing/internal/domain/money"
)

func TestAddAndSubAreExactOrFail(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := rapid.Int64().Draw(t, "a"), rapid.Int64().Draw(t, "b")
		x, y := money.New(a, "EUR"), money.New(b, "EUR")

		sum, err := x.Add(y)
		expectExact(t, new(big.Int).Add(big.NewInt(a), big.NewInt(b)), sum, err)

		difference, err := x.Sub(y)
		if b == math.MinInt64 {
			return // −b does not exist; Sub may refuse what would fit
		}
		expectExact(t, new(big.Int).Sub(big.NewInt(a), big.NewInt(b)), difference, err)
	})
}

func expectExact(t *rapid.T, want *big.Int, got money.Money, err error) {
	t.Helper()
	if !want.IsInt64() {
		if !errors.Is(err, money.ErrOverflow) {
			t.Fatalf("got %d, %v; want overflow, since the result is %s", got.Amount(), err, want)
		}
		return
	}
	if err != nil || got != money.New(want.Int64(), "EUR") {
		t.Fatalf("got %d %s, %v; want %s EUR", got.Amount(), got.Currency(), err, want)
	}
}

func TestAddThenSubIsIdentity(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := rapid.Int64Range(1, money.MaxAmount)
		a, b := money.New(amount.Draw(t, "a"), "JPY"), money.New(amount.Draw(t, "b"), "JPY")
		sum, err := a.Add(b)
		if err != nil {
			t.Fatal(err)
		}
		back, err := sum.Sub(b)
		if err != nil || back != a {
			t.Fatalf("(%v + %v) − %v = %v, %v", a, b, b, back, err)
		}
	})
}

func TestCurrenciesDoNotMix(t *testing.T) {
	if _, err := money.New(1, "EUR").Add(money.New(1, "USD")); !errors.Is(err, money.ErrCurrencyMismatch) {
		t.Errorf("EUR + USD: got %v, want ErrCurrencyMismatch", err)
	}
}

func TestParseCurrency(t *testing.T) {
	for code, digits := range map[string]int{
		"EUR": 2, "USD": 2, "JPY": 0, "KWD": 3, "CLF": 4, "UYW": 4,
		"COP": 2, "IDR": 2, "PKR": 2, "RSD": 2, // 0 in CLDR
		"XOF": 0, "SLE": 2, "VES": 2, "ZWG": 2, "XCG": 2,
	} {
		c, err := money.ParseCurrency(code)
		if err != nil || c.MinorUnits() != digits {
			t.Errorf("%s: got %d digits, %v; want %d", code, c.MinorUnits(), err, digits)
		}
	}
	for _, code := range []string{"", "eur", "EURO", "€", "XXX", "XTS", "XAU", "XDR", "DEM", "HRK", "BGN", "ANG", "ZWL"} {
		if c, err := money.ParseCurrency(code); err == nil {
			t.Errorf("%q was taken for the currency %s", code, c)
		}
	}
}
