package script

import (
	"encoding/binary"
	"math"
	"strings"

	"github.com/stratadb/strata/internal/script/lua"
)

func (m *machine) openStruct() {
	t := lua.NewTable(0, 4)
	m.st.Register(t, map[string]lua.Native{"pack": m.structPack, "unpack": m.structUnpack, "size": structSize})
	m.st.Globals.SetString("struct", lua.TableValue(t))
}

// layout reads a format: the letters of structs in C.
type layout struct {
	c     *lua.Call
	s     string
	at    int
	order binary.ByteOrder
	align int
}

const (
	intSizeMax = 32
	alignMax   = 16
)

func newLayout(c *lua.Call) *layout {
	return &layout{c: c, s: c.Text(0), order: binary.LittleEndian, align: 1}
}

func (l *layout) more() bool { return l.at < len(l.s) }

// number reads the number behind a letter.
func (l *layout) number(otherwise int) int {
	if !l.more() || l.s[l.at] < '0' || l.s[l.at] > '9' {
		return otherwise
	}
	n := 0
	for ; l.more() && l.s[l.at] >= '0' && l.s[l.at] <= '9'; l.at++ {
		if n > (math.MaxInt32-9)/10 {
			l.c.Raise("integral size overflow")
		}
		n = n*10 + int(l.s[l.at]-'0')
	}
	return n
}

// next is the next letter and the size of what it stands for.
func (l *layout) next() (letter byte, size int) {
	letter = l.s[l.at]
	l.at++
	switch letter {
	case 'B', 'b':
		return letter, 1
	case 'H', 'h':
		return letter, 2
	case 'L', 'l', 'T', 'd':
		return letter, 8
	case 'f':
		return letter, 4
	case 'x':
		return letter, 1
	case 'c':
		return letter, l.number(1)
	case 'i', 'I':
		n := l.number(4)
		if n > intSizeMax {
			l.c.Raise("integral size %d is larger than limit of %d", n, intSizeMax)
		}
		return letter, n
	}
	return letter, 0
}

// padding is how much is left out before something.
func (l *layout) padding(letter byte, size, at int) int {
	if size == 0 || letter == 'c' {
		return 0
	}
	size = min(size, l.align)
	if size > 1 {
		return (size - at&(size-1)) & (size - 1)
	}
	return 0
}

// control handles a letter that stands for nothing by itself.
func (l *layout) control(letter byte) {
	switch letter {
	case ' ':
	case '>':
		l.order = binary.BigEndian
	case '<':
		l.order = binary.LittleEndian
	case '!':
		a := l.number(8)
		if a == 0 || a&(a-1) != 0 {
			l.c.Raise("alignment %d is not a power of 2", a)
		}
		l.align = a
	default:
		l.c.BadArgument(0, "invalid format option '%c'", letter)
	}
}

func (m *machine) structPack(c *lua.Call) {
	l := newLayout(c)
	b := m.st.NewBuffer()
	arg := 1
	for l.more() {
		m.st.Spend(1)
		letter, size := l.next()
		pad := l.padding(letter, size, len(b.B))
		b.Room(pad + min(size, 1<<30))
		b.B = append(b.B, make([]byte, pad)...)
		switch letter {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			m.packInt(&b, l.order, c.Number(arg), size)
			arg++
		case 'x':
			b.B = append(b.B, 0)
		case 'f':
			b.B = l.append(b.B, uint64(math.Float32bits(float32(c.Number(arg)))), 4)
			arg++
		case 'd':
			b.B = l.append(b.B, math.Float64bits(c.Number(arg)), 8)
			arg++
		case 'c', 's':
			s := c.Text(arg)
			arg++
			if size == 0 {
				size = len(s)
			}
			if len(s) < size {
				c.BadArgument(arg, "string too short")
			}
			b.WriteString(s[:size])
			if letter == 's' {
				b.WriteString("\x00")
			}
		default:
			l.control(letter)
		}
	}
	c.Push(b.Value())
}

func (l *layout) append(b []byte, bits uint64, size int) []byte {
	var raw [8]byte
	if size == 4 {
		l.order.PutUint32(raw[:], uint32(bits))
	} else {
		l.order.PutUint64(raw[:], bits)
	}
	return append(b, raw[:size]...)
}

func (m *machine) packInt(b *lua.Buffer, order binary.ByteOrder, f float64, size int) {
	n := uint64(whole(f))
	if f >= 1<<63 {
		n = uint64(f)
	}
	b.Room(size)
	from := len(b.B)
	b.B = append(b.B, make([]byte, size)...)
	out := b.B[from:]
	for i := range size {
		at := i
		if order == binary.BigEndian {
			at = size - 1 - i
		}
		out[at] = byte(n)
		n >>= 8
	}
}

func (m *machine) structUnpack(c *lua.Call) {
	l := newLayout(c)
	data := c.Text(1)
	at := c.IntOr(2, 1) - 1
	if at < 0 {
		c.BadArgument(2, "offset must be 1 or greater")
	}
	last := lua.Nil // the one before, which may be a length
	pushed := 0
	push := func(v lua.Value) {
		last = v
		if pushed++; pushed > unpackedMax {
			c.Raise("too many results")
		}
		c.Push(v)
	}
	for l.more() {
		m.st.Spend(1)
		letter, size := l.next()
		at += l.padding(letter, size, at)
		if at > len(data) || size > len(data)-at {
			c.BadArgument(1, "data string too short")
		}
		switch letter {
		case 'b', 'B', 'h', 'H', 'l', 'L', 'T', 'i', 'I':
			push(lua.Number(unpackInt(data[at:at+size], l.order, letter >= 'a')))
		case 'x':
		case 'f':
			push(lua.Number(float64(math.Float32frombits(l.order.Uint32([]byte(data[at : at+4]))))))
		case 'd':
			push(lua.Number(math.Float64frombits(l.order.Uint64([]byte(data[at : at+8])))))
		case 'c':
			if size == 0 {
				f, ok := last.AsNumber()
				if !ok || pushed == 0 {
					c.Raise("format 'c0' needs a previous size")
				}
				size = int(whole(f))
				if f >= 1<<64 { // as C converts it
					size = 0
				}
				c.Drop()
				pushed--
				if size < 0 || size > len(data)-at {
					c.BadArgument(1, "data string too short")
				}
			}
			push(m.st.NewString(strings.Clone(data[at : at+size])))
		case 's':
			end := strings.IndexByte(data[at:], 0)
			if end < 0 {
				c.Raise("unfinished string in data")
			}
			size = end + 1
			push(m.st.NewString(strings.Clone(data[at : at+end])))
		default:
			l.control(letter)
		}
		at += size
	}
	c.Push(lua.Int(at + 1))
}

func unpackInt(b string, order binary.ByteOrder, signed bool) float64 {
	var n uint64
	for i := range len(b) {
		at := i
		if order != binary.BigEndian {
			at = len(b) - 1 - i
		}
		n = n<<8 | uint64(b[at])
	}
	if !signed {
		return float64(n)
	}
	if size := len(b); size > 0 && size < 8 {
		shift := 64 - 8*size
		return float64(int64(n<<shift) >> shift)
	}
	return float64(int64(n))
}

func structSize(c *lua.Call) {
	l := newLayout(c)
	at := 0
	for l.more() {
		letter, size := l.next()
		at += l.padding(letter, size, at)
		switch {
		case letter == 's':
			c.BadArgument(0, "option 's' has no fixed size")
		case letter == 'c' && size == 0:
			c.BadArgument(0, "option 'c0' has no fixed size")
		case strings.IndexByte("bBhHlLTiIxfdc", letter) < 0:
			l.control(letter)
		}
		at += size
	}
	c.Push(lua.Int(at))
}
