package resp

import (
	"bytes"
	"errors"
	"io"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/cockroachdb/datadriven"
)

// TestFormat shows replies as a terminal and as a pipe see them.
func TestFormat(t *testing.T) {
	datadriven.RunTest(t, "testdata/format", func(t *testing.T, d *datadriven.TestData) string {
		dec := NewDecoder(bytes.NewReader(unquote(t, d.Input)), DecoderLimits{})
		var out []byte
		for {
			v, err := dec.Decode()
			switch {
			case err == io.EOF:
				return string(out)
			case err != nil:
				return string(out) + "error: " + err.Error() + "\n"
			case d.Cmd == "raw":
				out = AppendRaw(out, v)
			default:
				out = AppendFormat(out, v)
			}
		}
	})
}

func decode(s string, l DecoderLimits) (Value, error) {
	return NewDecoder(iotest.OneByteReader(strings.NewReader(s)), l).Decode()
}

func TestDecodeErrors(t *testing.T) {
	small := DecoderLimits{BulkBytes: 10, Elements: 5, Nesting: 2, LineBytes: 8, ReplyBytes: 40}
	for _, c := range []struct {
		in   string
		want error
	}{
		{"", io.EOF},
		{"+OK", io.ErrUnexpectedEOF},
		{"$5\r\nab", io.ErrUnexpectedEOF},
		{"*2\r\n:1\r\n", io.ErrUnexpectedEOF},
		{"|1\r\n+a\r\n+b\r\n", io.ErrUnexpectedEOF},
		{"+OK\n", ErrMalformedReply},
		{"\r\n", ErrMalformedReply},
		{"?\r\n", ErrMalformedReply},
		{":x\r\n", ErrMalformedReply},
		{":01\r\n", ErrMalformedReply},
		{"#x\r\n", ErrMalformedReply},
		{",x\r\n", ErrMalformedReply},
		{"_x\r\n", ErrMalformedReply},
		{"$-2\r\n", ErrMalformedReply},
		{"*-2\r\n", ErrMalformedReply},
		{"$2\r\nabcd", ErrMalformedReply},
		{"=2\r\nab\r\n", ErrMalformedReply},
		{"$11\r\n", ErrMalformedReply},
		{"*6\r\n", ErrMalformedReply},
		{"%3\r\n", ErrMalformedReply},
		{"*2\r\n*2\r\n:1\r\n:2\r\n*2\r\n", ErrMalformedReply},
		{"*1\r\n*1\r\n*1\r\n:1\r\n", ErrMalformedReply},
		{"+123456789\r\n", ErrMalformedReply},
		{"+" + strings.Repeat("x", 50000), ErrMalformedReply},
		{"*4\r\n$9\r\n123456789\r\n$9\r\n123456789\r\n$9\r\n123456789\r\n", ErrMalformedReply},
	} {
		if v, err := decode(c.in, small); !errors.Is(err, c.want) {
			t.Errorf("%.40q: %v %v, want %v", c.in, v, err, c.want)
		}
	}
}

func TestDecodeValues(t *testing.T) {
	long := strings.Repeat("x", 40000)
	for in, want := range map[string]Value{
		"+" + long + "\r\n":         {Kind: KindSimpleString, Str: []byte(long)},
		"$-1\r\n":                   {Kind: KindNull},
		"*-1\r\n":                   {Kind: KindNull},
		":+5\r\n":                   {Kind: KindInt, Int: 5},
		"!7\r\nERR a\nb\r\n":        {Kind: KindError, Str: []byte("ERR a\nb")},
		"=6\r\ntxt:hi\r\n":          {Kind: KindVerbatim, Format: "txt", Str: []byte("hi")},
		"|1\r\n+k\r\n:1\r\n#t\r\n":  {Kind: KindBool, Int: 1, Attributes: []Value{{Kind: KindSimpleString, Str: []byte("k")}, {Kind: KindInt, Int: 1}}},
		"%1\r\n$1\r\na\r\n,2.5\r\n": {Kind: KindMap, Array: []Value{{Kind: KindBulk, Str: []byte("a")}, {Kind: KindDouble, Float: 2.5, Str: []byte("2.5")}}},
		"$300000\r\n" + strings.Repeat("y", 300000) + "\r\n": {Kind: KindBulk, Str: []byte(strings.Repeat("y", 300000))},
	} {
		got, err := NewDecoder(strings.NewReader(in), DecoderLimits{}).Decode()
		if err != nil || !reflect.DeepEqual(got, want) {
			t.Errorf("%.40q: %v, %v", in, got, err)
		}
	}
	v, _ := decode("*4\r\n+a\r\n:1\r\n+b\r\n-ERR x\r\n", DecoderLimits{})
	if e, ok := v.Get("b"); !ok || e.Err() != ReplyError("ERR x") {
		t.Errorf("Get: %v %v", e, ok)
	}
	if e, ok := v.Get("a"); !ok || e.Text() != "1" || e.Err() != nil {
		t.Errorf("Get: %v %v", e, ok)
	}
}

func TestDecoderStaysFailed(t *testing.T) {
	d := NewDecoder(strings.NewReader("?\r\n+OK\r\n"), DecoderLimits{})
	_, first := d.Decode()
	if _, err := d.Decode(); err == nil || err != first {
		t.Errorf("%v, then %v", first, err)
	}
}

// TestDecoderAnnouncedLengths: what a server announces costs little.
func TestDecoderAnnouncedLengths(t *testing.T) {
	for _, in := range []string{"$536870912\r\nabc", "*16777216\r\n:1\r\n", strings.Repeat("*16000\r\n", 100)} {
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		if _, err := NewDecoder(strings.NewReader(in), DecoderLimits{}).Decode(); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Errorf("%.20q: %v", in, err)
		}
		runtime.ReadMemStats(&after)
		if grown := after.TotalAlloc - before.TotalAlloc; grown > 1<<20 {
			t.Errorf("%.20q: %d bytes were allocated", in, grown)
		}
	}
}

// FuzzDecoder: a reply that was decoded, written in RESP3 and decoded again is
// the same, and chunking does not matter.
func FuzzDecoder(f *testing.F) {
	for _, s := range []string{"*3\r\n:1\r\n$-1\r\n+OK\r\n", "%1\r\n+a\r\n~1\r\n,1.5\r\n", "|1\r\n+k\r\n:1\r\n>2\r\n#t\r\n_\r\n",
		"=6\r\ntxt:hi\r\n(123\r\n", "!3\r\nERR\r\n", "-ERR x\r\n", ",inf\r\n", ",-0\r\n", "*1\r\n*-1\r\n"} {
		f.Add([]byte(s))
	}
	limits := DecoderLimits{BulkBytes: 1000, ReplyBytes: 5000, Elements: 500, Nesting: 5, LineBytes: 200}
	f.Fuzz(func(t *testing.T, in []byte) {
		v, err := NewDecoder(bytes.NewReader(in), limits).Decode()
		slow, errSlow := NewDecoder(iotest.OneByteReader(bytes.NewReader(in)), limits).Decode()
		if (err == nil) != (errSlow == nil) {
			t.Fatalf("%v at once, %v in bytes", err, errSlow)
		}
		if err != nil {
			return
		}
		AppendFormat(nil, v)
		AppendRaw(nil, v)
		first := Writer{Proto: 3}
		v.Write(&first)
		whole := Writer{Proto: 3}
		slow.Write(&whole)
		if !bytes.Equal(first.Buf, whole.Buf) {
			t.Fatalf("%q at once, %q in bytes", first.Buf, whole.Buf)
		}
		again, err := NewDecoder(bytes.NewReader(first.Buf), DecoderLimits{}).Decode()
		if err != nil {
			t.Fatalf("%q: %v", first.Buf, err)
		}
		second := Writer{Proto: 3}
		again.Write(&second)
		if !bytes.Equal(first.Buf, second.Buf) {
			t.Fatalf("%q became %q", first.Buf, second.Buf)
		}
		v.Write(&Writer{Proto: 2})
	})
}

func BenchmarkDecodeBulk(b *testing.B) {
	in := strings.Repeat("$100\r\n"+strings.Repeat("v", 100)+"\r\n", 1000)
	r := strings.NewReader(in)
	d := NewDecoder(r, DecoderLimits{})
	b.ReportAllocs()
	for b.Loop() {
		if _, err := d.Decode(); err == io.EOF {
			r.Reset(in)
		}
	}
}
