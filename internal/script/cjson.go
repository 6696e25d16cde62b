package script

import (
	"fmt"
	"math"
	"strconv"

	"github.com/stratadb/strata/internal/script/lua"
)

// null stands for JSON's null.
var null = lua.Userdata(1)

// jsonOptions are what an instance of cjson can be told.
type jsonOptions struct {
	sparseConvert            bool
	sparseRatio, sparseSafe  int
	encodeDepth, decodeDepth int
	precision                int
	encodeInvalid            invalidNumbers
	decodeInvalid            bool
	keepBuffer               bool
}

// invalidNumbers says what becomes of infinities and NaN.
type invalidNumbers uint8

const (
	invalidRefused invalidNumbers = iota
	invalidWritten
	invalidNull
)

func (o *jsonOptions) reset() {
	*o = jsonOptions{sparseRatio: 2, sparseSafe: 10, encodeDepth: 1000, decodeDepth: 1000, precision: 14, decodeInvalid: true, keepBuffer: true}
}

func (m *machine) openJSON() {
	m.st.Globals.SetString("cjson", lua.TableValue(m.newJSON()))
}

// jsonInstancesMax bounds the instances that a program makes with cjson.new.
const jsonInstancesMax = 100

// newJSON makes an instance of cjson.
func (m *machine) newJSON() *lua.Table {
	o := &jsonOptions{}
	o.reset()
	if len(m.json) == 0 {
		m.json = append(m.json, o) // that of the machine is set back
	}
	t := lua.NewTable(0, 16)
	m.st.Register(t, map[string]lua.Native{
		"encode": func(c *lua.Call) {
			one(c)
			e := encoder{m: m, o: o, c: c, b: m.st.NewBuffer()}
			e.value(c.Arg(0), 0)
			c.Push(e.b.Value())
		},
		"decode": func(c *lua.Call) {
			one(c)
			m.decodeJSON(c, o)
		},
		"new": func(c *lua.Call) {
			m.st.Ask(4096)
			c.Push(lua.TableValue(m.newJSON()))
		},
		"encode_max_depth":        option(&o.encodeDepth, 1, math.MaxInt32),
		"decode_max_depth":        option(&o.decodeDepth, 1, math.MaxInt32),
		"encode_number_precision": option(&o.precision, 1, 14),
		"encode_keep_buffer":      toggle(&o.keepBuffer),
		"decode_invalid_numbers":  toggle(&o.decodeInvalid),
		"encode_invalid_numbers":  o.invalid,
		"encode_sparse_array":     o.sparse,
	})
	t.SetString("null", null)
	t.SetString("_NAME", lua.String("cjson"))
	t.SetString("_VERSION", lua.String("2.1.0"))
	return t
}

// one makes sure that there is one argument.
func one(c *lua.Call) {
	if c.Len() != 1 {
		c.BadArgument(0, "expected 1 argument")
	}
}

// option sets a number, if it is given one, and answers it.
func option(at *int, least, most int) lua.Native {
	return func(c *lua.Call) {
		if c.Len() > 1 {
			c.BadArgument(1, "found too many arguments")
		}
		if !c.Arg(0).IsNil() {
			n := c.Int(0)
			if n < least || n > most {
				c.BadArgument(0, "expected integer between %d and %d", least, most)
			}
			*at = n
		}
		c.Push(lua.Int(*at))
	}
}

func toggle(at *bool) lua.Native {
	return func(c *lua.Call) {
		if c.Len() > 1 {
			c.BadArgument(1, "found too many arguments")
		}
		if v := c.Arg(0); !v.IsNil() {
			*at = truth(c, 0)
		}
		c.Push(lua.Bool(*at))
	}
}

// truth reads true, false, "on" and "off".
func truth(c *lua.Call, i int) bool {
	switch v := c.Arg(i); v.Kind() {
	case lua.KindBool:
		return v.Truth()
	case lua.KindString:
		switch s, _ := v.AsString(); s {
		case "on":
			return true
		case "off":
			return false
		}
	}
	c.BadArgument(i, "invalid option '%s'", display(c.Arg(i)))
	return false
}

func (o *jsonOptions) invalid(c *lua.Call) {
	if v := c.Arg(0); !v.IsNil() {
		if s, ok := v.AsString(); ok && s == "null" {
			o.encodeInvalid = invalidNull
		} else if truth(c, 0) {
			o.encodeInvalid = invalidWritten
		} else {
			o.encodeInvalid = invalidRefused
		}
	}
	if o.encodeInvalid == invalidNull {
		c.Push(lua.String("null"))
		return
	}
	c.Push(lua.Bool(o.encodeInvalid == invalidWritten))
}

func (o *jsonOptions) sparse(c *lua.Call) {
	if c.Len() > 3 {
		c.BadArgument(3, "found too many arguments")
	}
	if !c.Arg(0).IsNil() {
		o.sparseConvert = truth(c, 0)
	}
	for i, at := range []*int{&o.sparseRatio, &o.sparseSafe} {
		if !c.Arg(i + 1).IsNil() {
			n := c.Int(i + 1)
			if n < 0 || n > math.MaxInt32 {
				c.BadArgument(i+1, "expected integer between %d and %d", 0, math.MaxInt32)
			}
			*at = n
		}
	}
	c.Push(lua.Bool(o.sparseConvert))
	c.Push(lua.Int(o.sparseRatio))
	c.Push(lua.Int(o.sparseSafe))
}

// encoder writes JSON.
type encoder struct {
	m *machine
	o *jsonOptions
	c *lua.Call
	b lua.Buffer
}

func (e *encoder) refuse(v lua.Value, why string) {
	e.c.Raise("Cannot serialise %s: %s", v.Kind(), why)
}

func (e *encoder) value(v lua.Value, depth int) {
	e.m.st.Spend(1)
	switch v.Kind() {
	case lua.KindString:
		s, _ := v.AsString()
		e.text(s)
	case lua.KindNumber:
		f, _ := v.AsNumber()
		e.number(v, f)
	case lua.KindBool:
		e.b.WriteString(strconv.FormatBool(v.Truth()))
	case lua.KindNil:
		e.b.WriteString("null")
	case lua.KindUserdata:
		e.b.WriteString("null")
	case lua.KindTable:
		if depth++; depth > min(e.o.encodeDepth, depthMax) {
			e.c.Raise("Cannot serialise, excessive nesting (%d)", depth)
		}
		t := v.AsTable()
		if n := e.elements(v, t); n > 0 {
			e.array(t, n, depth)
		} else {
			e.object(t, depth)
		}
	default:
		e.refuse(v, "type not supported")
	}
}

// depthMax bounds what an instance may be told of depth: natives recurse.
const depthMax = 10_000

// elements is the length of a table that is an array, -1 for others.
func (e *encoder) elements(v lua.Value, t *lua.Table) int {
	most, items, other := 0, 0, false
	t.Each(func(k, _ lua.Value) bool {
		f, ok := k.AsNumber()
		if !ok || f != math.Floor(f) || f < 1 || f > math.MaxInt32 {
			other = true
			return false
		}
		most, items = max(most, int(f)), items+1
		return true
	})
	e.m.st.Spend(items / 16)
	if other {
		return -1
	}
	if e.o.sparseRatio > 0 && most > items*e.o.sparseRatio && most > e.o.sparseSafe {
		if !e.o.sparseConvert {
			e.refuse(v, "excessively sparse array")
		}
		return -1
	}
	return most
}

func (e *encoder) array(t *lua.Table, n, depth int) {
	e.b.WriteString("[")
	for i := 1; i <= n; i++ {
		if i > 1 {
			e.b.WriteString(",")
		}
		e.value(t.GetInt(i), depth)
	}
	e.b.WriteString("]")
}

func (e *encoder) object(t *lua.Table, depth int) {
	e.b.WriteString("{")
	first := true
	t.Each(func(k, v lua.Value) bool {
		if !first {
			e.b.WriteString(",")
		}
		first = false
		switch k.Kind() {
		case lua.KindNumber:
			f, _ := k.AsNumber()
			e.b.WriteString(`"`)
			e.number(k, f)
			e.b.WriteString(`":`)
		case lua.KindString:
			s, _ := k.AsString()
			e.text(s)
			e.b.WriteString(":")
		default:
			e.refuse(k, "table key must be a number or string")
		}
		e.value(v, depth)
		return true
	})
	e.b.WriteString("}")
}

func (e *encoder) number(v lua.Value, f float64) {
	if math.IsInf(f, 0) || math.IsNaN(f) {
		switch {
		case e.o.encodeInvalid == invalidRefused:
			e.refuse(v, "must not be NaN or Inf")
		case e.o.encodeInvalid == invalidNull:
			e.b.WriteString("null")
			return
		}
	}
	e.b.WriteString(lua.FormatG(f, e.o.precision))
}

func (e *encoder) text(s string) {
	e.b.Room(len(s) + 2)
	e.b.WriteString(`"`)
	from := 0
	for i := range len(s) {
		var with string
		switch c := s[i]; c {
		case '"', '\\', '/':
			with = `\` + string(rune(c))
		case '\b':
			with = `\b`
		case '\t':
			with = `\t`
		case '\n':
			with = `\n`
		case '\f':
			with = `\f`
		case '\r':
			with = `\r`
		default:
			if c >= ' ' && c != 127 {
				continue
			}
			with = fmt.Sprintf(`\u%04x`, c)
		}
		e.b.WriteString(s[from:i])
		e.b.WriteString(with)
		from = i + 1
	}
	e.b.WriteString(s[from:])
	e.b.WriteString(`"`)
}
