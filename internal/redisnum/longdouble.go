package redisnum

import (
	"math"
	"math/big"
	"strconv"
	"strings"
)

const (
	longDoubleBits = 64 // of mantissa
	// maxLongDoubleExp and minLongDoubleExp bound a finite value: it is below
	// 2^maxLongDoubleExp and above 2^minLongDoubleExp, half the least denormal.
	maxLongDoubleExp = 16384
	minLongDoubleExp = -16446
	// longDoubleChars bounds what Redis reads as a long double.
	longDoubleChars = 5 << 10
	longDoubleScale = 17 // digits behind the point that Redis prints
)

// LongDouble is the 80-bit floating-point number with which Redis computes
// INCRBYFLOAT and HINCRBYFLOAT on x86. Its values are immutable. The zero value is 0.
type LongDouble struct {
	f   *big.Float // nil means 0
	nan bool
}

// ParseLongDouble reads what C's strtold accepts in full; NaN, blanks, overflow
// and non-zero values that round to zero are refused, as are inputs of 5 KiB and
// more. Infinity is accepted.
func ParseLongDouble(b []byte) (LongDouble, bool) {
	if len(b) >= longDoubleChars {
		return LongDouble{}, false
	}
	n, ok := scan(b)
	if !ok {
		return LongDouble{}, false
	}
	z := new(big.Float).SetPrec(longDoubleBits)
	switch {
	case n.inf:
		return LongDouble{f: z.SetInf(n.negative)}, true
	case n.zero:
		if n.negative {
			z.Neg(z)
		}
		return LongDouble{f: z}, true
	}
	if !n.round(z) {
		return LongDouble{}, false
	}
	if n.negative {
		z.Neg(z)
	}
	return LongDouble{f: z}, true
}

// round sets z to the nearest long double, ties to even. It reports whether the
// number is in range.
func (n *number) round(z *big.Float) bool {
	whole, fraction, _ := strings.Cut(n.digits, ".")
	exp := 0
	if n.hasExp {
		var err error
		// Beyond this bound the result is out of range, however long the mantissa.
		if exp, err = strconv.Atoi(n.exp); err != nil || exp > 1<<17 || exp < -1<<17 {
			return false
		}
	}
	base, perDigit := 10, 1
	if n.hex {
		base, perDigit = 16, 4
	}
	mantissa, ok := new(big.Int).SetString(whole+fraction, base)
	if !ok {
		return false
	}
	exp -= perDigit * len(fraction)
	switch {
	case n.hex:
		z.SetInt(mantissa)
		z.SetMantExp(z, exp)
	case exp > 2*longDoubleChars || exp < -2*longDoubleChars:
		return false
	case exp >= 0:
		z.SetInt(mantissa.Mul(mantissa, powerOfTen(exp)))
	default:
		// The operands are exact and Quo rounds once.
		z.Quo(new(big.Float).SetInt(mantissa), new(big.Float).SetInt(powerOfTen(-exp)))
	}
	e := z.MantExp(nil)
	if e > maxLongDoubleExp {
		return false
	}
	half := z.MinPrec() == 1 && e == minLongDoubleExp+1 // exactly half the least denormal
	return e > minLongDoubleExp && !half
}

func powerOfTen(n int) *big.Int {
	return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil)
}

// Add returns x+y rounded to a long double.
func (x LongDouble) Add(y LongDouble) LongDouble {
	a, b := x.float(), y.float()
	if x.nan || y.nan || a.IsInf() && b.IsInf() && a.Signbit() != b.Signbit() {
		return LongDouble{nan: true}
	}
	z := new(big.Float).SetPrec(longDoubleBits).Add(a, b)
	if !z.IsInf() && z.MantExp(nil) > maxLongDoubleExp {
		z.SetInf(z.Signbit())
	}
	return LongDouble{f: z}
}

// Float64 is the nearest number of double precision.
func (x LongDouble) Float64() float64 {
	if x.nan {
		return math.NaN()
	}
	f, _ := x.float().Float64()
	return f
}

// Finite reports whether x is neither infinite nor NaN. Redis refuses to store
// anything else.
func (x LongDouble) Finite() bool { return !x.nan && !x.float().IsInf() }

func (x LongDouble) float() *big.Float {
	if x.f == nil {
		return new(big.Float).SetPrec(longDoubleBits)
	}
	return x.f
}

// AppendLongDouble appends x as INCRBYFLOAT replies and stores it: never with an
// exponent, at most 17 digits behind the point, no trailing zeros, and "0" for
// what rounds to zero.
func AppendLongDouble(dst []byte, x LongDouble) []byte {
	f := x.float()
	switch {
	case x.nan:
		return append(dst, "nan"...)
	case f.IsInf() && f.Signbit():
		return append(dst, "-inf"...)
	case f.IsInf():
		return append(dst, "inf"...)
	}
	from := len(dst)
	dst = f.Append(dst, 'f', longDoubleScale)
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	if dst[len(dst)-1] == '.' {
		dst = dst[:len(dst)-1]
	}
	if string(dst[from:]) == "-0" {
		dst = append(dst[:from], '0')
	}
	return dst
}

// FormatLongDouble is AppendLongDouble to a new string.
func FormatLongDouble(x LongDouble) string { return string(AppendLongDouble(nil, x)) }
