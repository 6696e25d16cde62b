package redisnum

import (
	"bufio"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"
)

func TestParseInt(t *testing.T) {
	for in, want := range map[string]int64{
		"0": 0, "1": 1, "-1": -1, "10": 10,
		"9223372036854775807": math.MaxInt64, "-9223372036854775808": math.MinInt64,
		"999999999999999999": 999999999999999999,
	} {
		if got, ok := ParseInt([]byte(in)); !ok || got != want {
			t.Errorf("ParseInt(%q) = %d %v", in, got, ok)
		}
	}
	for _, in := range []string{"", "-", "+1", "-0", "00", "01", "-01", " 1", "1 ", "1.0", "0x1", "a",
		"9223372036854775808", "-9223372036854775809", "99999999999999999999", "18446744073709551616", "1\x00"} {
		if got, ok := ParseInt([]byte(in)); ok {
			t.Errorf("ParseInt(%q) = %d, want a refusal", in, got)
		}
	}
}

// TestParseAsRedisDoes reads what a server answered to ZADD and INCRBYFLOAT.
func TestParseAsRedisDoes(t *testing.T) {
	for _, line := range lines(t, "testdata/parse.txt") {
		row := strings.Split(line, "\t")
		in, err := strconv.Unquote(row[0])
		if err != nil {
			t.Fatal(err)
		}
		f, ok := ParseFloat([]byte(in))
		want, _ := strconv.ParseFloat(row[1], 64)
		if ok != (row[1] != "-") || ok && f != want {
			t.Errorf("ParseFloat(%q) = %v %v, want %s", in, f, ok, row[1])
		}
		got := "-"
		if x, ok := ParseLongDouble([]byte(in)); ok && x.Finite() {
			got = FormatLongDouble(x)
		} else if ok {
			got = "infinite"
		}
		if got != row[2] {
			t.Errorf("long double %q = %s, want %s", in, got, row[2])
		}
	}
}

// TestIncrByFloatAsRedisDoes replays what a server answered.
func TestIncrByFloatAsRedisDoes(t *testing.T) {
	var x LongDouble
	steps := 0
	for _, line := range lines(t, "testdata/incrbyfloat.txt") {
		word, rest, _ := strings.Cut(line, " ")
		if word == "" {
			continue
		}
		in := word
		if word == "set" {
			in = rest
		}
		n, ok := ParseLongDouble([]byte(in))
		if !ok {
			t.Fatalf("%q was refused", in)
		}
		if word == "set" {
			x = n
			continue
		}
		steps++
		got := FormatLongDouble(x.Add(n))
		if got != rest {
			t.Errorf("%s + %s = %s, want %s", FormatLongDouble(x), in, got, rest)
		}
		x, _ = ParseLongDouble([]byte(rest)) // the server stores the text
	}
	if steps < 400 {
		t.Fatalf("only %d steps", steps)
	}
}

func TestLongDoubleSpecials(t *testing.T) {
	inf, _ := ParseLongDouble([]byte("inf"))
	negInf, _ := ParseLongDouble([]byte("-inf"))
	huge, _ := ParseLongDouble([]byte("1.1e4932"))
	var zero LongDouble
	for _, c := range []struct {
		x    LongDouble
		want string
	}{
		{zero, "0"}, {zero.Add(zero), "0"}, {inf, "inf"}, {negInf, "-inf"},
		{inf.Add(negInf), "nan"}, {inf.Add(zero), "inf"}, {huge.Add(huge), "inf"},
	} {
		if got := FormatLongDouble(c.x); got != c.want {
			t.Errorf("got %s, want %s", got, c.want)
		}
		if c.x.Finite() != (c.want == "0") {
			t.Errorf("%s: Finite() = %v", c.want, c.x.Finite())
		}
	}
}

func TestFormatDouble(t *testing.T) {
	for _, c := range []struct {
		f    float64
		want string
	}{
		{0, "0"}, {math.Copysign(0, -1), "-0"}, {3, "3"}, {-3, "-3"}, {0.1, "0.1"}, {-2.5, "-2.5"},
		{3.141, "3.141"}, {0.30000000000000004, "0.30000000000000004"},
		{1e17, "100000000000000000"}, {1 << 62, "4611686018427387904"}, {1 << 63, "9223372036854776000"},
		{1e18, "1000000000000000000"}, {1e19, "1e+19"}, {1e21, "1e+21"}, {-1.5e300, "-1.5e+300"},
		{1.2345678901234566e25, "1.2345678901234566e+25"},
		{12345678901234567890, "12345678901234567000"},
		{0.001, "0.001"}, {0.000001, "0.000001"}, {1e-7, "1e-7"}, {1.5e-7, "1.5e-7"}, {1.234567e-7, "1.234567e-7"},
		{0.00123456789, "0.00123456789"}, {1.23456789e-5, "1.23456789e-5"}, {5e-324, "5e-324"}, {1.7976931348623157e308, "1.7976931348623157e+308"},
		{math.Inf(1), "inf"}, {math.Inf(-1), "-inf"}, {math.NaN(), "nan"},
	} {
		if got := FormatDouble(c.f); got != c.want {
			t.Errorf("FormatDouble(%g) = %s, want %s", c.f, got, c.want)
		}
	}
}

func TestFormatDoubleReadsBack(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 20000 {
		f := math.Float64frombits(random.Uint64())
		if math.IsNaN(f) {
			continue
		}
		s := FormatDouble(f)
		if got, ok := ParseFloat([]byte(s)); !ok || got != f {
			t.Fatalf("%s reads back as %v %v, want %g", s, got, ok, f)
		}
	}
}

func FuzzNumbers(f *testing.F) {
	for _, s := range []string{"0", "-12", "1e5", "0x1.8p3", "inf", "1_0", ".", "1e-4940", "9223372036854775808"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if n, ok := ParseInt(b); ok && strconv.FormatInt(n, 10) != string(b) {
			t.Fatalf("ParseInt(%q) = %d", b, n)
		}
		x, ok := ParseFloat(b)
		if ok {
			if y, ok := ParseFloat(AppendDouble(nil, x)); !ok || y != x {
				t.Fatalf("%q = %g reads back as %g %v", b, x, y, ok)
			}
		}
		long, okLong := ParseLongDouble(b)
		if ok && !okLong && len(b) < longDoubleChars {
			t.Fatalf("%q is a double and not a long double", b)
		}
		if okLong {
			s := FormatLongDouble(long)
			if len(s) < longDoubleChars {
				if _, ok := ParseLongDouble([]byte(s)); !ok {
					t.Fatalf("%q prints as %q, which is refused", b, s)
				}
			}
		}
	})
}

func lines(t *testing.T, name string) (out []string) {
	t.Helper()
	f, err := os.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for s := bufio.NewScanner(f); s.Scan(); {
		if !strings.HasPrefix(s.Text(), "#") {
			out = append(out, s.Text())
		}
	}
	return out
}

func BenchmarkParseInt(b *testing.B) {
	in := []byte("1234567890")
	for b.Loop() {
		ParseInt(in)
	}
}

func BenchmarkParseFloat(b *testing.B) {
	in := []byte("3.14159265")
	b.ReportAllocs()
	for b.Loop() {
		ParseFloat(in)
	}
}

func BenchmarkAppendDouble(b *testing.B) {
	var buf [32]byte
	b.ReportAllocs()
	for b.Loop() {
		AppendDouble(buf[:0], 3.14159265)
	}
}

func BenchmarkIncrByFloat(b *testing.B) {
	x, y := []byte("10.50"), []byte("0.1")
	b.ReportAllocs()
	for b.Loop() {
		f, _ := ParseLongDouble(x)
		g, _ := ParseLongDouble(y)
		_ = FormatLongDouble(f.Add(g))
	}
}
