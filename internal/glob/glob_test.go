package glob

import (
	"bufio"
	"bytes"
	"os"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// fields splits a golden line into its quoted strings.
func fields(t *testing.T, line string) (out []string) {
	t.Helper()
	for line = strings.TrimSpace(line); line != ""; line = strings.TrimSpace(line) {
		q, err := strconv.QuotedPrefix(line)
		if err != nil {
			t.Fatalf("golden line %q: %v", line, err)
		}
		s, _ := strconv.Unquote(q)
		out = append(out, s)
		line = line[len(q):]
	}
	return out
}

func TestMatchesAsRedisDoes(t *testing.T) {
	f, err := os.Open("testdata/golden.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	lines.Scan() // comment
	lines.Scan()
	names := fields(t, lines.Text())
	cases := 0
	for lines.Scan() {
		row := fields(t, lines.Text())
		for _, name := range names {
			cases++
			want := slices.Contains(row[1:], name)
			if got := Match([]byte(row[0]), []byte(name), false); got != want {
				t.Errorf("Match(%q, %q) = %v, want %v", row[0], name, got, want)
			}
		}
	}
	if cases < 1000 {
		t.Fatalf("only %d cases", cases)
	}
}

func TestNoCase(t *testing.T) {
	for _, c := range []struct {
		pattern, name string
		want          bool
	}{
		{"ABC", "abc", true},
		{"a*C", "AxxC", true},
		{"[a-c]", "B", true},
		{"[A-C]", "b", true},
		{"[xB]", "b", true},
		{`[\B]`, "b", false},
		{`\B`, "b", true},
		{"é", "É", false},
	} {
		if got := Match([]byte(c.pattern), []byte(c.name), true); got != c.want {
			t.Errorf("Match(%q, %q, nocase) = %v, want %v", c.pattern, c.name, got, c.want)
		}
	}
}

func TestTooManyStars(t *testing.T) {
	name := bytes.Repeat([]byte("a"), 1100)
	for _, c := range []struct {
		stars int
		want  bool
	}{{1000, true}, {1001, false}} {
		if got := Match(bytes.Repeat([]byte("*a"), c.stars), name, false); got != c.want {
			t.Errorf("%d stars: %v, want %v", c.stars, got, c.want)
		}
	}
}

func TestNoBlowUp(t *testing.T) {
	pattern := append(bytes.Repeat([]byte("a*"), 900), 'b')
	if Match(pattern, bytes.Repeat([]byte("a"), 5000), false) {
		t.Error("matched")
	}
}

func TestLiteralPrefix(t *testing.T) {
	for _, c := range []struct {
		pattern, want string
		whole         bool
	}{
		{"", "", true},
		{"user:1", "user:1", true},
		{"user:*", "user:", false},
		{"*", "", false},
		{"a?b", "a", false},
		{"a[b]", "a", false},
		{`a\*b*`, "a*b", false},
		{`a\`, `a\`, true},
		{`\[x]`, "[x]", true},
	} {
		got, whole := LiteralPrefix([]byte(c.pattern))
		if string(got) != c.want || whole != c.whole {
			t.Errorf("LiteralPrefix(%q) = %q %v, want %q %v", c.pattern, got, whole, c.want, c.whole)
		}
	}
}

// slow tries every way to divide s among the stars.
func slow(pattern, s []byte, nocase bool) bool {
	if len(s) == 0 {
		return len(bytes.TrimLeft(pattern, "*")) == 0
	}
	if len(pattern) == 0 {
		return false
	}
	if pattern[0] == '*' {
		return slow(pattern[1:], s, nocase) || slow(pattern, s[1:], nocase)
	}
	next, ok := matchByte(pattern, 0, s[0], nocase)
	return ok && slow(pattern[next:], s[1:], nocase)
}

func FuzzMatch(f *testing.F) {
	f.Add([]byte("a*b?[c-e]*"), []byte("aabxdd"), false)
	f.Add([]byte(`\`), []byte(`\`), true)
	f.Add([]byte("[^"), []byte("x"), true)
	f.Fuzz(func(t *testing.T, pattern, s []byte, nocase bool) {
		got := Match(pattern, s, nocase)
		prefix, whole := LiteralPrefix(pattern)
		if got && !nocase && !bytes.HasPrefix(s, prefix) {
			t.Fatalf("match of %q by %q does not begin with %q", s, pattern, prefix)
		}
		if whole && !nocase && got != bytes.Equal(prefix, s) {
			t.Fatalf("%q is the literal %q, matches %q: %v", pattern, prefix, s, got)
		}
		if len(s) == 0 || len(s) > 12 || len(pattern) > 12 {
			return
		}
		if want := slow(pattern, s, nocase); got != want {
			t.Fatalf("Match(%q, %q, %v) = %v, want %v", pattern, s, nocase, got, want)
		}
	})
}

func BenchmarkMatch(b *testing.B) {
	pattern, name := []byte("user:*:profile"), []byte("user:1234567:profile")
	b.ReportAllocs()
	for b.Loop() {
		Match(pattern, name, false)
	}
}
