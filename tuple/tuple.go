package tuple

import (
	"bytes"
	"encoding/hex"
	"errors"
	"fmt"
	"math/big"
	"strconv"
	"strings"
)

// MaxDepth bounds how deeply tuples nest: a tuple without nested ones has depth 0.
const MaxDepth = 128

// MaxIntegerBytes bounds the magnitude of an integer.
const MaxIntegerBytes = 255

// Element is one value of a tuple: nil, []byte, string, Tuple, any integer type
// of Go, big.Int, *big.Int, float32, float64, bool, UUID or Versionstamp.
type Element = any

// Tuple is a list of elements.
type Tuple []Element

// UUID is a universally unique identifier in network byte order.
type UUID [16]byte

// String is the usual notation in five groups.
func (u UUID) String() string {
	s := hex.EncodeToString(u[:])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

var (
	// ErrMalformed says that bytes are not an encoded tuple.
	ErrMalformed = errors.New("tuple: malformed encoding")
	// ErrType says that the next element is not of the type that was asked for,
	// or an integer does not fit it.
	ErrType = errors.New("tuple: element of another type")
	// ErrNoVersionstamp says that there is no incomplete versionstamp to pack.
	ErrNoVersionstamp = errors.New("tuple: no incomplete versionstamp")
	// ErrManyVersionstamps says that there is more than one.
	ErrManyVersionstamps = errors.New("tuple: more than one incomplete versionstamp")
)

// The type codes. They are on disk; retired ones are not reused.
const (
	codeNull         = 0x00
	codeBytes        = 0x01
	codeString       = 0x02
	codeNested       = 0x05
	codeNegativeBig  = 0x0b
	codeZero         = 0x14
	codePositiveBig  = 0x1d
	codeFloat32      = 0x20
	codeFloat64      = 0x21
	codeFalse        = 0x26
	codeTrue         = 0x27
	codeUUID         = 0x30
	codeVersionstamp = 0x33
	escape           = 0xff
	maxSmallIntBytes = 8
)

// Pack encodes the tuple. It panics if an element is of a type that Element does
// not name, an integer exceeds MaxIntegerBytes, or tuples nest deeper than
// MaxDepth: those are mistakes of the program. An incomplete versionstamp is
// encoded as it is; see PackWithVersionstamp.
func (t Tuple) Pack() []byte { return t.Append(nil) }

// Append is Pack to the end of dst.
func (t Tuple) Append(dst []byte) []byte {
	for _, e := range t {
		dst = appendElement(dst, e, 0)
	}
	return dst
}

// PackWithVersionstamp encodes prefix and the tuple, which must hold exactly one
// incomplete versionstamp, nested or not, as a template for a versionstamped
// operation: the last four bytes, little-endian, are the offset of the ten bytes
// that the transaction's version replaces. The error is ErrNoVersionstamp or
// ErrManyVersionstamps.
func (t Tuple) PackWithVersionstamp(prefix []byte) ([]byte, error) {
	switch n := t.incomplete(); {
	case n == 0:
		return nil, ErrNoVersionstamp
	case n > 1:
		return nil, ErrManyVersionstamps
	}
	b := append([]byte(nil), prefix...)
	b = t.Append(b)
	offset, err := incompleteOffset(b[len(prefix):])
	if err != nil {
		return nil, err
	}
	at := uint32(len(prefix) + offset)
	return append(b, byte(at), byte(at>>8), byte(at>>16), byte(at>>24)), nil
}

// incomplete counts the incomplete versionstamps.
func (t Tuple) incomplete() (n int) {
	for _, e := range t {
		switch e := e.(type) {
		case Versionstamp:
			if !e.Complete() {
				n++
			}
		case Tuple:
			n += e.incomplete()
		}
	}
	return n
}

// incompleteOffset is the offset of the first incomplete versionstamp's ten bytes.
func incompleteOffset(b []byte) (int, error) {
	d := NewDecoder(b)
	for {
		for !d.More() {
			if d.depth == 0 {
				return 0, ErrNoVersionstamp
			}
			if err := d.Leave(); err != nil {
				return 0, err
			}
		}
		at := d.pos + 1
		switch d.Kind() {
		case KindVersionstamp:
			v, err := d.Versionstamp()
			if err != nil {
				return 0, err
			}
			if !v.Complete() {
				return at, nil
			}
		case KindTuple:
			if err := d.Enter(); err != nil {
				return 0, err
			}
		default:
			if err := d.Skip(); err != nil {
				return 0, err
			}
		}
	}
}

// Range is the half-open interval of keys [begin, end) that hold all tuples of
// which t is a proper prefix. The key of t itself lies before it.
func (t Tuple) Range() (begin, end []byte) {
	b := t.Pack()
	begin = append(b[:len(b):len(b)], 0x00)
	end = append(b[:len(b):len(b)], 0xff)
	return begin, end
}

// Unpack decodes a tuple. It accepts every encoding that Pack makes, and integers
// with superfluous leading zeros; strings are not checked for UTF-8. The error is
// ErrMalformed with more detail. The result shares no memory with b.
func Unpack(b []byte) (Tuple, error) {
	d := NewDecoder(b)
	t := Tuple{}
	for d.More() {
		e, err := d.Element()
		if err != nil {
			return nil, err
		}
		t = append(t, e)
	}
	return t, nil
}

// String shows the tuple for people: ("a", 1, 0x00ff, nil).
func (t Tuple) String() string {
	var s strings.Builder
	t.write(&s)
	return s.String()
}

func (t Tuple) write(s *strings.Builder) {
	s.WriteByte('(')
	for i, e := range t {
		if i > 0 {
			s.WriteString(", ")
		}
		switch e := e.(type) {
		case Tuple:
			e.write(s)
		case []byte:
			s.WriteString("0x" + hex.EncodeToString(e))
		case string:
			s.WriteString(strconv.Quote(e))
		case big.Int:
			s.WriteString(e.String())
		case nil:
			s.WriteString("nil")
		default:
			fmt.Fprint(s, e)
		}
	}
	s.WriteByte(')')
}

// Compare orders tuples as their encodings are ordered: element by element, a
// proper prefix first. It panics where Pack does.
func Compare(a, b Tuple) int {
	var x, y [64]byte
	p, q := x[:0], y[:0]
	for i := range min(len(a), len(b)) {
		p, q = appendElement(p[:0], a[i], 0), appendElement(q[:0], b[i], 0)
		if c := bytes.Compare(p, q); c != 0 {
			return c
		}
	}
	return min(1, max(-1, len(a)-len(b)))
}
