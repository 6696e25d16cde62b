package lua

import (
	"math"
	"strings"
)

// library makes a global table of natives.
func (s *State) library(name string, natives map[string]Native) *Table {
	t := NewTable(0, len(natives))
	s.Register(t, natives)
	s.Globals.SetString(name, TableValue(t))
	return t
}

// Register puts natives into a table.
func (s *State) Register(t *Table, natives map[string]Native) {
	for name, fn := range natives {
		t.SetString(name, NewNative(fn))
	}
}

func (s *State) openBase() {
	s.Globals.SetString("_G", TableValue(s.Globals))
	s.Globals.SetString("_VERSION", String("Lua 5.1"))
	s.Register(s.Globals, map[string]Native{
		"assert": baseAssert, "collectgarbage": baseCollect, "error": baseError, "gcinfo": func(c *Call) { c.Push(Int((stateBytes + c.State().asked) / 1024)) },
		"getmetatable": baseGetMeta, "load": baseLoad, "loadstring": baseLoadString, "next": baseNext, "pcall": basePcall,
		"rawequal": func(c *Call) { c.Push(Bool(RawEqual(c.Any(0), c.Any(1)))) },
		"rawget":   func(c *Call) { c.Push(c.Table(0).Get(c.Any(1))) },
		"rawset":   baseRawSet, "select": baseSelect, "setmetatable": baseSetMeta, "tonumber": baseToNumber,
		"tostring": func(c *Call) { c.Push(String(c.Display(c.Any(0)))) },
		"type":     func(c *Call) { c.Push(String(c.Any(0).Kind().String())) },
		"unpack":   baseUnpack, "xpcall": baseXpcall,
	})
	next := s.Globals.GetString("next")
	s.Globals.SetString("pairs", NewNative(func(c *Call) {
		t := c.Table(0)
		c.out = append(c.out, next, TableValue(t), Nil)
	}))
	step := NewNative(func(c *Call) {
		i := c.Int(1) + 1
		if v := c.Table(0).GetInt(i); !v.IsNil() {
			c.out = append(c.out, Int(i), v)
		} else {
			c.Push(Nil)
		}
	})
	s.Globals.SetString("ipairs", NewNative(func(c *Call) {
		t := c.Table(0)
		c.out = append(c.out, step, TableValue(t), Int(0))
	}))
}

func baseAssert(c *Call) {
	if !c.Any(0).Truth() {
		message := "assertion failed!"
		if !c.Arg(1).IsNil() {
			message = c.Text(1)
		}
		c.Raise("%s", message)
	}
	c.pushArgs(0)
}

// pushArgs answers the arguments from the given one on.
func (c *Call) pushArgs(from int) {
	if from < c.n {
		c.out = append(c.out, c.t.stack[c.base+from:c.base+c.n]...)
	}
}

// stateBytes is about what a state takes before a program begins.
const stateBytes = 40 << 10

func baseCollect(c *Call) {
	switch option := "collect"; {
	case c.n > 0 && !c.Arg(0).IsNil():
		if option = c.Text(0); option == "count" {
			c.Push(Number(float64(stateBytes+c.State().asked) / 1024))
			return
		}
		if !strings.Contains(" stop restart collect step setpause setstepmul ", " "+option+" ") {
			c.BadArgument(0, "invalid option '%s'", option)
		}
	}
	c.Push(Int(0))
}

func baseError(c *Call) {
	v := c.Arg(0)
	level := c.IntOr(1, 1)
	if s, ok := v.text(); ok && level > 0 {
		v = String(c.where(level) + s)
	}
	c.t.throw(v)
}

func baseGetMeta(c *Call) {
	m := c.State().metatable(c.Any(0))
	if m == nil {
		c.Push(Nil)
		return
	}
	if protected := m.GetString("__metatable"); !protected.IsNil() {
		c.Push(protected)
		return
	}
	c.Push(TableValue(m))
}

func baseSetMeta(c *Call) {
	t := c.Table(0)
	m := c.Arg(1).AsTable()
	if m == nil && (c.n < 2 || !c.Arg(1).IsNil()) {
		c.BadArgument(1, "nil or table expected")
	}
	if t.meta != nil && !t.meta.GetString("__metatable").IsNil() {
		c.Raise("cannot change a protected metatable")
	}
	if t.Readonly {
		c.t.raise("Attempt to modify a readonly table")
	}
	t.meta = m
	c.Push(c.Arg(0))
}

func baseRawSet(c *Call) {
	t := c.Table(0)
	c.Any(1)
	c.Any(2)
	c.t.rawSet(t, c.Arg(1), c.Arg(2))
	c.Push(c.Arg(0))
}

func baseNext(c *Call) {
	k, v, ok := c.Table(0).Next(c.Arg(1))
	if !ok {
		c.t.raise("invalid key to 'next'")
	}
	c.Push(k)
	if !k.IsNil() {
		c.Push(v)
	}
}

func baseSelect(c *Call) {
	if s, ok := c.Arg(0).AsString(); ok && s == "#" {
		c.Push(Int(c.n - 1))
		return
	}
	i := c.Int(0)
	if i < 0 {
		i += c.n
	}
	if i < 1 {
		c.BadArgument(0, "index out of range")
	}
	c.pushArgs(i)
}

func baseToNumber(c *Call) {
	radix := c.IntOr(1, 10)
	if radix == 10 {
		if f, ok := c.Any(0).numeric(); ok {
			c.Push(Number(f))
			return
		}
		c.Push(Nil)
		return
	}
	text := c.Text(0)
	if radix < 2 || radix > 36 {
		c.BadArgument(1, "base out of range")
	}
	f, ok := parseRadix(strings.Trim(text, spaces), radix)
	if !ok {
		c.Push(Nil)
		return
	}
	c.Push(Number(f))
}

// parseRadix reads what C's strtoul does, all of s.
func parseRadix(s string, radix int) (float64, bool) {
	negative := false
	if s != "" && (s[0] == '-' || s[0] == '+') {
		negative, s = s[0] == '-', s[1:]
	}
	if radix == 16 && len(s) > 2 && s[0] == '0' && s[1]|32 == 'x' {
		s = s[2:]
	}
	if s == "" {
		return 0, false
	}
	var n uint64
	for i := range len(s) {
		d := 99
		switch c := s[i]; {
		case digit(c):
			d = int(c - '0')
		case c|32 >= 'a' && c|32 <= 'z':
			d = int(c|32-'a') + 10
		}
		if d >= radix {
			return 0, false
		}
		if n > (math.MaxUint64-uint64(d))/uint64(radix) {
			return math.MaxUint64, true
		}
		n = n*uint64(radix) + uint64(d)
	}
	if negative {
		n = -n
	}
	return float64(n), true
}

// unpackMax is how many values a call can have.
const unpackMax = 8000

func baseUnpack(c *Call) {
	t := c.Table(0)
	from := c.IntOr(1, 1)
	to := 0
	if c.Arg(2).IsNil() {
		to = t.Len()
	} else {
		to = c.Int(2)
	}
	if from > to {
		return
	}
	if n := to - from; n < 0 || n+1+c.n > unpackMax {
		c.Raise("too many results to unpack")
	}
	for i := from; i <= to; i++ {
		c.Push(t.GetInt(i))
	}
}

// basePcall answers whether a call was without an error, and its results or the error.
func basePcall(c *Call) {
	c.Any(0)
	t := c.t
	var out []Value
	err := t.protect(func() { out = t.callAt(c.base, c.n-1) })
	if err != nil {
		v := err.Value
		if caught := t.s.Caught; caught != nil {
			v = caught(v)
		}
		c.out = append(c.out[:0], False, v)
		return
	}
	c.out = append(append(c.out[:0], True), out...)
}

func baseXpcall(c *Call) {
	c.Any(1)
	t, handler := c.t, c.Arg(1)
	var out []Value
	err := t.protect(func() { out = t.Call(c.Arg(0)) })
	if err == nil {
		c.out = append(append(c.out[:0], True), out...)
		return
	}
	c.out = append(c.out[:0], False)
	handled := Nil
	if failed := t.protect(func() { handled = t.call1(handler, err.Value) }); failed != nil {
		handled = failed.Value
	}
	c.Push(handled)
}

// Display is what tostring makes of a value.
func (c *Call) Display(v Value) string {
	if h := c.State().metamethod(v, "__tostring"); !h.IsNil() {
		s, ok := c.t.call1(h, v).text()
		if !ok {
			c.Raise("'tostring' must return a string to 'print'")
		}
		return s
	}
	return v.display()
}

func baseLoadString(c *Call) {
	src := c.Text(0)
	chunk := src
	if !c.Arg(1).IsNil() {
		chunk = c.Text(1)
	}
	c.compile(src, chunk)
}

// compile answers a function, or nil and what is wrong.
func (c *Call) compile(src, chunk string) {
	c.State().Spend(len(src) / 4)
	c.State().Ask(len(src) * 16)
	p, err := Compile(strings.Clone(src), ChunkName(chunk))
	if err != nil {
		c.Push(Nil)
		c.Push(String(err.Error()))
		return
	}
	c.Push(Load(p))
}

func baseLoad(c *Call) {
	fn := c.Function(0)
	chunk := "=(load)"
	if !c.Arg(1).IsNil() {
		chunk = c.Text(1)
	}
	b := c.State().NewBuffer()
	for {
		v := c.t.call1(fn)
		s, ok := v.text()
		if !ok && !v.IsNil() {
			c.Push(Nil)
			c.Push(String("reader function must return a string"))
			return
		}
		if s == "" {
			break
		}
		b.WriteString(s)
	}
	c.compile(b.Value().str(), chunk)
}

// ChunkName is how messages name a chunk: "@user_script" is user_script, and a text is
// quoted.
func ChunkName(chunk string) string {
	const most = 60
	if chunk != "" && (chunk[0] == '=' || chunk[0] == '@') {
		return chunk[1:min(len(chunk), most)]
	}
	line, _, more := strings.Cut(chunk, "\n")
	if room := most - len(`[string "..."]`) - 1; len(line) > room {
		line, more = line[:room], true
	}
	if more {
		line += "..."
	}
	return `[string "` + line + `"]`
}
