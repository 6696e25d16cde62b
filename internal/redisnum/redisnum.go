// Package redisnum reads and prints numbers by the rules of Redis 7.2, to the
// byte: what it refuses, Redis refuses. It is pure and imports nothing of the
// project.
package redisnum

import (
	"math"
	"strconv"
	"strings"
	"unsafe"
)

// ParseInt reads a signed 64-bit integer in its only spelling: an optional minus
// sign and digits without leading zeros. Zero is "0"; a plus sign, blanks and
// "-0" are refused.
func ParseInt(b []byte) (int64, bool) {
	digits := b
	negative := len(b) > 0 && b[0] == '-'
	if negative {
		digits = b[1:]
	}
	if len(digits) == 0 || len(digits) > 19 {
		return 0, false
	}
	if digits[0] == '0' {
		return 0, len(b) == 1
	}
	var v uint64 // 19 digits cannot overflow it
	for _, c := range digits {
		d := c - '0'
		if d > 9 {
			return 0, false
		}
		v = v*10 + uint64(d)
	}
	if negative {
		return -int64(v), v <= 1<<63
	}
	return int64(v), v <= math.MaxInt64
}

// ParseFloat reads a double as Redis reads scores: what C's strtod accepts in
// full, decimal or hexadecimal, with "inf" and "infinity" in any case. Blanks,
// NaN, values beyond the range and non-zero values that would round to zero are
// refused.
func ParseFloat(b []byte) (float64, bool) {
	if len(b) <= 15 {
		if n, ok := ParseInt(b); ok {
			return float64(n), true
		}
	}
	n, ok := scan(b)
	if !ok {
		return 0, false
	}
	if n.inf {
		return math.Inf(n.sign()), true
	}
	s := unsafe.String(unsafe.SliceData(b), len(b)) // not retained
	if n.hex && !n.hasExp {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	if err != nil || (f == 0 && !n.zero) {
		return 0, false
	}
	return f, true
}

// number is the anatomy of a C floating-point literal.
type number struct {
	negative, inf, hex, hasExp bool

	digits string // of the mantissa, with its point
	exp    string // digits of the exponent with their sign
	zero   bool   // no digit of the mantissa is other than 0
}

func (n *number) sign() int {
	if n.negative {
		return -1
	}
	return 1
}

// scan takes b apart if C's strtod and strtold would read all of it and the
// result would not be NaN.
func scan(b []byte) (n number, ok bool) {
	s := unsafe.String(unsafe.SliceData(b), len(b))
	if s != "" && (s[0] == '-' || s[0] == '+') {
		n.negative = s[0] == '-'
		s = s[1:]
	}
	if strings.EqualFold(s, "inf") || strings.EqualFold(s, "infinity") {
		n.inf = true
		return n, true
	}
	mark := byte('e')
	if len(s) > 2 && s[0] == '0' && s[1]|0x20 == 'x' {
		n.hex, mark, s = true, 'p', s[2:]
	}
	i, points, digits := 0, 0, 0
	n.zero = true
	for ; i < len(s); i++ {
		c := s[i]
		if c == '.' && points == 0 {
			points++
			continue
		}
		if c-'0' > 9 && (!n.hex || c|0x20 < 'a' || c|0x20 > 'f') {
			break
		}
		digits++
		n.zero = n.zero && c == '0'
	}
	n.digits = s[:i]
	if digits == 0 {
		return n, false
	}
	if i == len(s) {
		return n, true
	}
	if s[i]|0x20 != mark {
		return n, false
	}
	n.hasExp, n.exp = true, s[i+1:]
	return n, isExponent(n.exp)
}

func isExponent(s string) bool {
	if s != "" && (s[0] == '-' || s[0] == '+') {
		s = s[1:]
	}
	for i := range len(s) {
		if s[i]-'0' > 9 {
			return false
		}
	}
	return s != ""
}

// FormatDouble prints a double as Redis 7.2 does in replies; see AppendDouble.
func FormatDouble(f float64) string {
	var b [32]byte
	return string(AppendDouble(b[:0], f))
}

// AppendDouble appends the shortest digits that read back as f: integers up to
// 2^62 in full, then plain notation where it is not much longer, otherwise an
// exponent without padding ("1e+21", "1e-7"). The special values are "inf",
// "-inf", "nan" and "-0".
//
// Redis computes the digits with Grisu2, which in rare cases finds one digit more
// than needed; they read back as the same number.
func AppendDouble(dst []byte, f float64) []byte {
	switch {
	case math.IsNaN(f):
		return append(dst, "nan"...)
	case math.IsInf(f, 1):
		return append(dst, "inf"...)
	case math.IsInf(f, -1):
		return append(dst, "-inf"...)
	case f == 0 && math.Signbit(f):
		return append(dst, "-0"...)
	case math.Abs(f) <= 1<<62 && f == math.Trunc(f):
		return strconv.AppendInt(dst, int64(f), 10)
	}
	if f < 0 {
		dst = append(dst, '-')
	}
	// d.ddde±dd is taken apart into its digits and the power of ten of the last one.
	var scratch [32]byte
	s := strconv.AppendFloat(scratch[:0], math.Abs(f), 'e', -1, 64)
	mark := len(s) - 1
	for s[mark] != 'e' {
		mark--
	}
	exp := 0
	for _, c := range s[mark+2:] {
		exp = exp*10 + int(c-'0')
	}
	if s[mark+1] == '-' {
		exp = -exp
	}
	digits := s[:1]
	if mark > 1 {
		s[1] = s[0]
		digits = s[1:mark]
	}
	return appendDigits(dst, digits, exp)
}

// appendDigits lays out 0.d₁d₂…·10^(exp+1) by the rules of the printer that
// Redis uses.
func appendDigits(dst, digits []byte, exp int) []byte {
	last := exp - len(digits) + 1 // power of ten of the last digit
	size := exp
	if size < 0 {
		size = -size
	}
	switch {
	case last >= 0 && size < len(digits)+7:
		dst = append(dst, digits...)
		for range last {
			dst = append(dst, '0')
		}
		return dst
	case last < 0 && (last > -7 || size < 4):
		whole := len(digits) + last
		if whole > 0 {
			dst = append(dst, digits[:whole]...)
			dst = append(dst, '.')
			return append(dst, digits[whole:]...)
		}
		dst = append(dst, '0', '.')
		for range -whole {
			dst = append(dst, '0')
		}
		return append(dst, digits...)
	}
	dst = append(dst, digits[0])
	if len(digits) > 1 {
		dst = append(dst, '.')
		dst = append(dst, digits[1:]...)
	}
	sign := byte('+')
	if exp < 0 {
		sign = '-'
	}
	return strconv.AppendInt(append(dst, 'e', sign), int64(size), 10)
}
