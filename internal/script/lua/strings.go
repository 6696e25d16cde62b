package lua

import (
	"strings"
)

func (s *State) openString() {
	t := s.library("string", map[string]Native{
		"byte": stringByte, "char": stringChar, "find": func(c *Call) { c.find(true) }, "format": stringFormat, "gmatch": stringGmatch, "gfind": stringGmatch,
		"gsub": stringGsub, "len": func(c *Call) { c.Push(Int(len(c.Text(0)))) }, "lower": stringLower, "match": func(c *Call) { c.find(false) },
		"rep": stringRep, "reverse": stringReverse, "sub": stringSub, "upper": stringUpper,
		"dump": func(c *Call) {
			c.Function(0)
			c.Raise("unable to dump given function")
		},
	})
	s.strings = NewTable(0, 1)
	s.strings.SetString("__index", TableValue(t))
	s.strings.Readonly = true
}

// part is where a piece of a string of n bytes is, whose ends count from one, or from the
// end if they are negative.
func part(n, from, to int) (i, j int) {
	if from < 0 {
		from = max(from+n+1, 1)
	} else if from == 0 {
		from = 1
	}
	if to < 0 {
		to += n + 1
	} else if to > n {
		to = n
	}
	if from > to {
		return 0, 0
	}
	return from - 1, to
}

func stringSub(c *Call) {
	s := c.Text(0)
	i, j := part(len(s), c.Int(1), c.IntOr(2, -1))
	c.piece(s[i:j])
}

// piece answers a part of a string, which does not keep the rest in memory.
func (c *Call) piece(s string) {
	c.State().Ask(len(s))
	c.Push(String(strings.Clone(s)))
}

func stringByte(c *Call) {
	s := c.Text(0)
	from := c.IntOr(1, 1)
	to := from
	if !c.Arg(2).IsNil() {
		to = c.Int(2)
	}
	if from < 0 {
		from = max(from+len(s)+1, 0)
	}
	if to < 0 {
		to += len(s) + 1
	}
	from, to = max(from, 1), min(to, len(s))
	if to-from+1 > unpackMax-c.n {
		c.Raise("string slice too long")
	}
	for i := from; i <= to; i++ {
		c.Push(Int(int(s[i-1])))
	}
}

func stringChar(c *Call) {
	b := make([]byte, c.n)
	for i := range b {
		n := c.Int(i)
		if n < 0 || n > 255 {
			c.BadArgument(i, "invalid value")
		}
		b[i] = byte(n)
	}
	c.State().Ask(len(b))
	c.Push(Bytes(b))
}

// mapped answers a string made of another one, byte by byte.
func (c *Call) mapped(to func(b byte) byte) {
	s := c.Text(0)
	c.State().Ask(len(s))
	c.State().Spend(len(s) / 16)
	b := make([]byte, len(s))
	for i := range b {
		b[i] = to(s[i])
	}
	c.Push(Bytes(b))
}

func lower(b byte) byte {
	if b >= 'A' && b <= 'Z' {
		b += 'a' - 'A'
	}
	return b
}

func upper(b byte) byte {
	if b >= 'a' && b <= 'z' {
		b -= 'a' - 'A'
	}
	return b
}

func stringLower(c *Call) { c.mapped(lower) }
func stringUpper(c *Call) { c.mapped(upper) }

func stringReverse(c *Call) {
	s, i := c.Text(0), 0
	c.mapped(func(byte) byte {
		i++
		return s[len(s)-i]
	})
}

func stringRep(c *Call) {
	s, n := c.Text(0), max(c.Int(1), 0)
	if len(s) == 0 || n == 0 {
		c.Push(String(""))
		return
	}
	if n > (1<<40)/len(s) {
		c.State().Abort(ErrMemory)
	}
	c.State().Ask(len(s) * n)
	c.State().Spend(len(s) * n / 64)
	c.Push(String(strings.Repeat(s, n)))
}

// find is string.find and string.match.
func (c *Call) find(find bool) {
	s, p := c.Text(0), c.Text(1)
	init := c.IntOr(2, 1)
	if init < 0 {
		init = max(init+len(s)+1, 1)
	}
	init = min(max(init, 1), len(s)+1) - 1
	if find && (c.Arg(3).Truth() || strings.IndexAny(p, "^$*+?.([%-") < 0) {
		c.State().Spend((len(s) - init) / 64)
		if i := strings.Index(s[init:], p); i >= 0 {
			c.Push(Int(init + i + 1))
			c.Push(Int(init + i + len(p)))
			return
		}
		c.Push(Nil)
		return
	}
	m := matcher{c: c, src: s, pat: p}
	anchored := p != "" && p[0] == '^'
	if anchored {
		m.pat = p[1:]
	}
	for at := init; at <= len(s); at++ {
		m.level = 0
		if end := m.match(at, 0); end >= 0 {
			if find {
				c.Push(Int(at + 1))
				c.Push(Int(end))
				m.push(-1, -1)
				return
			}
			m.push(at, end)
			return
		}
		if anchored {
			break
		}
	}
	c.Push(Nil)
}

func stringGmatch(c *Call) {
	s, p := c.Text(0), c.Text(1)
	at := 0
	c.Push(NewNative(func(c *Call) {
		m := matcher{c: c, src: s, pat: p}
		for ; at <= len(s); at++ {
			m.level = 0
			if end := m.match(at, 0); end >= 0 {
				from := at
				at = end
				if end == from {
					at++
				}
				m.push(from, end)
				return
			}
		}
		c.Push(Nil)
	}))
}

func stringGsub(c *Call) {
	s, p := c.Text(0), c.Text(1)
	with := c.Arg(2)
	switch with.Kind() {
	case KindString, KindNumber, KindTable, KindFunction:
	default:
		c.BadArgument(2, "string/function/table expected")
	}
	most := c.IntOr(3, len(s)+1)
	anchored := p != "" && p[0] == '^'
	if anchored {
		p = p[1:]
	}
	m := matcher{c: c, src: s, pat: p}
	b := c.State().NewBuffer()
	n, at := 0, 0
	for n < most {
		m.level = 0
		end := m.match(at, 0)
		if end >= 0 {
			n++
			m.replace(&b, with, at, end)
		}
		switch {
		case end > at:
			at = end
		case at < len(s):
			_ = b.WriteByte(s[at])
			at++
		default:
			at++
		}
		if at > len(s) || anchored {
			break
		}
	}
	if at < len(s) {
		b.WriteString(s[at:])
	}
	c.Push(b.Value())
	c.Push(Int(n))
}

// replace appends what stands for a match.
func (m *matcher) replace(b *Buffer, with Value, from, to int) {
	var v Value
	switch with.Kind() {
	case KindFunction:
		args := make([]Value, 0, 4)
		for i := range max(m.level, 1) {
			args = append(args, m.capture(i, from, to))
		}
		v = m.c.t.call1(with, args...)
	case KindTable:
		v = m.c.t.index(with, m.capture(0, from, to))
	default:
		text, _ := with.text()
		for i := 0; i < len(text); i++ {
			switch ch := text[i]; {
			case ch != '%':
				_ = b.WriteByte(ch)
			case i+1 == len(text):
				_ = b.WriteByte(0)
			default:
				i++
				switch d := text[i]; {
				case !digit(d):
					_ = b.WriteByte(d)
				case d == '0':
					b.WriteString(m.src[from:to])
				default:
					s, _ := m.capture(int(d-'1'), from, to).text()
					b.WriteString(s)
				}
			}
		}
		return
	}
	if !v.Truth() {
		b.WriteString(m.src[from:to])
		return
	}
	s, ok := v.text()
	if !ok {
		m.c.Raise("invalid replacement value (a %s)", v.Kind())
	}
	b.WriteString(s)
}
