package zmap

import (
	"encoding/binary"
	"math/big"
	"strconv"
	"strings"

	"go.mongodb.org/mongo-driver/v2/bson"

	"github.com/stratadb/strata/internal/kv"
)

// decimal128 as IEEE 754 has it.
const (
	decimalBytes  = 16
	decimalDigits = 34
	exponentMin   = -6176
	exponentMax   = 6111
)

// Decimal is an exact decimal number, coefficient times ten to the exponent. The
// exponent is kept: 1.50 is not 1.5.
type Decimal struct {
	coefficient *big.Int
	exponent    int
}

// decimalTextBytes bounds the text of a decimal; the longest that fits has
// 6,178 digits.
const decimalTextBytes = 8 << 10

// ParseDecimal reads a plain or scientific decimal.
func ParseDecimal(s string) (Decimal, error) {
	if len(s) > decimalTextBytes {
		return Decimal{}, ErrNotDecimal
	}
	mantissa, exponent := s, 0
	if i := strings.IndexAny(s, "eE"); i >= 0 {
		n, err := strconv.ParseInt(s[i+1:], 10, 32)
		if err != nil {
			return Decimal{}, ErrNotDecimal
		}
		mantissa, exponent = s[:i], int(n)
	}
	whole, fraction, _ := strings.Cut(mantissa, ".")
	digits := strings.TrimLeft(whole, "+-") + fraction
	if len(whole)+len(fraction)-len(digits) > 1 || digits == "" || strings.Trim(digits, "0123456789") != "" {
		return Decimal{}, ErrNotDecimal
	}
	n, ok := new(big.Int).SetString(digits, 10)
	if !ok {
		return Decimal{}, ErrNotDecimal
	}
	if strings.HasPrefix(whole, "-") {
		n.Neg(n)
	}
	return Decimal{n, exponent - len(fraction)}, nil
}

func pow10(n int) *big.Int { return new(big.Int).Exp(big.NewInt(10), big.NewInt(int64(n)), nil) }

func precision(n *big.Int) int {
	if n.Sign() == 0 {
		return 1
	}
	return len(new(big.Int).Abs(n).String())
}

// roundOff divides by ten to the n, half to even.
func roundOff(c *big.Int, n int) *big.Int {
	unit := pow10(n)
	q, r := new(big.Int).QuoRem(c, unit, new(big.Int))
	twice := r.Abs(r).Lsh(r, 1)
	if cmp := twice.Cmp(unit); cmp > 0 || cmp == 0 && q.Bit(0) == 1 {
		q.Add(q, big.NewInt(int64(c.Sign())))
	}
	return q
}

// fit makes the number one that decimal128 can hold: 34 digits, half to even.
func (d Decimal) fit() (Decimal, error) {
	c, e := d.coefficient, d.exponent
	drop := max(precision(c)-decimalDigits, exponentMin-e)
	switch {
	case drop > 0 && drop > precision(c)+1:
		c, e = new(big.Int), exponentMin
	case drop > 0:
		c, e = roundOff(c, drop), e+drop
		if precision(c) > decimalDigits { // 9…9 became 10…0
			c, e = roundOff(c, 1), e+1
		}
	}
	if e > exponentMax {
		pad := e - exponentMax
		switch {
		case c.Sign() == 0:
			e = exponentMax
		case pad+precision(c) <= decimalDigits:
			c, e = new(big.Int).Mul(c, pow10(pad)), exponentMax
		default:
			return Decimal{}, decimalRange(d.scientific())
		}
	}
	return Decimal{c, e}, nil
}

// scientific is the number with one digit before the point if its exponent is
// positive or very small.
func (d Decimal) scientific() string {
	digits := new(big.Int).Abs(d.coefficient).String()
	adjusted := d.exponent + len(digits) - 1
	if d.exponent <= 0 && adjusted >= -6 {
		return d.String()
	}
	var b strings.Builder
	if d.coefficient.Sign() < 0 {
		b.WriteByte('-')
	}
	b.WriteString(digits[:1])
	if len(digits) > 1 {
		b.WriteString("." + digits[1:])
	}
	if adjusted != 0 {
		b.WriteByte('E')
		if adjusted > 0 {
			b.WriteByte('+')
		}
		b.WriteString(strconv.Itoa(adjusted))
	}
	return b.String()
}

// String is the number without an exponent.
func (d Decimal) String() string {
	digits := new(big.Int).Abs(d.coefficient).String()
	switch {
	case d.exponent > 0 && d.coefficient.Sign() != 0:
		digits += strings.Repeat("0", d.exponent)
	case d.exponent < 0:
		point := len(digits) + d.exponent
		if point <= 0 {
			digits, point = strings.Repeat("0", 1-point)+digits, 1
		}
		digits = digits[:point] + "." + digits[point:]
	}
	if d.coefficient.Sign() < 0 {
		return "-" + digits
	}
	return digits
}

// Add is the exact sum; its exponent is the smaller one.
func (d Decimal) Add(o Decimal) Decimal {
	if d.exponent < o.exponent {
		d, o = o, d
	}
	c := new(big.Int).Mul(d.coefficient, pow10(d.exponent-o.exponent))
	return Decimal{c.Add(c, o.coefficient), o.exponent}
}

func (d Decimal) encode(t kv.Txn) ([]byte, error) {
	fitting, err := d.fit()
	if err != nil {
		return nil, err
	}
	x, ok := bson.ParseDecimal128FromBigInt(fitting.coefficient, fitting.exponent)
	if !ok {
		return nil, decimalRange(d.scientific())
	}
	high, low := x.GetBytes()
	b := t.Alloc(decimalBytes)
	binary.LittleEndian.PutUint64(b, low)
	binary.LittleEndian.PutUint64(b[wordBytes:], high)
	return b, nil
}

func decodeDecimal(b []byte) (Decimal, error) {
	if len(b) != decimalBytes {
		return Decimal{}, ErrStoredDecimal
	}
	x := bson.NewDecimal128(binary.LittleEndian.Uint64(b[wordBytes:]), binary.LittleEndian.Uint64(b))
	c, e, err := x.BigInt()
	if err != nil {
		return Decimal{}, ErrStoredDecimalSpecial
	}
	return Decimal{c, e}, nil
}

// SetDecimal is ZSET.D128.
func SetDecimal(t kv.Txn, m Map, key []byte, d Decimal) error {
	value, err := d.encode(t)
	if err != nil {
		return err
	}
	return Set(t, m, key, value)
}

// AddDecimal is ZINC.D128.
func AddDecimal(t kv.Txn, m Map, key []byte, delta Decimal) error {
	if _, err := delta.fit(); err != nil {
		return err
	}
	old, found, err := GetDecimal(t, m, key)
	if err != nil {
		return err
	}
	if found {
		if delta, err = delta.fit(); err == nil {
			delta = old.Add(delta)
		}
	}
	return SetDecimal(t, m, key, delta)
}

// GetDecimal is ZGET.D128; found is false when the key is absent.
func GetDecimal(r kv.Reader, m Map, key []byte) (d Decimal, found bool, err error) {
	value, err := Get(r, m, key)
	if value == nil || err != nil {
		return Decimal{}, false, err
	}
	d, err = decodeDecimal(value)
	return d, err == nil, err
}
