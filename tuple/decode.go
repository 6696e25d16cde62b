package tuple

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"math"
	"math/big"
	"slices"
)

// Kind is the type of an encoded element.
type Kind uint8

// The kinds, in the order in which elements of different kinds are sorted.
const (
	// KindInvalid is no element: the end of the tuple, or an unknown code.
	KindInvalid Kind = iota
	KindNull
	KindBytes
	KindString
	KindTuple
	KindInt
	KindFloat32
	KindFloat64
	KindBool
	KindUUID
	KindVersionstamp
)

// Decoder reads the elements of an encoded tuple one by one:
//
//	for d := tuple.NewDecoder(key); d.More(); {
//		switch d.Kind() { … }
//	}
//
// Every method that reads an element moves behind it; if it fails, with
// ErrMalformed or ErrType, it does not move. Nested tuples are read as a whole by
// Element, or entered and left.
type Decoder struct {
	b     []byte
	pos   int
	depth int
}

// NewDecoder reads b, which must not change while its elements are in use.
func NewDecoder(b []byte) Decoder { return Decoder{b: b} }

// More reports whether the current tuple has another element.
func (d *Decoder) More() bool {
	if d.depth == 0 || d.pos >= len(d.b) || d.b[d.pos] != codeNull {
		return d.pos < len(d.b)
	}
	return d.pos+1 < len(d.b) && d.b[d.pos+1] == escape
}

// Rest is what has not been read.
func (d *Decoder) Rest() []byte { return d.b[d.pos:] }

// Kind is the type of the next element.
func (d *Decoder) Kind() Kind {
	if !d.More() {
		return KindInvalid
	}
	switch c := d.b[d.pos]; {
	case c == codeNull:
		return KindNull
	case c == codeBytes:
		return KindBytes
	case c == codeString:
		return KindString
	case c == codeNested:
		return KindTuple
	case c >= codeNegativeBig && c <= codePositiveBig:
		return KindInt
	case c == codeFloat32:
		return KindFloat32
	case c == codeFloat64:
		return KindFloat64
	case c == codeFalse, c == codeTrue:
		return KindBool
	case c == codeUUID:
		return KindUUID
	case c == codeVersionstamp:
		return KindVersionstamp
	}
	return KindInvalid
}

// expect checks the kind of the next element.
func (d *Decoder) expect(k Kind) error {
	got := d.Kind()
	if got == k {
		return nil
	}
	if got == KindInvalid && d.More() {
		return d.malformed("unknown type code")
	}
	return ErrType
}

func (d *Decoder) malformed(what string) error {
	return fmt.Errorf("%w: %s at offset %d", ErrMalformed, what, d.pos)
}

// fixed returns the size bytes behind the type code of the next element, which
// is of kind k, and moves behind them.
func (d *Decoder) fixed(k Kind, size int) ([]byte, error) {
	if err := d.expect(k); err != nil {
		return nil, err
	}
	from := d.pos + 1
	if len(d.b)-from < size {
		return nil, d.malformed("element is cut off")
	}
	d.pos = from + size
	return d.b[from:d.pos], nil
}

// Null reads nil.
func (d *Decoder) Null() error {
	if err := d.expect(KindNull); err != nil {
		return err
	}
	d.pos++
	if d.depth > 0 {
		d.pos++ // the escape byte
	}
	return nil
}

// Bytes reads a byte string. It aliases the input if the string has no zero
// bytes, and is new memory otherwise.
func (d *Decoder) Bytes() ([]byte, error) { return d.unescaped(KindBytes) }

// AppendBytes reads a byte string and appends it to dst.
func (d *Decoder) AppendBytes(dst []byte) ([]byte, error) {
	b, _, err := d.terminated(KindBytes)
	if err != nil {
		return dst, err
	}
	return appendUnescaped(dst, b), nil
}

// Text reads a Unicode string.
func (d *Decoder) Text() (string, error) {
	b, err := d.unescaped(KindString)
	return string(b), err
}

// TextBytes reads a Unicode string as Bytes reads a byte string.
func (d *Decoder) TextBytes() ([]byte, error) { return d.unescaped(KindString) }

func (d *Decoder) unescaped(k Kind) ([]byte, error) {
	b, escapes, err := d.terminated(k)
	if err != nil || escapes == 0 {
		return b, err
	}
	return appendUnescaped(make([]byte, 0, len(b)-escapes), b), nil
}

// terminated reads a string, which ends with a zero byte that no escape follows,
// and returns it without that byte and with its escapes, and their number.
func (d *Decoder) terminated(k Kind) (b []byte, escapes int, err error) {
	if err := d.expect(k); err != nil {
		return nil, 0, err
	}
	rest := d.b[d.pos+1:]
	end, escapes := stringEnd(rest)
	if end < 0 {
		return nil, 0, d.malformed("string is cut off")
	}
	d.pos += 1 + end + 1
	return rest[:end:end], escapes, nil
}

func appendUnescaped(dst, b []byte) []byte {
	for {
		i := bytes.IndexByte(b, 0)
		if i < 0 {
			return append(dst, b...)
		}
		dst = append(dst, b[:i+1]...)
		b = b[i+2:]
	}
}

// stringEnd is the offset of the final zero byte, or -1, and the number of
// escaped zeros before it.
func stringEnd(b []byte) (end, escapes int) {
	for {
		i := bytes.IndexByte(b[end:], 0)
		if i < 0 {
			return -1, 0
		}
		end += i
		if end+1 >= len(b) || b[end+1] != escape {
			return end, escapes
		}
		end += 2
		escapes++
	}
}

// integer returns the sign and the bytes of the next element, an integer, with
// those of negative ones inverted, and the offset behind it.
func (d *Decoder) integer() (negative bool, b []byte, next int, err error) {
	if err := d.expect(KindInt); err != nil {
		return false, nil, 0, err
	}
	code, from := d.b[d.pos], d.pos+1
	size := int(code) - codeZero
	switch code {
	case codeNegativeBig, codePositiveBig:
		if from == len(d.b) {
			return false, nil, 0, d.malformed("integer is cut off")
		}
		size = int(d.b[from])
		if code == codeNegativeBig {
			size = int(^d.b[from])
		}
		from++
	default:
		size = max(size, -size)
	}
	if len(d.b)-from < size {
		return false, nil, 0, d.malformed("integer is cut off")
	}
	return code < codeZero, d.b[from : from+size], from + size, nil
}

// magnitude is the absolute value of an integer's bytes, if it has 64 bits.
func magnitude(negative bool, b []byte) (n uint64, ok bool) {
	flip := byte(0)
	if negative {
		flip = 0xff
	}
	for _, c := range b {
		if n>>56 != 0 {
			return 0, false
		}
		n = n<<8 | uint64(c^flip)
	}
	return n, true
}

// Int reads an integer that fits int64; otherwise the error is ErrType.
func (d *Decoder) Int() (int64, error) {
	negative, b, next, err := d.integer()
	if err != nil {
		return 0, err
	}
	n, ok := magnitude(negative, b)
	switch {
	case ok && negative && n <= 1<<63:
		d.pos = next
		return -int64(n), nil
	case ok && !negative && n <= math.MaxInt64:
		d.pos = next
		return int64(n), nil
	}
	return 0, ErrType
}

// Uint reads an integer that fits uint64; otherwise the error is ErrType.
func (d *Decoder) Uint() (uint64, error) {
	negative, b, next, err := d.integer()
	if err != nil {
		return 0, err
	}
	n, ok := magnitude(negative, b)
	if !ok || negative && n > 0 {
		return 0, ErrType
	}
	d.pos = next
	return n, nil
}

// BigInt reads an integer of any size.
func (d *Decoder) BigInt() (*big.Int, error) {
	negative, b, next, err := d.integer()
	if err != nil {
		return nil, err
	}
	d.pos = next
	if !negative {
		return new(big.Int).SetBytes(b), nil
	}
	b = slices.Clone(b)
	invert(b)
	n := new(big.Int).SetBytes(b)
	return n.Neg(n), nil
}

// Float32 reads a float32.
func (d *Decoder) Float32() (float32, error) {
	b, err := d.fixed(KindFloat32, 4)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint32(b)
	if n>>31 == 0 {
		n = ^n
	} else {
		n ^= 1 << 31
	}
	return math.Float32frombits(n), nil
}

// Float64 reads a float64.
func (d *Decoder) Float64() (float64, error) {
	b, err := d.fixed(KindFloat64, 8)
	if err != nil {
		return 0, err
	}
	n := binary.BigEndian.Uint64(b)
	if n>>63 == 0 {
		n = ^n
	} else {
		n ^= 1 << 63
	}
	return math.Float64frombits(n), nil
}

// Bool reads a truth value.
func (d *Decoder) Bool() (bool, error) {
	if err := d.expect(KindBool); err != nil {
		return false, err
	}
	d.pos++
	return d.b[d.pos-1] == codeTrue, nil
}

// UUID reads a UUID.
func (d *Decoder) UUID() (u UUID, err error) {
	b, err := d.fixed(KindUUID, len(u))
	if err != nil {
		return u, err
	}
	return UUID(b), nil
}

// Versionstamp reads a versionstamp.
func (d *Decoder) Versionstamp() (v Versionstamp, err error) {
	b, err := d.fixed(KindVersionstamp, versionstampBytes)
	if err != nil {
		return v, err
	}
	copy(v.TransactionVersion[:], b)
	v.UserVersion = binary.BigEndian.Uint16(b[TransactionVersionBytes:])
	return v, nil
}

// Enter goes into the nested tuple that is the next element: More, Kind and the
// others then speak of its elements until Leave.
func (d *Decoder) Enter() error {
	if err := d.expect(KindTuple); err != nil {
		return err
	}
	if d.depth == MaxDepth {
		return d.malformed("nested too deep")
	}
	d.pos++
	d.depth++
	return nil
}

// Leave skips the elements of the nested tuple that were not read and goes
// behind it. Unlike the other methods, it may move even if it fails.
func (d *Decoder) Leave() error {
	if d.depth == 0 {
		return ErrType
	}
	for d.More() {
		if err := d.Skip(); err != nil {
			return err
		}
	}
	if d.pos >= len(d.b) {
		return d.malformed("nested tuple is cut off")
	}
	d.pos++
	d.depth--
	return nil
}

// Skip moves behind the next element, of whatever type.
func (d *Decoder) Skip() (err error) {
	was := *d
	switch d.Kind() {
	case KindNull:
		err = d.Null()
	case KindBytes:
		_, _, err = d.terminated(KindBytes)
	case KindString:
		_, _, err = d.terminated(KindString)
	case KindTuple:
		if err = d.Enter(); err == nil {
			err = d.Leave()
		}
	case KindInt:
		var next int
		if _, _, next, err = d.integer(); err == nil {
			d.pos = next
		}
	case KindFloat32:
		_, err = d.Float32()
	case KindFloat64:
		_, err = d.Float64()
	case KindBool:
		_, err = d.Bool()
	case KindUUID:
		_, err = d.UUID()
	case KindVersionstamp:
		_, err = d.Versionstamp()
	default:
		err = d.expect(KindNull)
	}
	if err != nil {
		*d = was
	}
	return err
}

// Element reads the next element, of whatever type, into new memory.
func (d *Decoder) Element() (Element, error) {
	switch d.Kind() {
	case KindNull:
		return nil, d.Null()
	case KindBytes:
		b, err := d.Bytes()
		if err != nil {
			return nil, err
		}
		return append([]byte{}, b...), nil
	case KindString:
		return elementOf(d.Text())
	case KindTuple:
		return elementOf(d.tuple())
	case KindInt:
		return d.anyInt()
	case KindFloat32:
		return elementOf(d.Float32())
	case KindFloat64:
		return elementOf(d.Float64())
	case KindBool:
		return elementOf(d.Bool())
	case KindUUID:
		return elementOf(d.UUID())
	case KindVersionstamp:
		return elementOf(d.Versionstamp())
	}
	return nil, d.expect(KindNull)
}

// elementOf boxes v unless there is an error.
func elementOf[T any](v T, err error) (Element, error) {
	if err != nil {
		return nil, err
	}
	return v, nil
}

func (d *Decoder) tuple() (Tuple, error) {
	was := *d
	if err := d.Enter(); err != nil {
		return nil, err
	}
	t := Tuple{}
	for d.More() {
		e, err := d.Element()
		if err != nil {
			*d = was
			return nil, err
		}
		t = append(t, e)
	}
	if err := d.Leave(); err != nil {
		*d = was
		return nil, err
	}
	return t, nil
}

// anyInt reads an integer into the smallest of int64, uint64 and *big.Int.
func (d *Decoder) anyInt() (Element, error) {
	if n, err := d.Int(); err == nil {
		return n, nil
	}
	if n, err := d.Uint(); err == nil {
		return n, nil
	}
	return elementOf(d.BigInt())
}
