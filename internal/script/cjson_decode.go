package script

import (
	"strings"
	"unicode/utf8"

	"github.com/stratadb/strata/internal/script/lua"
)

// decoder reads JSON.
type decoder struct {
	m     *machine
	o     *jsonOptions
	c     *lua.Call
	s     string
	at    int
	depth int
}

// jsonToken is a piece of JSON. The names are those in messages.
type jsonToken struct {
	kind  string
	at    int
	value lua.Value
	error string
}

func (m *machine) decodeJSON(c *lua.Call, o *jsonOptions) {
	d := decoder{m: m, o: o, c: c, s: c.Text(0)}
	if len(d.s) >= 2 && (d.s[0] == 0 || d.s[1] == 0) {
		c.Raise("JSON parser does not support UTF-16 or UTF-32")
	}
	v := d.value(d.next())
	if end := d.next(); end.kind != "T_END" {
		d.expected("the end", end)
	}
	c.Push(v)
}

func (d *decoder) expected(what string, t jsonToken) {
	found := t.kind
	if t.error != "" {
		found = t.error
	}
	d.c.Raise("Expected %s but found %s at character %d", what, found, t.at+1)
}

// next is the next token.
func (d *decoder) next() jsonToken {
	d.m.st.Spend(1)
	for d.at < len(d.s) && strings.IndexByte(" \t\n\r", d.s[d.at]) >= 0 {
		d.at++
	}
	t := jsonToken{at: d.at}
	if d.at == len(d.s) {
		t.kind = "T_END"
		return t
	}
	rest := d.s[d.at:]
	switch c := rest[0]; c {
	case '{', '}', '[', ']', ',', ':':
		t.kind = map[byte]string{'{': "T_OBJ_BEGIN", '}': "T_OBJ_END", '[': "T_ARR_BEGIN", ']': "T_ARR_END", ',': "T_COMMA", ':': "T_COLON"}[c]
		d.at++
		return t
	case '"':
		return d.text(t)
	}
	for word, v := range map[string]lua.Value{"true": lua.True, "false": lua.False, "null": null} {
		if strings.HasPrefix(rest, word) {
			d.at += len(word)
			t.kind, t.value = "T_BOOLEAN", v
			if word == "null" {
				t.kind = "T_NULL"
			}
			return t
		}
	}
	invalid := invalidNumber(rest)
	if c := rest[0]; c == '-' || c >= '0' && c <= '9' {
		if invalid && !d.o.decodeInvalid {
			return t.wrong("invalid number")
		}
		return d.number(t)
	}
	if invalid && d.o.decodeInvalid {
		return d.number(t)
	}
	return t.wrong("invalid token")
}

func (t jsonToken) wrong(what string) jsonToken {
	t.kind, t.error = "T_ERROR", what
	return t
}

// invalidNumber reports whether what is not JSON's begins here: infinity, NaN, hexadecimal,
// or with more than one digit after a zero.
func invalidNumber(s string) bool {
	if s[0] == '+' {
		return true
	}
	if s[0] == '-' {
		s = s[1:]
	}
	switch {
	case s == "":
		return false
	case s[0] == '0':
		return len(s) > 1 && (s[1]|32 == 'x' || s[1] >= '0' && s[1] <= '9')
	case s[0] <= '9':
		return false
	}
	return len(s) >= 3 && (strings.EqualFold(s[:3], "inf") || strings.EqualFold(s[:3], "nan"))
}

func (d *decoder) number(t jsonToken) jsonToken {
	f, n := prefixNumber(d.s[d.at:])
	if n == 0 {
		return t.wrong("invalid number")
	}
	d.at += n
	t.kind, t.value = "T_NUMBER", lua.Number(f)
	return t
}

// prefixNumber reads the longest number that s begins with, as C's strtod does.
func prefixNumber(s string) (f float64, n int) {
	i := 0
	if i < len(s) && (s[i] == '-' || s[i] == '+') {
		i++
	}
	for _, word := range []string{"infinity", "inf", "nan"} {
		if len(s)-i >= len(word) && strings.EqualFold(s[i:i+len(word)], word) {
			f, _ = lua.ParseNumber(s[:i+len(word)])
			return f, i + len(word)
		}
	}
	digits := "0123456789"
	exponent := byte('e')
	if len(s)-i > 2 && s[i] == '0' && s[i+1]|32 == 'x' {
		digits, exponent = "0123456789abcdefABCDEF", 'p'
		i += 2
	}
	from := i
	point := false
	for i < len(s) && (strings.IndexByte(digits, s[i]) >= 0 || s[i] == '.' && !point) {
		point = point || s[i] == '.'
		i++
	}
	if i == from || i == from+1 && point {
		if exponent == 'p' { // 0, and an x behind it
			return 0, from - 1
		}
		return 0, 0
	}
	if i < len(s) && s[i]|32 == exponent {
		j := i + 1
		if j < len(s) && (s[j] == '-' || s[j] == '+') {
			j++
		}
		if k := j; k < len(s) && s[k] >= '0' && s[k] <= '9' {
			for k < len(s) && s[k] >= '0' && s[k] <= '9' {
				k++
			}
			i = k
		}
	}
	f, ok := lua.ParseNumber(s[:i])
	if !ok {
		return 0, 0
	}
	return f, i
}

// text reads a string.
func (d *decoder) text(t jsonToken) jsonToken {
	begin := d.at
	if end := strings.IndexAny(d.s[begin+1:], "\"\\\x00"); end >= 0 && d.s[begin+1+end] == '"' && !control(d.s[begin+1:begin+1+end]) {
		d.at = begin + end + 2
		t.kind, t.value = "T_STRING", d.m.st.NewString(strings.Clone(d.s[begin+1:begin+1+end]))
		return t
	}
	b := d.m.st.NewBuffer()
	for i := begin + 1; ; {
		if i >= len(d.s) {
			t.at = len(d.s)
			return t.wrong("unexpected end of string")
		}
		switch c := d.s[i]; c {
		case '"':
			d.at = i + 1
			t.kind, t.value = "T_STRING", b.Value()
			return t
		case '\\':
			n, what := d.escape(&b, i)
			if what != "" {
				t.at = i
				return t.wrong(what)
			}
			i += n
		default:
			_ = b.WriteByte(c)
			i++
		}
	}
}

// control reports whether a string has bytes that only the slow way takes.
func control(s string) bool { return strings.IndexByte(s, 0) >= 0 }

// escape reads an escape at i, and answers how long it is or what is wrong with it.
func (d *decoder) escape(b *lua.Buffer, i int) (n int, what string) {
	if i+1 >= len(d.s) {
		return 0, "invalid escape code"
	}
	c := d.s[i+1]
	if at := strings.IndexByte(`"\/bfnrt`, c); at >= 0 {
		_ = b.WriteByte("\"\\/\b\f\n\r\t"[at])
		return 2, ""
	}
	if c != 'u' {
		return 0, "invalid escape code"
	}
	r, ok := hex4(d.s, i+2)
	if !ok {
		return 0, "invalid unicode escape code"
	}
	n = 6
	if r >= 0xD800 && r < 0xE000 {
		low, ok := rune(0), false
		if r < 0xDC00 && i+7 < len(d.s) && d.s[i+6] == '\\' && d.s[i+7] == 'u' {
			low, ok = hex4(d.s, i+8)
		}
		if !ok || low < 0xDC00 || low >= 0xE000 {
			return 0, "invalid unicode escape code"
		}
		r, n = 0x10000+(r-0xD800)<<10+(low-0xDC00), 12
	}
	var utf [utf8.UTFMax]byte
	b.WriteString(string(utf[:utf8.EncodeRune(utf[:], r)]))
	return n, ""
}

func hex4(s string, i int) (r rune, ok bool) {
	if i+4 > len(s) {
		return 0, false
	}
	for _, c := range []byte(s[i : i+4]) {
		switch {
		case c >= '0' && c <= '9':
			r = r<<4 | rune(c-'0')
		case c|32 >= 'a' && c|32 <= 'f':
			r = r<<4 | rune(c|32-'a'+10)
		default:
			return 0, false
		}
	}
	return r, true
}

// value reads a value that begins with a token.
func (d *decoder) value(t jsonToken) lua.Value {
	switch t.kind {
	case "T_STRING", "T_NUMBER", "T_BOOLEAN", "T_NULL":
		return t.value
	case "T_OBJ_BEGIN":
		return d.object()
	case "T_ARR_BEGIN":
		return d.array()
	}
	d.expected("value", t)
	return lua.Nil
}

func (d *decoder) deeper() {
	if d.depth++; d.depth > min(d.o.decodeDepth, depthMax) {
		d.c.Raise("Found too many nested data structures (%d) at character %d", d.depth, d.at)
	}
}

func (d *decoder) done(t *lua.Table) lua.Value {
	d.depth--
	d.m.st.LetGo()
	return lua.TableValue(t)
}

func (d *decoder) object() lua.Value {
	d.deeper()
	t := d.m.st.NewTable(0, 4)
	d.m.st.Hold(lua.TableValue(t))
	token := d.next()
	if token.kind == "T_OBJ_END" {
		return d.done(t)
	}
	for {
		if token.kind != "T_STRING" {
			d.expected("object key string", token)
		}
		key := token.value
		if token = d.next(); token.kind != "T_COLON" {
			d.expected("colon", token)
		}
		d.m.st.Ask(t.Set(key, d.value(d.next())))
		token = d.next()
		if token.kind == "T_OBJ_END" {
			return d.done(t)
		}
		if token.kind != "T_COMMA" {
			d.expected("comma or object end", token)
		}
		token = d.next()
	}
}

func (d *decoder) array() lua.Value {
	d.deeper()
	t := d.m.st.NewTable(4, 0)
	d.m.st.Hold(lua.TableValue(t))
	token := d.next()
	if token.kind == "T_ARR_END" {
		return d.done(t)
	}
	for i := 1; ; i++ {
		d.m.st.Ask(t.Set(lua.Int(i), d.value(token)))
		token = d.next()
		if token.kind == "T_ARR_END" {
			return d.done(t)
		}
		if token.kind != "T_COMMA" {
			d.expected("comma or array end", token)
		}
		token = d.next()
	}
}
