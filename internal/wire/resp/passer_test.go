package resp

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"testing/iotest"
)

type collected struct{ bytes.Buffer }

func (c *collected) Piece(b []byte) { c.Write(b) }

// passAll passes all replies of a stream: what came out, where replies ended, the kinds.
func passAll(r io.Reader) (out []byte, ends []int, kinds string, err error) {
	p := NewPasser(r)
	var c collected
	for {
		kind, err := p.Next(&c)
		if err != nil {
			return c.Bytes(), ends, kinds, err
		}
		ends, kinds = append(ends, c.Len()), kinds+string(rune(kind))
	}
}

func TestPasser(t *testing.T) {
	long := strings.Repeat("x", 100_000)
	replies := []struct{ reply, kind string }{
		{"+OK\r\n", "+"}, {"-ERR no\r\n", "-"}, {":-12\r\n", ":"}, {"$-1\r\n", "_"}, {"*-1\r\n", "_"}, {"_\r\n", "_"},
		{"$0\r\n\r\n", "$"}, {"$5\r\na\r\nb\n\r\n", "$"}, {"*0\r\n", "*"}, {"*2\r\n$1\r\na\r\n*1\r\n:1\r\n", "*"},
		{"%2\r\n+a\r\n:1\r\n+b\r\n*2\r\n:1\r\n:2\r\n", "%"}, {"~1\r\n$1\r\nm\r\n", "~"}, {">2\r\n+message\r\n+x\r\n", ">"},
		{",1.5\r\n", ","}, {"#t\r\n", "#"}, {"(123\r\n", "("}, {"=7\r\ntxt:abc\r\n", "="}, {"!5\r\nERR x\r\n", "-"},
		{"|1\r\n+ttl\r\n:1\r\n$1\r\na\r\n", "$"}, {"*1\r\n|1\r\n+a\r\n+b\r\n:3\r\n", "*"},
		{"$100000\r\n" + long + "\r\n", "$"}, {"+" + long[:60_000] + "\r\n", "+"},
	}
	var all, kinds string
	var ends []int
	for _, r := range replies {
		all, kinds = all+r.reply, kinds+r.kind
		ends = append(ends, len(all))
	}
	for name, r := range map[string]io.Reader{"whole": strings.NewReader(all), "bytes": iotest.OneByteReader(strings.NewReader(all)),
		"halves": iotest.HalfReader(strings.NewReader(all)), "end with data": iotest.DataErrReader(strings.NewReader(all))} {
		out, gotEnds, gotKinds, err := passAll(r)
		if err != io.EOF || string(out) != all || gotKinds != kinds {
			t.Errorf("%s: %d of %d bytes, kinds %s, error %v", name, len(out), len(all), gotKinds, err)
		}
		for i := range gotEnds {
			if gotEnds[i] != ends[i] {
				t.Errorf("%s: reply %d ends at %d, not %d", name, i, gotEnds[i], ends[i])
			}
		}
	}
}

func TestPasserRefuses(t *testing.T) {
	for _, in := range []string{"?\r\n", "\r\n", "$x\r\n", "$-2\r\n", "$536870913\r\n", "*9999999999999\r\n", "$1\r\nabc", ":1\n",
		"%1000000000000\r\n", "+" + strings.Repeat("x", 80_000)} {
		if _, _, _, err := passAll(strings.NewReader(in)); !errors.Is(err, ErrMalformedReply) {
			t.Errorf("%.40q: %v", in, err)
		}
	}
	for _, in := range []string{"$5\r\nab", "*2\r\n:1\r\n", "+O", "|1\r\n+a\r\n+b\r\n"} {
		if _, _, _, err := passAll(strings.NewReader(in)); err != io.ErrUnexpectedEOF {
			t.Errorf("%q: %v", in, err)
		}
	}
}

// TestPasserMemory: what a reply announces costs nothing.
func TestPasserMemory(t *testing.T) {
	p := NewPasser(io.MultiReader(strings.NewReader("*1000000\r\n$536870912\r\n"), io.LimitReader(zeros{}, 64<<20)))
	if _, err := p.Next(discard{}); err != io.ErrUnexpectedEOF {
		t.Error(err)
	}
	if cap(p.buf) > passerBytes {
		t.Errorf("the buffer has %d bytes", cap(p.buf))
	}
}

type zeros struct{}

func (zeros) Read(b []byte) (int, error) { return len(b), nil }

type discard struct{}

func (discard) Piece([]byte) {}

// FuzzPasser: however the bytes arrive the same comes out, and what the decoder reads is
// what is passed.
func FuzzPasser(f *testing.F) {
	for _, s := range []string{"*2\r\n$1\r\na\r\n:1\r\n", "|1\r\n+a\r\n+b\r\n%1\r\n+k\r\n,1.5\r\n", ">1\r\n+x\r\n$3\r\nabc\r\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, in []byte) {
		out, ends, kinds, err := passAll(bytes.NewReader(in))
		slow, slowEnds, slowKinds, slowErr := passAll(iotest.OneByteReader(bytes.NewReader(in)))
		if len(ends) != len(slowEnds) || kinds != slowKinds || (err == io.EOF) != (slowErr == io.EOF) {
			t.Fatalf("whole %v %q %v, in bytes %v %q %v", ends, kinds, err, slowEnds, slowKinds, slowErr)
		}
		if !bytes.HasPrefix(in, out) || !bytes.HasPrefix(in, slow) {
			t.Fatal("what was passed is not what came")
		}
		d := NewDecoder(bytes.NewReader(in), DecoderLimits{})
		for i := 0; ; i++ {
			v, err := d.Decode()
			if err != nil {
				return
			}
			if i >= len(ends) || Kind(kinds[i]) != v.Kind {
				t.Fatalf("reply %d is of kind %c, passed were %q", i, v.Kind, kinds)
			}
		}
	})
}
