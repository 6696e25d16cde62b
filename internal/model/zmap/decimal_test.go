package zmap

import (
	"math/big"
	"testing"
)

func FuzzParseDecimal(f *testing.F) {
	for _, s := range []string{"1.5", "-0.00", "1e6144", "9E-6176", "abc", "+.5E+1"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		d, err := ParseDecimal(s)
		if err != nil {
			return
		}
		fit, err := d.fit()
		if err != nil {
			return
		}
		if precision(fit.coefficient) > decimalDigits || fit.exponent < exponentMin || fit.exponent > exponentMax {
			t.Fatalf("%q became %v", s, fit)
		}
		again, err := ParseDecimal(fit.String())
		minus := Decimal{new(big.Int).Neg(fit.coefficient), fit.exponent}
		if err != nil || again.Add(minus).coefficient.Sign() != 0 {
			t.Fatalf("%q: %s is read as %s (%v)", s, fit, again, err)
		}
	})
}
