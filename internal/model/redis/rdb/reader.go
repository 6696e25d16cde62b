package rdb

import (
	"encoding/binary"
	"errors"
	"math"
	"strconv"
)

// errFormat is what is wrong with a payload; nobody is told more.
var errFormat = errors.New("rdb: bad data format")

// reader takes a payload apart. After its first mistake it is at its end.
type reader struct {
	b   []byte
	err error
}

func (r *reader) fail() {
	r.b, r.err = nil, errFormat
}

// take is the next n bytes.
func (r *reader) take(n uint64) []byte {
	if n > uint64(len(r.b)) {
		r.fail()
		return nil
	}
	v := r.b[:n:n]
	r.b = r.b[n:]
	return v
}

func (r *reader) byte() byte {
	if v := r.take(1); v != nil {
		return v[0]
	}
	return 0
}

// little is a number of n bytes, the lowest first.
func (r *reader) little(n uint64) (v uint64) {
	for i, x := range r.take(n) {
		v |= uint64(x) << (8 * i)
	}
	return v
}

func (r *reader) big(n uint64) (v uint64) {
	for _, x := range r.take(n) {
		v = v<<8 | uint64(x)
	}
	return v
}

// signed is little with a sign.
func (r *reader) signed(n uint64) int64 {
	shift := 64 - 8*n
	return int64(r.little(n)<<shift) >> shift
}

// Lengths: the upper two bits of the first byte say which.
const (
	length6      = 0
	length14     = 1
	lengthLong   = 2
	lengthString = 3 // a string in another encoding

	long32 = 0x80
	long64 = 0x81

	stringInt8  = 0
	stringInt16 = 1
	stringInt32 = 2
	stringLZF   = 3
)

// lengthOr is a length, or how a string is encoded.
func (r *reader) lengthOr() (n uint64, encoded bool) {
	first := r.byte()
	switch first >> 6 {
	case length6:
		return uint64(first & 63), false
	case length14:
		return uint64(first&63)<<8 | uint64(r.byte()), false
	case lengthString:
		return uint64(first & 63), true
	}
	switch first {
	case long32:
		return r.big(4), false
	case long64:
		return r.big(8), false
	}
	r.fail()
	return 0, false
}

func (r *reader) length() uint64 {
	n, encoded := r.lengthOr()
	if encoded {
		r.fail()
		return 0
	}
	return n
}

// count is the number of things of at least size bytes each.
func (r *reader) count(size uint64) int {
	n := r.length()
	if n > uint64(len(r.b))/size {
		r.fail()
		return 0
	}
	return int(n)
}

func (r *reader) string() []byte {
	n, encoded := r.lengthOr()
	if !encoded {
		return r.take(n)
	}
	switch n {
	case stringInt8, stringInt16, stringInt32:
		return strconv.AppendInt(nil, r.signed(1<<n), 10)
	case stringLZF:
		packed, size := r.length(), r.length()
		v, ok := unpackLZF(r.take(packed), size)
		if ok {
			return v
		}
	}
	r.fail()
	return nil
}

// unpackMost bounds what a string unpacks to, as that of a bulk argument.
const unpackMost = 512 << 20

// unpackLZF is a string of so many bytes: literals, and copies of what came before.
func unpackLZF(b []byte, size uint64) ([]byte, bool) {
	const (
		shortest = 3
		most     = 2 + 7 + 255 // that one copy makes of three bytes
	)
	if size > unpackMost || size > uint64(len(b))*most {
		return nil, false
	}
	out := make([]byte, 0, size)
	for len(b) > 0 {
		c := int(b[0])
		b = b[1:]
		if c < 32 {
			if c >= len(b) {
				return nil, false
			}
			out, b = append(out, b[:c+1]...), b[c+1:]
			continue
		}
		n := c >> 5
		if n == 7 && len(b) > 0 {
			n += int(b[0])
			b = b[1:]
		}
		if len(b) == 0 {
			return nil, false
		}
		from := len(out) - (c&31<<8 + int(b[0]) + 1)
		b = b[1:]
		if n += shortest - 1; from < 0 || uint64(len(out)+n) > size {
			return nil, false
		}
		for i := range n { // it may overlap
			out = append(out, out[from+i])
		}
	}
	return out, uint64(len(out)) == size
}

// textDouble is a float with its digits.
func (r *reader) textDouble() float64 {
	switch n := r.byte(); n {
	case 253:
		return math.NaN()
	case 254:
		return math.Inf(1)
	case 255:
		return math.Inf(-1)
	default:
		f, err := strconv.ParseFloat(string(r.take(uint64(n))), 64)
		if err != nil {
			r.fail()
		}
		return f
	}
}

func (r *reader) double() float64 { return math.Float64frombits(r.little(8)) }

// intset is a sorted array of numbers.
func intset(b []byte) ([][]byte, error) {
	r := reader{b: b}
	width, n := r.little(4), r.little(4)
	if width != 2 && width != 4 && width != 8 || n*width != uint64(len(r.b)) {
		return nil, errFormat
	}
	all := make([][]byte, n)
	for i := range all {
		all[i] = strconv.AppendInt(nil, r.signed(width), 10)
	}
	return all, r.err
}

// ziplist is the strings of what Redis 6 had in place of listpacks.
func ziplist(b []byte) (all [][]byte, err error) {
	r := reader{b: b}
	size := r.little(4)
	r.take(4 + 2)
	if size != uint64(len(b)) {
		return nil, errFormat
	}
	for r.err == nil && len(r.b) > 0 {
		if r.b[0] == 0xFF {
			if len(r.b) > 1 {
				return nil, errFormat
			}
			return all, nil
		}
		if r.byte() == 0xFE { // the length of the one before
			r.take(4)
		}
		all = append(all, r.zipped())
	}
	return nil, errFormat
}

func (r *reader) zipped() []byte {
	number := func(n int64) []byte { return strconv.AppendInt(nil, n, 10) }
	switch c := r.byte(); {
	case c>>6 == 0:
		return r.take(uint64(c))
	case c>>6 == 1:
		return r.take(uint64(c&63)<<8 | uint64(r.byte()))
	case c>>6 == 2:
		return r.take(r.big(4))
	case c == 0xC0:
		return number(r.signed(2))
	case c == 0xD0:
		return number(r.signed(4))
	case c == 0xE0:
		return number(r.signed(8))
	case c == 0xF0:
		return number(r.signed(3))
	case c == 0xFE:
		return number(r.signed(1))
	case c > 0xF0 && c < 0xFE:
		return number(int64(c&15) - 1)
	}
	r.fail()
	return nil
}

// packed is an element of a listpack: a string, or a number.
type packed struct {
	text   []byte
	n      int64
	number bool
}

func (p *packed) string() []byte {
	if p.number {
		return strconv.AppendInt(nil, p.n, 10)
	}
	return p.text
}

// listpack is its elements.
func listpack(b []byte) (all []packed, err error) {
	r := reader{b: b}
	size := r.little(4)
	r.take(2)
	if size != uint64(len(b)) {
		return nil, errFormat
	}
	for r.err == nil && len(r.b) > 0 {
		if r.b[0] == 0xFF {
			if len(r.b) > 1 {
				return nil, errFormat
			}
			return all, nil
		}
		before := len(r.b)
		all = append(all, r.packed())
		r.take(uint64(backBytes(before - len(r.b))))
	}
	return nil, errFormat
}

func (r *reader) packed() (p packed) {
	p.number = true
	switch c := r.byte(); {
	case c < 0x80:
		p.n = int64(c)
	case c < 0xC0:
		return packed{text: r.take(uint64(c & 63))}
	case c < 0xE0:
		p.n = int64(uint64(c&31)<<8|uint64(r.byte())) << 51 >> 51
	case c < 0xF0:
		return packed{text: r.take(uint64(c&15)<<8 | uint64(r.byte()))}
	case c == 0xF0:
		return packed{text: r.take(r.little(4))}
	case c == 0xF1:
		p.n = r.signed(2)
	case c == 0xF2:
		p.n = r.signed(3)
	case c == 0xF3:
		p.n = r.signed(4)
	case c == 0xF4:
		p.n = r.signed(8)
	default:
		r.fail()
	}
	return p
}

// backBytes is how many bytes say how long an element is, behind it.
func backBytes(n int) int {
	switch {
	case n <= 127:
		return 1
	case n < 16383:
		return 2
	case n < 2097151:
		return 3
	case n < 268435455:
		return 4
	}
	return 5
}

// packer makes a listpack.
type packer struct {
	b []byte
	n int
}

func newPacker() *packer { return &packer{b: make([]byte, 6, 64)} }

func (p *packer) number(n int64) {
	from := len(p.b)
	switch {
	case n >= 0 && n < 128:
		p.b = append(p.b, byte(n))
	case n >= -4096 && n < 4096:
		p.b = append(p.b, 0xC0|byte(n>>8)&31, byte(n))
	case n >= math.MinInt32 && n <= math.MaxInt32:
		p.b = binary.LittleEndian.AppendUint32(append(p.b, 0xF3), uint32(n))
	default:
		p.b = binary.LittleEndian.AppendUint64(append(p.b, 0xF4), uint64(n))
	}
	p.back(len(p.b) - from)
}

func (p *packer) text(s []byte) {
	from := len(p.b)
	switch n := len(s); {
	case n < 64:
		p.b = append(p.b, 0x80|byte(n))
	case n < 4096:
		p.b = append(p.b, 0xE0|byte(n>>8), byte(n))
	default:
		p.b = binary.LittleEndian.AppendUint32(append(p.b, 0xF0), uint32(n))
	}
	p.b = append(p.b, s...)
	p.back(len(p.b) - from)
}

// back writes the length of an element, to be read backwards.
func (p *packer) back(n int) {
	p.n++
	for i := backBytes(n) - 1; i >= 0; i-- {
		x := byte(n>>(7*i)) & 127
		if i < backBytes(n)-1 {
			x |= 128
		}
		p.b = append(p.b, x)
	}
}

func (p *packer) bytes() []byte {
	p.b = append(p.b, 0xFF)
	binary.LittleEndian.PutUint32(p.b, uint32(len(p.b)))
	binary.LittleEndian.PutUint16(p.b[4:], uint16(min(p.n, math.MaxUint16)))
	return p.b
}
