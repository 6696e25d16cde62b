package resp

import (
	"math"
	"strings"
	"testing"
)

func TestWriter(t *testing.T) {
	for _, c := range []struct {
		name         string
		write        func(w *Writer)
		resp2, resp3 string
	}{
		{"ok", func(w *Writer) { w.OK() }, "+OK\r\n", "+OK\r\n"},
		{"status", func(w *Writer) { w.SimpleString("a\r\nb") }, "+a  b\r\n", "+a  b\r\n"},
		{"error", func(w *Writer) { w.Error("ERR a\r\nb\r\n") }, "-ERR a  b\r\n", "-ERR a  b\r\n"},
		{"bulk", func(w *Writer) { w.Bulk([]byte("a\r\n")) }, "$3\r\na\r\n\r\n", "$3\r\na\r\n\r\n"},
		{"nil bulk", func(w *Writer) { w.Bulk(nil) }, "$0\r\n\r\n", "$0\r\n\r\n"},
		{"string", func(w *Writer) { w.BulkString("0123456789") }, "$10\r\n0123456789\r\n", "$10\r\n0123456789\r\n"},
		{"bulk int", func(w *Writer) { w.BulkInt(-12) }, "$3\r\n-12\r\n", "$3\r\n-12\r\n"},
		{"int", func(w *Writer) { w.Int(math.MinInt64) }, ":-9223372036854775808\r\n", ":-9223372036854775808\r\n"},
		{"null", func(w *Writer) { w.Null() }, "$-1\r\n", "_\r\n"},
		{"lengths", func(w *Writer) {
			for _, n := range []int64{9, 10, 99, 100, 109, 999, 1000, 12345, -10} {
				w.Int(n)
			}
		}, ":9\r\n:10\r\n:99\r\n:100\r\n:109\r\n:999\r\n:1000\r\n:12345\r\n:-10\r\n", ":9\r\n:10\r\n:99\r\n:100\r\n:109\r\n:999\r\n:1000\r\n:12345\r\n:-10\r\n"},
		{"null array", func(w *Writer) { w.NullArray() }, "*-1\r\n", "_\r\n"},
		{"array", func(w *Writer) { w.Array(12) }, "*12\r\n", "*12\r\n"},
		{"map", func(w *Writer) { w.Map(5) }, "*10\r\n", "%5\r\n"},
		{"set", func(w *Writer) { w.Set(5) }, "*5\r\n", "~5\r\n"},
		{"push", func(w *Writer) { w.Push(5) }, "*5\r\n", ">5\r\n"},
		{"attribute", func(w *Writer) { w.Attribute(1) }, "", "|1\r\n"},
		{"double", func(w *Writer) { w.Double(0.1) }, "$3\r\n0.1\r\n", ",0.1\r\n"},
		{"whole double", func(w *Writer) { w.Double(-3) }, "$2\r\n-3\r\n", ",-3\r\n"},
		{"infinity", func(w *Writer) { w.Double(math.Inf(-1)) }, "$4\r\n-inf\r\n", ",-inf\r\n"},
		{"true", func(w *Writer) { w.Bool(true) }, ":1\r\n", "#t\r\n"},
		{"false", func(w *Writer) { w.Bool(false) }, ":0\r\n", "#f\r\n"},
		{"big", func(w *Writer) { w.BigNumber("-123") }, "$4\r\n-123\r\n", "(-123\r\n"},
		{"verbatim", func(w *Writer) { w.Verbatim("txt", []byte("hi")) }, "$2\r\nhi\r\n", "=6\r\ntxt:hi\r\n"},
		{"deferred", func(w *Writer) {
			w.Raw([]byte("+x\r\n"))
			outer := w.DeferMap()
			inner := w.DeferArray()
			w.Int(1)
			w.Close(inner, 1)
			empty := w.DeferSet()
			w.Close(empty, 0)
			w.Close(outer, 1234)
			w.OK()
		}, "+x\r\n*2468\r\n*1\r\n:1\r\n*0\r\n+OK\r\n", "+x\r\n%1234\r\n*1\r\n:1\r\n~0\r\n+OK\r\n"},
		{"cancelled", func(w *Writer) {
			w.OK()
			m := w.DeferPush()
			w.Int(1)
			w.Cancel(m)
			w.Error("ERR no")
		}, "+OK\r\n-ERR no\r\n", "+OK\r\n-ERR no\r\n"},
	} {
		for proto, want := range map[int]string{0: c.resp2, 2: c.resp2, 3: c.resp3} {
			w := Writer{Proto: proto}
			c.write(&w)
			if string(w.Buf) != want {
				t.Errorf("%s in RESP%d: %q, want %q", c.name, proto, w.Buf, want)
			}
		}
	}
}

func TestAppendCommand(t *testing.T) {
	want := "*2\r\n$3\r\nGET\r\n$0\r\n\r\n"
	if got := AppendCommand(nil, "GET", ""); string(got) != want {
		t.Errorf("%q", got)
	}
	if got := AppendCommand(nil, []byte("GET"), nil); string(got) != want {
		t.Errorf("%q", got)
	}
}

func TestWriterDoesNotAllocate(t *testing.T) {
	w := Writer{Buf: make([]byte, 0, 4096), Proto: 3}
	text := []byte(strings.Repeat("x", 100))
	if n := testing.AllocsPerRun(100, func() {
		w.Reset(4096)
		m := w.DeferArray()
		w.Bulk(text)
		w.Int(123456)
		w.Double(1.5)
		w.Error("ERR oh")
		w.Close(m, 40)
		w.Proto = 5 - w.Proto
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkWriteBulk(b *testing.B) {
	w := Writer{}
	value := []byte(strings.Repeat("v", 100))
	b.ReportAllocs()
	for b.Loop() {
		if len(w.Buf) > 8<<10 {
			w.Reset(64 << 10)
		}
		w.Bulk(value)
	}
}
