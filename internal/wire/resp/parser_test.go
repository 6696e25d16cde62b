package resp

import (
	"bytes"
	"errors"
	"fmt"
	"runtime"
	"strings"
	"testing"

	"github.com/cockroachdb/datadriven"
)

// unquote turns the escapes of a scenario file into bytes. Line ends of the file
// itself do not count.
func unquote(t testing.TB, s string) []byte {
	t.Helper()
	s = strings.ReplaceAll(s, "\n", "")
	words, _, ok := SplitWords(nil, nil, []byte(`"`+s+`"`))
	if !ok || len(words) != 1 {
		t.Fatalf("bad escapes in %q", s)
	}
	return words[0]
}

// feed gives the parser the input in pieces of the given size and records what
// comes out. Every piece lies at a new address, and the old one is overwritten.
func feed(p *Parser, input []byte, piece int) string {
	var out strings.Builder
	var buf []byte
	for len(input) > 0 {
		n := min(piece, len(input))
		moved := append(append(make([]byte, 0, len(buf)+n), buf...), input[:n]...)
		clear(buf)
		buf, input = moved, input[n:]
		for {
			args, n, err := p.Next(buf)
			buf = buf[n:]
			if err != nil {
				fmt.Fprintf(&out, "error: %v\n", err)
				return out.String()
			}
			if len(args) == 0 {
				break
			}
			for i, a := range args {
				if i > 0 {
					out.WriteByte(' ')
				}
				out.Write(AppendQuoted(nil, a))
			}
			out.WriteByte('\n')
		}
	}
	if p.Partial() || len(buf) > 0 {
		fmt.Fprintf(&out, "waiting for more\n")
	}
	return out.String()
}

func testParser(limits Limits, login bool) *Parser {
	p := NewParser(limits)
	p.Unauthenticated = login
	return &p
}

func TestParserScenarios(t *testing.T) {
	datadriven.RunTest(t, "testdata/parser", func(t *testing.T, d *datadriven.TestData) string {
		var limits Limits
		d.MaybeScanArgs(t, "bulk", &limits.BulkBytes)
		d.MaybeScanArgs(t, "arguments", &limits.Arguments)
		d.MaybeScanArgs(t, "inline", &limits.InlineBytes)
		d.MaybeScanArgs(t, "command", &limits.CommandBytes)
		input := unquote(t, d.Input)
		whole := feed(testParser(limits, d.HasArg("login")), input, len(input))
		for piece := 1; piece < len(input); piece++ {
			if got := feed(testParser(limits, d.HasArg("login")), input, piece); got != whole {
				t.Errorf("%s: in pieces of %d:\n%swhole:\n%s", d.Pos, piece, got, whole)
			}
		}
		return whole
	})
}

func TestLongLines(t *testing.T) {
	long := strings.Repeat("1", 70000)
	for in, want := range map[string]string{
		long:                 "ERR Protocol error: too big inline request",
		long + "\r\n":        "ERR Protocol error: too big inline request",
		"*" + long:           "ERR Protocol error: too big mbulk count string",
		"*1\r\n$" + long:     "ERR Protocol error: too big bulk count string",
		"*2000000\r\n":       "ERR Protocol error: invalid multibulk length",
		"*1\r\n$536870913\r": "",
	} {
		for _, piece := range []int{len(in), 999} {
			got := feed(testParser(Limits{}, false), []byte(in), piece)
			if want != "" && got != "error: "+want+"\n" {
				t.Errorf("%.20q: %.100s", in, got)
			}
		}
	}
	p := testParser(Limits{}, false)
	_, _, err := p.Next([]byte("*1\r\n$536870913\r\n"))
	var protocol *ProtocolError
	if !errors.As(err, &protocol) || protocol.Reason != "invalid bulk length" {
		t.Errorf("a bulk above the limit: %v", err)
	}
	if _, _, again := p.Next([]byte("PING\r\n")); again != err {
		t.Errorf("the error is not final: %v", again)
	}
}

// TestManyArguments feeds a large command in small pieces; parsing from the
// start each time would take minutes.
func TestManyArguments(t *testing.T) {
	const count = 200_000
	input := []byte(fmt.Sprintf("*%d\r\n", count) + strings.Repeat("$1\r\nx\r\n", count))
	p := testParser(Limits{}, false)
	var in ReadBuffer
	for len(input) > 0 {
		n := min(copy(in.Writable(), input), 100)
		in.Advance(n)
		input = input[n:]
		args, used, err := p.Next(in.Pending())
		if err != nil || (len(input) > 0) != (len(args) == 0) {
			t.Fatalf("%d arguments, %v, %d bytes to come", len(args), err, len(input))
		}
		if len(args) > 0 && len(args) != count {
			t.Fatalf("%d arguments", len(args))
		}
		in.Consume(used)
	}
	if args, n, err := p.Next(in.Pending()); args != nil || n != 0 || err != nil {
		t.Fatal("something is left")
	}
	if p.args != nil || p.spans != nil {
		t.Error("the parser keeps the memory of a large command")
	}
}

// TestAnnouncedLengths: what a client announces costs nothing.
func TestAnnouncedLengths(t *testing.T) {
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	p := testParser(Limits{}, false)
	var in ReadBuffer
	for _, s := range []string{"*1048576\r\n", "$536870912\r\n", "abc"} {
		_, _ = in.Write([]byte(s))
		_, n, err := p.Next(in.Pending())
		if err != nil {
			t.Fatal(err)
		}
		in.Consume(n)
	}
	runtime.ReadMemStats(&after)
	if grown := after.TotalAlloc - before.TotalAlloc; grown > 64<<10 {
		t.Errorf("%d bytes were allocated", grown)
	}
}

func TestParserDoesNotAllocate(t *testing.T) {
	p := testParser(Limits{}, false)
	input := AppendCommand(nil, "SET", "key", "value")
	input = AppendCommand(input, "GET", strings.Repeat("k", 300))
	input = append(input, "ECHO 'quoted \\' text'\r\n"...)
	if n := testing.AllocsPerRun(100, func() {
		for buf := input; len(buf) > 0; {
			_, used, _ := p.Next(buf)
			buf = buf[used:]
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func TestParserReleasesBuffers(t *testing.T) {
	p := testParser(Limits{}, false)
	buf := AppendCommand(nil, "SET", "key", "value")
	args, n, _ := p.Next(buf)
	args = args[:cap(args)]
	if _, _, err := p.Next(buf[n:]); err != nil {
		t.Fatal(err)
	}
	for _, a := range args {
		if a != nil {
			t.Fatal("an idle parser pins the read buffer")
		}
	}
}

func FuzzParser(f *testing.F) {
	for _, s := range []string{"*2\r\n$3\r\nGET\r\n$1\r\nk\r\nPING\r\n", "*0\r\n\r\nECHO \"\\x41\" 'b'\r\n", "*1\r\n$10\r\nabc",
		"*-1\r\n*1\rX$2\rXokXX", "*12\r\n$1\r\n", "SET 'a", "*1\r\n:1\r\n"} {
		f.Add([]byte(s), uint8(1), false)
		f.Add([]byte(s), uint8(3), true)
	}
	f.Fuzz(func(t *testing.T, input []byte, piece uint8, login bool) {
		limits := Limits{InlineBytes: 40, BulkBytes: 200, Arguments: 50, CommandBytes: 300, LoginArguments: 5, LoginBulkBytes: 20}
		whole := feed(testParser(limits, login), input, max(1, len(input)))
		if got := feed(testParser(limits, login), input, max(1, int(piece))); got != whole {
			t.Fatalf("in pieces of %d:\n%swhole:\n%s", piece, got, whole)
		}
	})
}

func FuzzSplitWords(f *testing.F) {
	f.Add([]byte(`SET "a\x00b" 'c\'d' e`))
	f.Fuzz(func(t *testing.T, line []byte) {
		words, _, ok := SplitWords(nil, nil, line)
		if !ok {
			return
		}
		var quoted []byte
		for _, w := range words {
			quoted = append(AppendQuoted(quoted, w), ' ')
		}
		again, _, ok := SplitWords(nil, nil, quoted)
		if !ok || len(again) != len(words) {
			t.Fatalf("%q splits into %q, quoted %q into %q", line, words, quoted, again)
		}
		for i := range words {
			if !bytes.Equal(words[i], again[i]) {
				t.Fatalf("%q became %q", words[i], again[i])
			}
		}
	})
}

func benchmarkParser(b *testing.B, args ...string) {
	const pipeline = 16
	var input []byte
	for range pipeline {
		input = AppendCommand(input, args...)
	}
	p := NewParser(Limits{})
	b.SetBytes(int64(len(input) / pipeline))
	b.ReportAllocs()
	b.ResetTimer()
	for n := 0; n < b.N; n += pipeline {
		for buf := input; len(buf) > 0; {
			_, used, err := p.Next(buf)
			if err != nil {
				b.Fatal(err)
			}
			buf = buf[used:]
		}
	}
}

func BenchmarkParseGet(b *testing.B) { benchmarkParser(b, "GET", "key:000000012345") }

func BenchmarkParseSet(b *testing.B) {
	benchmarkParser(b, "SET", "key:000000012345", strings.Repeat("v", 100))
}

func BenchmarkParseResumed(b *testing.B) { // every command arrives in two pieces
	input := AppendCommand(nil, "SET", "key:000000012345", strings.Repeat("v", 100))
	p := NewParser(Limits{})
	b.ReportAllocs()
	for b.Loop() {
		_, _, _ = p.Next(input[:30])
		if args, _, _ := p.Next(input); len(args) != 3 {
			b.Fatal("no command")
		}
	}
}
