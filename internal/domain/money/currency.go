package money

import (
	"errors"
	"strings"
)

// Currency is an active ISO 4217 alphabetic code that has a minor unit. Make
// one with ParseCurrency, or convert a string that is known to be one.
type Currency string

// ErrUnknownCurrency is returned by ParseCurrency.
var ErrUnknownCurrency = errors.New("must be an active ISO 4217 currency code with a minor unit, such as EUR")

// ParseCurrency returns s as a Currency. Codes are upper case. Codes without a
// minor unit (XAU, XXX) and withdrawn ones (DEM) are unknown.
func ParseCurrency(s string) (Currency, error) {
	if _, ok := minorUnits[s]; !ok {
		return "", ErrUnknownCurrency
	}
	return Currency(s), nil
}

// MinorUnits returns how many decimal digits the minor unit has: 2 for EUR, 0
// for JPY, 3 for KWD. It is 0 for what is no Currency.
func (c Currency) MinorUnits() int { return minorUnits[string(c)] }

// Currencies are listed by the digits of their minor unit. Source: ISO 4217
// list one, table A.1, as maintained by SIX. CLDR, and what builds on it, has 0
// digits for COP, IDR, PKR and RSD among others: it lists what people write, not
// what amounts are kept in.
var minorUnits = digits(map[int]string{
	0: `BIF CLP DJF GNF ISK JPY KMF KRW PYG RWF UGX UYI VND VUV XAF XOF XPF`,
	2: `AED AFN ALL AMD AOA ARS AUD AWG AZN BAM BBD BDT BMD BND BOB BOV BRL BSD BTN BWP BYN
		BZD CAD CDF CHE CHF CHW CNY COP COU CRC CUP CVE CZK DKK DOP DZD EGP ERN ETB EUR FJD
		FKP GBP GEL GHS GIP GMD GTQ GYD HKD HNL HTG HUF IDR ILS INR IRR JMD KES KGS KHR KPW
		KYD KZT LAK LBP LKR LRD LSL MAD MDL MGA MKD MMK MNT MOP MRU MUR MVR MWK MXN MXV MYR
		MZN NAD NGN NIO NOK NPR NZD PAB PEN PGK PHP PKR PLN QAR RON RSD RUB SAR SBD SCR SDG
		SEK SGD SHP SLE SOS SRD SSP STN SVC SYP SZL THB TJS TMT TOP TRY TTD TWD TZS UAH USD
		USN UYU UZS VED VES WST XCD XCG YER ZAR ZMW ZWG`,
	3: `BHD IQD JOD KWD LYD OMR TND`,
	4: `CLF UYW`,
})

func digits(lists map[int]string) map[string]int {
	table := make(map[string]int)
	for n, codes := range lists {
		for code := range strings.FieldsSeq(codes) {
			table[code] = n
		}
	}
	return table
}
