package script

import (
	"encoding/binary"
	"math"

	"github.com/stratadb/strata/internal/script/lua"
)

// packDepthMax is how deep tables are packed; deeper ones become nil.
const packDepthMax = 16

func (m *machine) openMsgpack() {
	t := lua.NewTable(0, 16)
	m.st.Register(t, map[string]lua.Native{
		"pack": m.pack, "unpack": func(c *lua.Call) { m.unpack(c, 0, 0, false) },
		"unpack_one": func(c *lua.Call) { m.unpack(c, 1, c.IntOr(1, 0), true) },
		"unpack_limit": func(c *lua.Call) {
			m.unpack(c, c.Int(1), c.IntOr(2, 0), true)
		},
	})
	t.SetString("_NAME", lua.String("cmsgpack"))
	t.SetString("_VERSION", lua.String("lua-cmsgpack 0.4.0"))
	t.SetString("_COPYRIGHT", lua.String("Copyright (C) 2012, Salvatore Sanfilippo"))
	t.SetString("_DESCRIPTION", lua.String("MessagePack C implementation for Lua"))
	m.st.Globals.SetString("cmsgpack", lua.TableValue(t))
}

func (m *machine) pack(c *lua.Call) {
	if c.Len() == 0 {
		c.BadArgument(-1, "MessagePack pack needs input.")
	}
	p := packer{m: m, b: m.st.NewBuffer()}
	for i := range c.Len() {
		p.value(c.Arg(i), 0)
	}
	c.Push(p.b.Value())
}

// packer writes MessagePack.
type packer struct {
	m *machine
	b lua.Buffer
}

func (p *packer) bytes(b ...byte) {
	p.b.Room(len(b))
	p.b.B = append(p.b.B, b...)
}

// sized writes a kind and a number in as many bytes as the kind has.
func (p *packer) sized(kind byte, n uint64, size int) {
	p.b.Room(1 + size)
	var be [8]byte
	binary.BigEndian.PutUint64(be[:], n)
	p.b.B = append(append(p.b.B, kind), be[8-size:]...)
}

func (p *packer) value(v lua.Value, depth int) {
	p.m.st.Spend(1)
	switch v.Kind() {
	case lua.KindString:
		s, _ := v.AsString()
		p.text(s)
	case lua.KindBool:
		if v.Truth() {
			p.bytes(0xC3)
		} else {
			p.bytes(0xC2)
		}
	case lua.KindNumber:
		f, _ := v.AsNumber()
		p.number(f)
	case lua.KindTable:
		if depth == packDepthMax {
			p.bytes(0xC0)
			return
		}
		p.table(v.AsTable(), depth+1)
	default:
		p.bytes(0xC0)
	}
}

func (p *packer) text(s string) {
	switch n := uint64(len(s)); {
	case n < 32:
		p.bytes(0xA0 | byte(n))
	case n <= math.MaxUint8:
		p.sized(0xD9, n, 1)
	case n <= math.MaxUint16:
		p.sized(0xDA, n, 2)
	default:
		p.sized(0xDB, n, 4)
	}
	p.b.WriteString(s)
}

func (p *packer) number(f float64) {
	if f != math.Trunc(f) || math.IsInf(f, 0) || f >= 1<<63 || f < -1<<63 {
		if single := float32(f); float64(single) == f {
			p.sized(0xCA, uint64(math.Float32bits(single)), 4)
		} else {
			p.sized(0xCB, math.Float64bits(f), 8)
		}
		return
	}
	n := int64(f)
	switch {
	case n >= 0 && n <= 127 || n < 0 && n >= -32:
		p.bytes(byte(n))
	case n >= 0 && n <= math.MaxUint8:
		p.sized(0xCC, uint64(n), 1)
	case n >= 0 && n <= math.MaxUint16:
		p.sized(0xCD, uint64(n), 2)
	case n >= 0 && n <= math.MaxUint32:
		p.sized(0xCE, uint64(n), 4)
	case n >= 0:
		p.sized(0xCF, uint64(n), 8)
	case n >= math.MinInt8:
		p.sized(0xD0, uint64(n), 1)
	case n >= math.MinInt16:
		p.sized(0xD1, uint64(n), 2)
	case n >= math.MinInt32:
		p.sized(0xD2, uint64(n), 4)
	default:
		p.sized(0xD3, uint64(n), 8)
	}
}

func (p *packer) table(t *lua.Table, depth int) {
	n, most, array := 0, 0.0, true
	t.Each(func(k, _ lua.Value) bool {
		f, ok := k.AsNumber()
		if !ok || f <= 0 || f != math.Trunc(f) {
			array = false
		}
		n, most = n+1, max(most, f)
		return true
	})
	if array && most == float64(n) {
		p.length(0x90, 0xDC, n)
		for i := range n {
			p.value(t.GetInt(i+1), depth)
		}
		return
	}
	p.length(0x80, 0xDE, n)
	t.Each(func(k, v lua.Value) bool {
		p.value(k, depth)
		p.value(v, depth)
		return true
	})
}

// length writes that of an array or a map.
func (p *packer) length(short, long byte, n int) {
	switch {
	case n <= 15:
		p.bytes(short | byte(n))
	case n <= math.MaxUint16:
		p.sized(long, uint64(n), 2)
	default:
		p.sized(long+1, uint64(n), 4)
	}
}

// unpacker reads MessagePack.
type unpacker struct {
	m     *machine
	c     *lua.Call
	s     string
	at    int
	depth int
}

// unpackDepthMax bounds how deep what is unpacked is nested.
const unpackDepthMax = 1000

// unpack answers up to limit values from an offset on, all if limit is zero, and first where
// the rest begins, -1 for the end, if told is set.
func (m *machine) unpack(c *lua.Call, limit, offset int, told bool) {
	u := unpacker{m: m, c: c, s: c.Text(0)}
	switch {
	case offset < 0 || limit < 0:
		c.Raise("Invalid request to unpack with offset of %d and limit of %d.", offset, len(u.s))
	case offset > len(u.s):
		c.Raise("Start offset %d greater than input length %d.", offset, len(u.s))
	}
	all := limit == 0 && offset == 0
	if all {
		limit = math.MaxInt32
	}
	u.at = offset
	var values []lua.Value
	for n := 0; u.at < len(u.s) && n < limit; n++ {
		v := u.value()
		m.st.Hold(v)
		m.st.Ask(16)
		values = append(values, v)
		if len(values) > unpackedMax {
			c.Raise("too many results to unpack")
		}
	}
	for range values {
		m.st.LetGo()
	}
	if !all {
		rest := u.at
		if u.at >= len(u.s) {
			rest = -1
		}
		c.Push(lua.Int(rest))
	}
	for _, v := range values {
		c.Push(v)
	}
}

// unpackedMax is how many values a call can have.
const unpackedMax = 8000

func (u *unpacker) take(n int) string {
	if n < 0 || n > len(u.s)-u.at {
		u.c.Raise("Missing bytes in input.")
	}
	s := u.s[u.at : u.at+n]
	u.at += n
	return s
}

// uint reads an unsigned number of n bytes.
func (u *unpacker) uint(n int) (v uint64) {
	for _, c := range []byte(u.take(n)) {
		v = v<<8 | uint64(c)
	}
	return v
}

func (u *unpacker) value() lua.Value {
	u.m.st.Spend(1)
	kind := u.take(1)[0]
	switch {
	case kind < 0x80:
		return lua.Int(int(kind))
	case kind >= 0xE0:
		return lua.Int(int(int8(kind)))
	case kind&0xF0 == 0x80:
		return u.pairs(int(kind & 15))
	case kind&0xF0 == 0x90:
		return u.array(int(kind & 15))
	case kind&0xE0 == 0xA0:
		return u.text(int(kind & 31))
	}
	switch kind {
	case 0xC0:
		return lua.Nil
	case 0xC2:
		return lua.False
	case 0xC3:
		return lua.True
	case 0xCA:
		return lua.Number(float64(math.Float32frombits(uint32(u.uint(4)))))
	case 0xCB:
		return lua.Number(math.Float64frombits(u.uint(8)))
	case 0xCF: // Lua's integers are signed
		return lua.Number(float64(int64(u.uint(8))))
	case 0xCC, 0xCD, 0xCE:
		return lua.Number(float64(u.uint(1 << (kind - 0xCC))))
	case 0xD0:
		return lua.Int(int(int8(u.uint(1))))
	case 0xD1:
		return lua.Int(int(int16(u.uint(2))))
	case 0xD2:
		return lua.Int(int(int32(u.uint(4))))
	case 0xD3:
		return lua.Number(float64(int64(u.uint(8))))
	case 0xD9:
		return u.text(int(u.uint(1)))
	case 0xDA:
		return u.text(int(u.uint(2)))
	case 0xDB:
		return u.text(int(u.uint(4)))
	case 0xDC:
		return u.array(int(u.uint(2)))
	case 0xDD:
		return u.array(int(u.uint(4)))
	case 0xDE:
		return u.pairs(int(u.uint(2)))
	case 0xDF:
		return u.pairs(int(u.uint(4)))
	}
	u.c.Raise("Bad data format in input.")
	return lua.Nil
}

func (u *unpacker) text(n int) lua.Value {
	s := u.take(n)
	u.m.st.Ask(n)
	return lua.String(string([]byte(s)))
}

// deeper makes a table that is being filled.
func (u *unpacker) deeper() *lua.Table {
	if u.depth++; u.depth > unpackDepthMax {
		u.c.Raise("Bad data format in input.")
	}
	t := u.m.st.NewTable(0, 0)
	u.m.st.Hold(lua.TableValue(t))
	return t
}

func (u *unpacker) done(t *lua.Table) lua.Value {
	u.depth--
	u.m.st.LetGo()
	return lua.TableValue(t)
}

func (u *unpacker) array(n int) lua.Value {
	t := u.deeper()
	for i := range n {
		u.m.st.Ask(t.Set(lua.Int(i+1), u.value()))
	}
	return u.done(t)
}

func (u *unpacker) pairs(n int) lua.Value {
	t := u.deeper()
	for range n {
		k := u.value()
		u.m.st.Hold(k)
		v := u.value()
		u.m.st.LetGo()
		if f, ok := k.AsNumber(); k.IsNil() {
			u.c.Throw(lua.String("table index is nil"))
		} else if ok && f != f {
			u.c.Throw(lua.String("table index is NaN"))
		}
		u.m.st.Ask(t.Set(k, v))
	}
	return u.done(t)
}
