package lua

import (
	"fmt"
	"math"
	"strings"
)

func stringFormat(c *Call) {
	format := c.Text(0)
	b := c.State().NewBuffer()
	arg := 0
	for i := 0; i < len(format); i++ {
		if format[i] != '%' {
			_ = b.WriteByte(format[i])
			continue
		}
		if i++; i < len(format) && format[i] == '%' {
			_ = b.WriteByte('%')
			continue
		}
		arg++
		var d directive
		i = d.read(c, format, i)
		if i >= len(format) {
			c.Raise("invalid option '%%' to 'format'")
		}
		d.verb = format[i]
		d.write(c, &b, arg)
	}
	c.Push(b.Value())
}

// directive is one of a format.
type directive struct {
	minus, plus, blank, sharp, zero bool
	width, precision                int // precision: -1 for none
	verb                            byte
}

// read reads flags, width and precision.
func (d *directive) read(c *Call, s string, i int) int {
	flags := i
	for ; i < len(s) && strings.IndexByte("-+ #0", s[i]) >= 0; i++ {
		switch s[i] {
		case '-':
			d.minus = true
		case '+':
			d.plus = true
		case ' ':
			d.blank = true
		case '#':
			d.sharp = true
		case '0':
			d.zero = true
		}
	}
	if i-flags > 5 {
		c.Raise("invalid format (repeated flags)")
	}
	number := func() (n int) {
		for k := 0; k < 2 && i < len(s) && digit(s[i]); k++ {
			n = 10*n + int(s[i]-'0')
			i++
		}
		if i < len(s) && digit(s[i]) {
			c.Raise("invalid format (width or precision too long)")
		}
		return n
	}
	d.width, d.precision = number(), -1
	if i < len(s) && s[i] == '.' {
		i++
		d.precision = number()
	}
	return i
}

func (d *directive) write(c *Call, b *Buffer, arg int) {
	switch d.verb {
	case 'c':
		d.pad(b, "", string([]byte{byte(c.Int(arg))}), false)
	case 'd', 'i':
		n := c.Int(arg)
		sign, digits := "", fmt.Sprintf("%d", n)
		if n < 0 {
			sign, digits = "-", digits[1:]
		}
		d.integer(b, d.signed(sign), digits)
	case 'u':
		d.integer(b, "", fmt.Sprintf("%d", toUnsigned(c.Number(arg))))
	case 'o', 'x', 'X':
		n := toUnsigned(c.Number(arg))
		prefix := ""
		if d.sharp && n != 0 {
			prefix = map[byte]string{'o': "0", 'x': "0x", 'X': "0X"}[d.verb]
		}
		d.integer(b, prefix, fmt.Sprintf("%"+string(d.verb), n))
	case 'e', 'E', 'f', 'g', 'G':
		d.float(b, c.Number(arg))
	case 'q':
		d.quote(b, c.Text(arg))
	case 's':
		s := c.Text(arg)
		if d.precision >= 0 && len(s) > d.precision {
			s = s[:d.precision]
		}
		d.pad(b, "", s, false)
	default:
		c.Raise("invalid option '%%%c' to 'format'", d.verb)
	}
}

// toUnsigned is what C's conversion makes of a number.
func toUnsigned(f float64) uint64 {
	switch {
	case f >= 1<<64:
		return 0
	case f >= 1<<63:
		return uint64(f)
	}
	return uint64(toInt(f))
}

func (d *directive) signed(sign string) string {
	switch {
	case sign != "":
	case d.plus:
		return "+"
	case d.blank:
		return " "
	}
	return sign
}

func (d *directive) integer(b *Buffer, prefix, digits string) {
	zero := d.zero
	if d.precision >= 0 {
		zero = false
		if d.precision == 0 && digits == "0" {
			digits = ""
		}
		if n := d.precision - len(digits); n > 0 {
			digits = strings.Repeat("0", n) + digits
		}
	}
	d.pad(b, prefix, digits, zero)
}

func (d *directive) float(b *Buffer, f float64) {
	sign := ""
	if math.Signbit(f) {
		sign, f = "-", -f
	}
	sign = d.signed(sign)
	if math.IsInf(f, 0) || math.IsNaN(f) {
		text := "inf"
		if math.IsNaN(f) {
			text = "nan"
		}
		if d.verb < 'a' {
			text = strings.ToUpper(text)
		}
		d.pad(b, sign, text, false)
		return
	}
	precision := d.precision
	if precision < 0 {
		precision = 6
	}
	if d.verb|32 == 'g' {
		precision = max(precision, 1)
	}
	flags := "%"
	if d.sharp {
		flags += "#"
	}
	d.pad(b, sign, fmt.Sprintf(flags+".*"+string(d.verb), precision, f), d.zero)
}

// pad writes a prefix and a text with blanks, or zeros between them.
func (d *directive) pad(b *Buffer, prefix, s string, zero bool) {
	missing := d.width - len(prefix) - len(s)
	fill := ""
	if missing > 0 {
		fill = strings.Repeat(" ", missing)
	}
	switch {
	case d.minus:
		b.WriteString(prefix)
		b.WriteString(s)
		b.WriteString(fill)
	case zero:
		b.WriteString(prefix)
		b.WriteString(strings.Repeat("0", len(fill)))
		b.WriteString(s)
	default:
		b.WriteString(fill)
		b.WriteString(prefix)
		b.WriteString(s)
	}
}

// quote writes a string as a program has it.
func (d *directive) quote(b *Buffer, s string) {
	_ = b.WriteByte('"')
	for i := range len(s) {
		switch ch := s[i]; ch {
		case '"', '\\', '\n':
			_ = b.WriteByte('\\')
			_ = b.WriteByte(ch)
		case '\r':
			b.WriteString("\\r")
		case 0:
			b.WriteString("\\000")
		default:
			_ = b.WriteByte(ch)
		}
	}
	_ = b.WriteByte('"')
}
