package tuple

import (
	"bytes"
	"cmp"
	"errors"
	"math"
	"math/big"
	"math/rand/v2"
	"reflect"
	"strings"
	"testing"
)

func bigInt(s string) *big.Int {
	n, ok := new(big.Int).SetString(s, 0)
	if !ok {
		panic(s)
	}
	return n
}

var stamp = Versionstamp{TransactionVersion: [10]byte{1, 2, 3, 4, 5, 6, 7, 8, 9, 10}, UserVersion: 0x1122}

// golden holds the specification's test cases and the edges of every type.
var golden = []struct {
	tuple Tuple
	want  string
}{
	{Tuple{[]byte("foo\x00bar")}, "\x01foo\x00\xffbar\x00"},
	{Tuple{"F\u00d4O\u0000bar"}, "\x02F\xc3\x94O\x00\xffbar\x00"},
	{Tuple{Tuple{[]byte("foo\x00bar"), nil, Tuple{}}}, "\x05\x01foo\x00\xffbar\x00\x00\xff\x05\x00\x00"},
	{Tuple{int64(-5551212)}, "\x11\xabK\x93"},
	{Tuple{float32(-42)}, "\x20\x3d\xd7\xff\xff"},
	{Tuple{Tuple{}}, "\x05\x00"},
	{Tuple{Tuple{nil}}, "\x05\x00\xff\x00"},
	{Tuple{}, ""},
	{Tuple{nil}, "\x00"},
	{Tuple{nil, nil}, "\x00\x00"},
	{Tuple{[]byte{}}, "\x01\x00"},
	{Tuple{[]byte{0}}, "\x01\x00\xff\x00"},
	{Tuple{[]byte{0xff}, []byte{0, 0xff}}, "\x01\xff\x00\x01\x00\xff\xff\x00"},
	{Tuple{""}, "\x02\x00"},
	{Tuple{"hello"}, "\x02hello\x00"},
	{Tuple{int64(0)}, "\x14"},
	{Tuple{int64(1)}, "\x15\x01"},
	{Tuple{int64(-1)}, "\x13\xfe"},
	{Tuple{int64(255)}, "\x15\xff"},
	{Tuple{int64(256)}, "\x16\x01\x00"},
	{Tuple{int64(-255)}, "\x13\x00"},
	{Tuple{int64(-256)}, "\x12\xfe\xff"},
	{Tuple{int64(65536)}, "\x17\x01\x00\x00"},
	{Tuple{int64(math.MaxInt64)}, "\x1c\x7f\xff\xff\xff\xff\xff\xff\xff"},
	{Tuple{int64(math.MinInt64)}, "\x0c\x7f\xff\xff\xff\xff\xff\xff\xff"},
	{Tuple{uint64(math.MaxUint64)}, "\x1c\xff\xff\xff\xff\xff\xff\xff\xff"},
	{Tuple{bigInt("-0xffffffffffffffff")}, "\x0c\x00\x00\x00\x00\x00\x00\x00\x00"},
	{Tuple{bigInt("0x10000000000000000")}, "\x1d\x09\x01\x00\x00\x00\x00\x00\x00\x00\x00"},
	{Tuple{bigInt("-0x10000000000000000")}, "\x0b\xf6\xfe\xff\xff\xff\xff\xff\xff\xff\xff"},
	{Tuple{float32(0)}, "\x20\x80\x00\x00\x00"},
	{Tuple{float64(0)}, "\x21\x80\x00\x00\x00\x00\x00\x00\x00"},
	{Tuple{math.Copysign(0, -1)}, "\x21\x7f\xff\xff\xff\xff\xff\xff\xff"},
	{Tuple{float64(1)}, "\x21\xbf\xf0\x00\x00\x00\x00\x00\x00"},
	{Tuple{math.Inf(1)}, "\x21\xff\xf0\x00\x00\x00\x00\x00\x00"},
	{Tuple{math.Inf(-1)}, "\x21\x00\x0f\xff\xff\xff\xff\xff\xff"},
	{Tuple{false, true}, "\x26\x27"},
	{Tuple{UUID{0x11, 0, 0xaa, 15: 0xff}}, "\x30\x11\x00\xaa\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\xff"},
	{Tuple{stamp}, "\x33\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x11\x22"},
	{Tuple{"user", int64(42), Tuple{nil, "x", Tuple{nil, int64(0)}}, nil},
		"\x02user\x00\x15\x2a\x05\x00\xff\x02x\x00\x05\x00\xff\x14\x00\x00\x00"},
}

func TestGolden(t *testing.T) {
	for _, c := range golden {
		if got := c.tuple.Pack(); string(got) != c.want {
			t.Errorf("%v packs to %x, want %x", c.tuple, got, c.want)
		}
		got, err := Unpack([]byte(c.want))
		if err != nil || !reflect.DeepEqual(got, c.tuple) {
			t.Errorf("%x unpacks to %v %v, want %v", c.want, got, err, c.tuple)
		}
		for n := range len(c.want) { // every proper prefix is a tuple or malformed
			if _, err := Unpack([]byte(c.want[:n])); err != nil && !errors.Is(err, ErrMalformed) {
				t.Errorf("%x: %v", c.want[:n], err)
			}
		}
	}
}

func TestIntegerTypes(t *testing.T) {
	want := Tuple{int64(7)}.Pack()
	for _, e := range []Element{7, int8(7), int16(7), int32(7), uint(7), uint8(7), uint16(7), uint32(7),
		uint64(7), big.NewInt(7), *big.NewInt(7)} {
		if got := (Tuple{e}).Pack(); !bytes.Equal(got, want) {
			t.Errorf("%T packs to %x, want %x", e, got, want)
		}
	}
}

func TestMalformed(t *testing.T) {
	for _, in := range []string{"\x01a", "\x02", "\x01\x00\xff", "\x05", "\x05\x01a\x00", "\x15", "\x1d", "\x1d\x09\x01",
		"\x0b", "\x20\x00", "\x21", "\x30", "\x33\x00", "\x03", "\x04", "\x0a", "\x1e", "\x22", "\x25", "\x32", "\x40", "\xff",
		"\x00\xff", "\x05\xfe\x00", strings.Repeat("\x05", 200) + strings.Repeat("\x00", 200)} {
		if got, err := Unpack([]byte(in)); !errors.Is(err, ErrMalformed) {
			t.Errorf("%x unpacks to %v %v", in, got, err)
		}
		d := NewDecoder([]byte(in))
		var err error
		for err == nil && d.More() {
			err = d.Skip()
		}
		if !errors.Is(err, ErrMalformed) {
			t.Errorf("%x is skipped: %v", in, err)
		}
	}
}

func TestDepth(t *testing.T) {
	deep := Tuple{}
	for range MaxDepth {
		deep = Tuple{deep}
	}
	if got, err := Unpack(deep.Pack()); err != nil || !reflect.DeepEqual(got, deep) {
		t.Errorf("depth %d: %v", MaxDepth, err)
	}
	for _, bad := range []Tuple{{deep}, {struct{}{}}, {new(big.Int).Lsh(big.NewInt(1), 255*8)}} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("Pack did not panic")
				}
			}()
			bad.Pack()
		}()
	}
}

func TestPackWithVersionstamp(t *testing.T) {
	inc := IncompleteVersionstamp(5)
	for _, c := range []struct {
		tuple  Tuple
		prefix string
		offset byte
		err    error
	}{
		{Tuple{"foo", inc}, "p", 1 + 5 + 1, nil},
		{Tuple{inc, "foo"}, "", 1, nil},
		{Tuple{stamp, inc}, "", 14, nil},
		{Tuple{nil, Tuple{nil, "a", inc}, 5}, "pre", 3 + 1 + 1 + 2 + 3 + 1, nil},
		{Tuple{incompleteVersion[:], Tuple{Tuple{}}, Tuple{inc}}, "", 12 + 4 + 2, nil},
		{Tuple{"foo", stamp}, "", 0, ErrNoVersionstamp},
		{Tuple{inc, Tuple{inc}}, "", 0, ErrManyVersionstamps},
	} {
		got, err := c.tuple.PackWithVersionstamp([]byte(c.prefix))
		if !errors.Is(err, c.err) {
			t.Errorf("%v: %v, want %v", c.tuple, err, c.err)
		}
		if c.err != nil {
			continue
		}
		want := c.prefix + string(c.tuple.Pack()) + string([]byte{c.offset, 0, 0, 0})
		if string(got) != want {
			t.Errorf("%v: %x, want %x", c.tuple, got, want)
		}
		if at := int(c.offset); !bytes.Equal(got[at:at+10], incompleteVersion[:]) {
			t.Errorf("%v: offset %d is wrong", c.tuple, at)
		}
	}
}

// random elements favour the bytes and numbers at which encodings change.
func randomElement(r *rand.Rand, depth int) Element {
	switch r.IntN(11) {
	case 0:
		return nil
	case 1:
		return randomBytes(r)
	case 2:
		return string(randomBytes(r))
	case 3:
		return int64(r.Uint64()) >> r.IntN(64)
	case 4:
		n := new(big.Int).Lsh(big.NewInt(int64(r.IntN(3)-1)), uint(r.IntN(200)))
		return n.Add(n, big.NewInt(int64(r.IntN(5)-2)))
	case 5:
		return math.Float32frombits(r.Uint32())
	case 6:
		return []float64{0, math.Copysign(0, -1), math.Inf(1), math.Inf(-1), math.Float64frombits(r.Uint64())}[r.IntN(5)]
	case 7:
		return r.IntN(2) == 0
	case 8:
		return UUID{byte(r.IntN(3)), byte(r.IntN(256))}
	case 9:
		return Versionstamp{TransactionVersion: [10]byte{9: byte(r.IntN(3))}, UserVersion: uint16(r.IntN(3))}
	}
	if depth == 0 {
		return nil
	}
	return randomTuple(r, depth-1)
}

func randomBytes(r *rand.Rand) []byte {
	b := make([]byte, r.IntN(4))
	for i := range b {
		b[i] = []byte{0, 1, 'a', 0xfe, 0xff}[r.IntN(5)]
	}
	return b
}

func randomTuple(r *rand.Rand, depth int) Tuple {
	t := Tuple{}
	for range r.IntN(4) {
		t = append(t, randomElement(r, depth))
	}
	return t
}

// rank and order compare by meaning, without looking at encodings.
func rank(e Element) int {
	switch e := e.(type) {
	case nil:
		return 0
	case []byte:
		return 1
	case string:
		return 2
	case Tuple:
		return 3
	case int64, *big.Int:
		return 4
	case float32:
		return 5
	case float64:
		return 6
	case bool:
		if e {
			return 8
		}
		return 7
	case UUID:
		return 9
	}
	return 10
}

func orderTuples(a, b Tuple) int {
	for i := range min(len(a), len(b)) {
		if c := order(a[i], b[i]); c != 0 {
			return c
		}
	}
	return cmp.Compare(len(a), len(b))
}

func order(a, b Element) int {
	if c := cmp.Compare(rank(a), rank(b)); c != 0 {
		return c
	}
	switch a := a.(type) {
	case []byte:
		return bytes.Compare(a, b.([]byte))
	case string:
		return cmp.Compare(a, b.(string))
	case Tuple:
		return orderTuples(a, b.(Tuple))
	case int64, *big.Int:
		return asBig(a).Cmp(asBig(b))
	case float32:
		return totalOrder(int64(int32(math.Float32bits(a))), int64(int32(math.Float32bits(b.(float32)))), math.MaxInt32)
	case float64:
		return totalOrder(int64(math.Float64bits(a)), int64(math.Float64bits(b.(float64))), math.MaxInt64)
	case UUID:
		return cmp.Compare(a.String(), b.(UUID).String())
	case Versionstamp:
		return a.Compare(b.(Versionstamp))
	}
	return 0
}

func asBig(e Element) *big.Int {
	if n, ok := e.(int64); ok {
		return big.NewInt(n)
	}
	return e.(*big.Int)
}

// totalOrder compares floats, given as sign and magnitude, in IEEE 754's order.
func totalOrder(a, b, mask int64) int {
	if a < 0 {
		a ^= mask
	}
	if b < 0 {
		b ^= mask
	}
	return cmp.Compare(a, b)
}

func TestOrder(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 4))
	for range 30000 {
		a, b := randomTuple(r, 3), randomTuple(r, 3)
		if r.IntN(2) == 0 && len(a) > 0 { // a common beginning
			b = append(append(Tuple{}, a[:r.IntN(len(a)+1)]...), b...)
		}
		want := orderTuples(a, b)
		p, q := a.Pack(), b.Pack()
		if got := bytes.Compare(p, q); got != want {
			t.Fatalf("%v and %v: order of bytes %d, want %d (%x, %x)", a, b, got, want, p, q)
		}
		if got := Compare(a, b); got != want {
			t.Fatalf("Compare(%v, %v) = %d, want %d", a, b, got, want)
		}
		back, err := Unpack(p)
		if err != nil || !bytes.Equal(back.Pack(), p) || orderTuples(back.normal(), a.normal()) != 0 {
			t.Fatalf("%v comes back as %v %v", a, back, err)
		}
		begin, end := a.Range()
		longer := append(append(Tuple{}, a...), randomElement(r, 2)).Pack()
		if bytes.Compare(begin, longer) > 0 || bytes.Compare(longer, end) >= 0 || bytes.Compare(p, begin) >= 0 {
			t.Fatalf("range of %v is wrong for %x", a, longer)
		}
	}
}

// normal makes all integers big, so that order can compare them.
func (t Tuple) normal() Tuple {
	out := Tuple{}
	for _, e := range t {
		switch v := e.(type) {
		case uint64:
			e = new(big.Int).SetUint64(v)
		case Tuple:
			e = v.normal()
		}
		out = append(out, e)
	}
	return out
}

func TestDecoder(t *testing.T) {
	in := Tuple{"a", []byte("b\x00"), int64(-3), Tuple{nil, Tuple{nil}, "skipped"}, 2.5, float32(1), true, UUID{1}, stamp, nil}
	d := NewDecoder(in.Pack())
	if _, err := d.Int(); err != ErrType {
		t.Errorf("Int of a string: %v", err)
	}
	s, err1 := d.Text()
	b, err2 := d.AppendBytes([]byte("x"))
	if _, err := d.Uint(); err != ErrType {
		t.Errorf("Uint of -3: %v", err)
	}
	n, err3 := d.Int()
	err4 := d.Enter()
	err5 := d.Null()
	err6 := d.Leave()
	f, err7 := d.Float64()
	g, err8 := d.Float32()
	v, err9 := d.Bool()
	u, err10 := d.UUID()
	w, err11 := d.Versionstamp()
	err12 := d.Null()
	if err := errors.Join(err1, err2, err3, err4, err5, err6, err7, err8, err9, err10, err11, err12); err != nil {
		t.Fatal(err)
	}
	if s != "a" || string(b) != "xb\x00" || n != -3 || f != 2.5 || g != 1 || !v || u != (UUID{1}) || w != stamp || d.More() {
		t.Error("wrong elements")
	}
	if d.Kind() != KindInvalid || d.Leave() != ErrType {
		t.Error("the end is not the end")
	}
}

func TestDecoderDoesNotAllocate(t *testing.T) {
	key := Tuple{"table", []byte("abc"), int64(5), 2.5, Tuple{nil, true}}.Pack()
	if n := testing.AllocsPerRun(100, func() {
		d := NewDecoder(key)
		_, _ = d.TextBytes()
		_, _ = d.Bytes()
		_, _ = d.Int()
		_, _ = d.Float64()
		_ = d.Skip()
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestString(t *testing.T) {
	got := Tuple{nil, []byte{1, 255}, "q\"", 5, Tuple{true}, *big.NewInt(9), UUID{}, IncompleteVersionstamp(2), stamp}.String()
	want := `(nil, 0x01ff, "q\"", 5, (true), 9, 00000000-0000-0000-0000-000000000000, ` +
		`versionstamp(incomplete, 2), versionstamp(0102030405060708090a, 4386))`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func FuzzUnpack(f *testing.F) {
	for _, c := range golden {
		f.Add([]byte(c.want))
	}
	f.Add([]byte("\x05\x05\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		got, err := Unpack(b)
		d := NewDecoder(b)
		var skipped error
		for skipped == nil && d.More() {
			skipped = d.Skip()
		}
		if (err == nil) != (skipped == nil) {
			t.Fatalf("Unpack says %v, Skip says %v", err, skipped)
		}
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatal(err)
			}
			return
		}
		p := got.Pack()
		again, err := Unpack(p)
		if err != nil || !bytes.Equal(again.Pack(), p) || Compare(again, got) != 0 {
			t.Fatalf("%v comes back as %v %v", got, again, err)
		}
	})
}

func BenchmarkPack(b *testing.B) {
	var buf [128]byte
	id := UUID{1, 2, 3}
	b.ReportAllocs()
	for b.Loop() {
		k := AppendString(buf[:0], "accounts")
		k = AppendInt(k, 123456)
		k = AppendUUID(k, id)
		AppendBytes(k, id[:3])
	}
}

func BenchmarkTuplePack(b *testing.B) {
	t := Tuple{"accounts", 123456, UUID{1, 2, 3}, []byte("abc")}
	b.ReportAllocs()
	for b.Loop() {
		t.Pack()
	}
}

func BenchmarkDecoder(b *testing.B) {
	key := Tuple{"accounts", 123456, UUID{1, 2, 3}, []byte("abc")}.Pack()
	b.ReportAllocs()
	for b.Loop() {
		d := NewDecoder(key)
		_, _ = d.TextBytes()
		_, _ = d.Int()
		_, _ = d.UUID()
		_, _ = d.Bytes()
	}
}

func BenchmarkUnpack(b *testing.B) {
	key := Tuple{"accounts", 123456, UUID{1, 2, 3}, []byte("abc")}.Pack()
	b.ReportAllocs()
	for b.Loop() {
		_, _ = Unpack(key)
	}
}
