package lua

import (
	"math"
	"strconv"
	"strings"
)

// FormatNumber is a number as tostring prints it: %.14g.
func FormatNumber(f float64) string {
	if f == math.Trunc(f) && math.Abs(f) < 1e14 && (f != 0 || !math.Signbit(f)) {
		return strconv.FormatInt(int64(f), 10)
	}
	return FormatG(f, 14)
}

// FormatG is a number as C's %.<precision>g prints it.
func FormatG(f float64, precision int) string {
	switch {
	case math.IsInf(f, 1):
		return "inf"
	case math.IsInf(f, -1):
		return "-inf"
	case math.IsNaN(f) && math.Signbit(f):
		return "-nan"
	case math.IsNaN(f):
		return "nan"
	}
	return strconv.FormatFloat(f, 'g', precision, 64)
}

const spaces = " \t\n\v\f\r"

// ParseNumber reads a number as C's strtod does, blanks around it allowed.
func ParseNumber(s string) (float64, bool) {
	s = strings.Trim(s, spaces)
	if s == "" {
		return 0, false
	}
	body, negative := s, false
	switch s[0] {
	case '-':
		body, negative = s[1:], true
	case '+':
		body = s[1:]
	}
	if body == "" {
		return 0, false
	}
	var f float64
	switch c := body[0]; {
	case len(body) > 1 && c == '0' && (body[1] == 'x' || body[1] == 'X'):
		var ok bool
		if f, ok = parseHex(body); !ok {
			return 0, false
		}
	case c >= '0' && c <= '9' || c == '.':
		if strings.IndexByte(body, '_') >= 0 {
			return 0, false
		}
		var err error
		if f, err = strconv.ParseFloat(body, 64); err != nil && !math.IsInf(f, 0) {
			return 0, false
		}
	case strings.EqualFold(body, "inf") || strings.EqualFold(body, "infinity"):
		f = math.Inf(1)
	case strings.EqualFold(body, "nan"):
		f = math.NaN()
	default:
		return 0, false
	}
	if negative {
		f = -f
	}
	return f, true
}

// parseHex reads 0x…, with an exponent or without.
func parseHex(s string) (float64, bool) {
	if strings.IndexByte(s, '_') >= 0 || len(s) < 3 {
		return 0, false
	}
	if strings.IndexAny(s, "pP") < 0 {
		s += "p0"
	}
	f, err := strconv.ParseFloat(s, 64)
	return f, err == nil || math.IsInf(f, 0)
}
