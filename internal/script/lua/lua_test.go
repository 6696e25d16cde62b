package lua

import (
	"errors"
	"os"
	"strings"
	"testing"
)

// evaluate runs a program and renders what it returns.
func evaluate(t testing.TB, s *State, src string) string {
	t.Helper()
	p, err := Compile(src, "test")
	if err != nil {
		return err.Error()
	}
	s.Begin(1 << 20)
	out, err := s.Run(Load(p))
	defer s.End()
	if err != nil {
		return err.Error()
	}
	var parts []string
	for _, v := range out {
		parts = append(parts, v.display())
	}
	return strings.Join(parts, " ")
}

// TestPrograms runs the programs of a file, each followed by what it returns or the error that
// it ends with. One state runs them all: nothing of one is left for the next.
func TestPrograms(t *testing.T) {
	text, err := os.ReadFile("testdata/programs.txt")
	if err != nil {
		t.Fatal(err)
	}
	s := NewState()
	s.MemoryMax = 64 << 20
	n := 0
	for _, one := range strings.Split(string(text), "\n\n") {
		src, want, ok := strings.Cut(strings.TrimSpace(one), "\n=> ")
		if !ok {
			t.Fatalf("no result: %q", one)
		}
		n++
		if got := evaluate(t, s, src); got != want {
			t.Errorf("%s\n got %s\nwant %s", src, got, want)
		}
	}
	if n < 40 {
		t.Errorf("only %d programs", n)
	}
}

var errEnough = errors.New("enough")

// TestStepsEndAProgram: whatever a program does, it cannot go on, or catch its end.
func TestStepsEndAProgram(t *testing.T) {
	for _, src := range []string{
		"while true do end", "repeat until false", "for i=1,1/0 do end", "for _ in pairs(setmetatable({},{})) do end while true do end",
		"local function f() return f() end f()", "while true do pcall(error) end", "pcall(function() while true do end end) while true do end",
		"while true do xpcall(function() while true do end end, function() while true do end end) end",
		"coroutine.resume(coroutine.create(function() while true do end end)) while true do end",
		"return ('a'):rep(30000):find(('.-'):rep(30)..'b')", "string.rep('x',1e6):gsub('.',function() end) while true do end", "for i=1,1e9 do string.rep('x',1e6) end",
		"local t={} for i=1,1e9 do t[1]=i end", "table.sort({3,2,1,5,4},function() while true do end end)", "for i=1,1e9 do loadstring(('x=1 '):rep(1e4)) end",
	} {
		s := NewState()
		s.MemoryMax = 64 << 20
		left := 500
		s.Tick = func() (int, error) {
			if left--; left < 0 {
				return 0, errEnough
			}
			return 1000, nil
		}
		if got := evaluate(t, s, src); got != errEnough.Error() {
			t.Errorf("%s: %s", src, got)
		}
	}
}

// TestMemoryIsWhatIsAlive: a program may make much more than it keeps.
func TestMemoryIsWhatIsAlive(t *testing.T) {
	s := NewState()
	s.MemoryMax = 8 << 20
	for src, want := range map[string]string{
		"local x for i=1,1e5 do x=('y'):rep(1000)..i end return #x":                                                                                "1006",
		"local x for i=1,1e6 do x={i} end return x[1]":                                                                                             "1000000",
		"local t={} for i=1,1e6 do t[i%10]='value '..i end return #t":                                                                              "9",
		"local big=('x'):rep(1e6) local t={} for i=1,10000 do t[i]=big end return #t":                                                              "10000",
		"local t={} for i=1,20 do t[i]=('x'):rep(1e6)..i end return #t":                                                                            ErrMemory.Error(),
		"local function f(s) return f(s..'x')..s end return f(('x'):rep(1e5))":                                                                     ErrMemory.Error(),
		"local function f(n) return ('x'):rep(1e6)..f(n+1) end return f(1)":                                                                        ErrMemory.Error(),
		"local co=coroutine.wrap(function() local t={} while true do t[#t+1]=('x'):rep(1e5)..#t coroutine.yield() end end) while true do co() end": ErrMemory.Error(),
		"local n=0 local function f() n=n+1 local s=('x'):rep(1e5)..n return function() return s end end local t={} while true do t[#t+1]=f() end": ErrMemory.Error(),
		"return select('#',('x'):rep(1e6):gsub('x',function() return ('y'):rep(100) end))":                                                         ErrMemory.Error(),
		"local s=('x'):rep(7e6) return #s:sub(1,10)..#s:sub(2,11)":                                                                                 "1010",
		"local t={} for i=1,1e4 do t[i]=('x'):rep(1e5):sub(i%100+1,i%100+5) end return #t":                                                         "10000",
	} {
		if got := evaluate(t, s, src); got != want {
			t.Errorf("%s: %.200s, want %s", src, got, want)
		}
		s = NewState()
		s.MemoryMax = 8 << 20
	}
}

// TestDeepTexts: what is nested too deep is an error, and so is what is too long.
func TestDeepTexts(t *testing.T) {
	for _, src := range []string{
		"return " + strings.Repeat("(", 1e5) + "1" + strings.Repeat(")", 1e5), "return " + strings.Repeat("- ", 1e5) + "1", "return " + strings.Repeat("not ", 1e5) + "1",
		strings.Repeat("do ", 1e5) + strings.Repeat("end ", 1e5), "return " + strings.Repeat("{", 1e5), "return 1" + strings.Repeat("+1", 1e5), "return 1" + strings.Repeat("..1", 1e5),
		"return f" + strings.Repeat("()", 1e5), "return a" + strings.Repeat(".b", 1e5), strings.Repeat("function f() ", 1e5), "return 1" + strings.Repeat("^1", 1e5),
		strings.Repeat("local a ", 300), "local " + strings.Repeat("a,", 300) + "b", "return {" + strings.Repeat("{1,", 300), "return f(" + strings.Repeat("1,", 300) + "1)",
		strings.Repeat("if x then ", 1e5), "return " + strings.Repeat("function() return ", 1e4),
	} {
		if _, err := Compile(src, "test"); err == nil {
			t.Errorf("%.40s… compiles", src)
		}
	}
	for _, src := range []string{"return 1" + strings.Repeat("+1", 5000), strings.Repeat("x=1 ", 1e5), "return {" + strings.Repeat("1,", 1e5) + "}", strings.Repeat("if x then elseif y then else end ", 1e4)} {
		if _, err := Compile(src, "test"); err != nil {
			t.Errorf("%.40s…: %v", src, err)
		}
	}
}

// TestReadonly: what is protected stays as it is, however it is tried.
func TestReadonly(t *testing.T) {
	s := NewState()
	s.Globals.Protect()
	for _, src := range []string{
		"x=1", "_G.x=1", "rawset(_G,'x',1)", "string.x=1", "getmetatable('').__index=nil", "setmetatable(string,{})", "table.insert(table,1)", "table.sort(math)  math.pi=3", "local t=_G t.t=t",
	} {
		if got := evaluate(t, s, src); !strings.Contains(got, "Attempt to modify a readonly table") {
			t.Errorf("%s: %q", src, got)
		}
	}
}

// FuzzProgram: no text makes the process fail, and no program outlives its budgets.
func FuzzProgram(f *testing.F) {
	text, err := os.ReadFile("testdata/programs.txt")
	if err != nil {
		f.Fatal(err)
	}
	for _, one := range strings.Split(string(text), "\n\n") {
		f.Add(one)
	}
	f.Fuzz(func(t *testing.T, src string) {
		s := NewState()
		s.MemoryMax = 4 << 20
		left := 20
		s.Tick = func() (int, error) {
			if left--; left < 0 {
				return 0, errEnough
			}
			return 1000, nil
		}
		evaluate(t, s, src)
		if got := evaluate(t, s, "return 1"); got != "1" && left >= 0 {
			t.Errorf("afterwards: %s", got)
		}
	})
}

// FuzzPattern: matching ends, whatever the pattern.
func FuzzPattern(f *testing.F) {
	f.Add("hello", "h(.-)l+")
	f.Add("a(b)c", "%b()%f[%a][^%d]$")
	s := NewState()
	s.Globals.SetString("src", Nil)
	f.Fuzz(func(t *testing.T, src, pattern string) {
		left := 20
		s.Tick = func() (int, error) {
			if left--; left < 0 {
				return 0, errEnough
			}
			return 1000, nil
		}
		s.Globals.SetString("src", String(src))
		s.Globals.SetString("pattern", String(pattern))
		evaluate(t, s, "return pcall(string.find,src,pattern),pcall(string.gsub,src,pattern,'%0%1')")
	})
}

func BenchmarkFib(b *testing.B) {
	p, err := Compile("local function f(n) if n<2 then return n end return f(n-1)+f(n-2) end return f(20)", "bench")
	if err != nil {
		b.Fatal(err)
	}
	s := NewState()
	b.ReportAllocs()
	for b.Loop() {
		s.Begin(1 << 30)
		if _, err := s.Run(Load(p)); err != nil {
			b.Fatal(err)
		}
		s.End()
	}
}
