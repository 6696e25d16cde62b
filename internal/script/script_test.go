package script

import (
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/script/lua"
	"github.com/stratadb/strata/internal/wire/resp"
)

// echo is a host that knows one command, which answers its words.
type echo struct {
	ticks int // that are left; negative: as many as one likes
	log   []string
}

var errEnough = errors.New("enough")

func (e *echo) Call(args [][]byte, proto int) ([]byte, error) {
	if string(args[0]) == "end" {
		return nil, errEnough
	}
	w := resp.Writer{Proto: proto}
	if string(args[0]) == "fail" {
		w.Error("ERR failed")
		return w.Buf, nil
	}
	w.Array(len(args))
	for _, a := range args {
		w.Bulk(a)
	}
	return w.Buf, nil
}

func (e *echo) Tick() error {
	if e.ticks--; e.ticks == 0 {
		return Stop("ERR stopped")
	}
	return nil
}
func (e *echo) Allowed([][]byte) (allowed, known bool) { return true, true }
func (e *echo) Log(level int, text string)             { e.log = append(e.log, fmt.Sprint(level, " ", text)) }

func evaluate(t testing.TB, e *Engine, h Host, body string, args ...string) string {
	t.Helper()
	s, err := e.Compile(0, []byte(body))
	if err != nil {
		return err.Error()
	}
	w := resp.Writer{}
	r := Run{Host: h, W: &w}
	for _, a := range args {
		r.Args = append(r.Args, []byte(a))
	}
	if err := e.Eval(s, &r); err != nil {
		return err.Error()
	}
	return strings.ReplaceAll(string(w.Buf), "\r\n", "|")
}

// TestNothingIsLeft: a program finds what the one before has found, whatever that has done.
func TestNothingIsLeft(t *testing.T) {
	e := NewEngine("7.2.4")
	h := &echo{}
	for range 3 {
		for body, want := range map[string]string{
			"redis.setresp(3) return redis.call('x')[1]":                                                         "$1|x|",
			"return pcall(function() x=1 end)":                                                                   "$-1|",
			"cjson.encode_max_depth(1) cjson.encode_sparse_array(true) cjson.decode_max_depth(1) return 1":       ":1|",
			"return cjson.encode(cjson.decode('[[[[]]]]'))":                                                      "$8|[[[{}]]]|",
			"return {pcall(cjson.encode,{[100]=1})}":                                                             "*2|$-1|$48|Cannot serialise table: excessively sparse array|",
			"KEYS.x=1 KEYS[1]='k' ARGV[7]=1 setmetatable(ARGV,{__index=function() return 5 end}) return ARGV[9]": ":5|",
			"return {tostring(KEYS.x),tostring(ARGV[7]),tostring(ARGV[9]),tostring(getmetatable(ARGV)),#KEYS}":   "*5|$3|nil|$3|nil|$3|nil|$3|nil|:0|",
			"return true":                           ":1|",
			"return KEYS[1] or #ARGV":               ":0|",
			"redis.log(redis.LOG_NOTICE,'a',1)":     "$-1|",
			"return redis.call('fail')":             "ERR failed script: 9f9a1f9c3ba1f5f3b9d0d9a8e2a3d7a5f2b3f7ae, on @user_script:1.",
			"local function f() return f() end f()": "ERR stopped",
			"redis.call('end')":                     "enough",
		} {
			h.ticks = 50
			got := evaluate(t, e, h, body)
			if strings.HasPrefix(want, "ERR") {
				want, _, _ = strings.Cut(want, " script:")
				got, _, _ = strings.Cut(got, " script:")
			}
			if got != want {
				t.Errorf("%s: %q, want %q", body, got, want)
			}
		}
	}
	if len(h.log) != 3 || h.log[0] != "2 a 1" {
		t.Errorf("log %q", h.log)
	}
}

// TestCacheIsBounded: what was not used for longest is compiled again when it comes again.
func TestCacheIsBounded(t *testing.T) {
	e := NewEngine("7.2.4")
	first := Digest([]byte("return 0"))
	for i := range cachedScripts + 10 {
		if got := evaluate(t, e, &echo{}, fmt.Sprint("return ", i)); got != fmt.Sprintf(":%d|", i) {
			t.Fatal(got)
		}
	}
	if n, bytes := e.Cached(); n != cachedScripts || bytes < 10*cachedScripts {
		t.Errorf("%d scripts of %d bytes", n, bytes)
	}
	if e.Script(0, first) != nil || e.Script(1, Digest([]byte("return 100"))) != nil || e.Script(0, Digest([]byte("return 100"))) == nil {
		t.Error("others are kept")
	}
	e.Forget(0)
	if n, bytes := e.Cached(); n != 0 || bytes != 0 {
		t.Errorf("%d scripts of %d bytes are left", n, bytes)
	}
	if got := evaluate(t, e, &echo{}, "--"+strings.Repeat("x", BodyBytes)); got != "ERR script exceeds the size limit" {
		t.Error(got)
	}
}

// TestLibraries: a machine loads a library once, and another one that has its name in its place.
func TestLibraries(t *testing.T) {
	e := NewEngine("7.2.4")
	going := func() error { return nil }
	call := func(l *Library, name string) string {
		w := resp.Writer{}
		if err := e.Call(l, name, &Run{Host: &echo{}, W: &w}); err != nil {
			return err.Error()
		}
		return string(w.Buf)
	}
	one, err := e.Library("#!lua name=lib\nlocal n = 0\nredis.register_function('f', function() n = n + 1 return redis.call('hi')[1] end)", going)
	if err != nil {
		t.Fatal(err)
	}
	two, err := e.Library("#!lua name=lib\nredis.register_function{function_name='f', callback=function() return KEYS end, flags={'no-writes', 'allow-stale'}}", going)
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if got := call(one, "f"); got != "$2\r\nhi\r\n" {
			t.Errorf("%q", got)
		}
		if got := call(two, "f"); got != "ERR user_function:2: Script attempted to access nonexistent global variable 'KEYS' script: f, on @user_function:2." {
			t.Errorf("%q", got)
		}
	}
	if f := two.Function("f"); f.Flags != NoWrites|AllowStale || f.Described || two.Function("g") != nil {
		t.Errorf("%+v", f)
	}
	left := 100
	if _, err := e.Library("#!lua name=lib\nwhile true do end", func() error {
		if left--; left < 0 {
			return Stop("ERR too long")
		}
		return nil
	}); err == nil || err.Error() != "ERR Error registering functions: ERR too long" {
		t.Error(err)
	}
}

// decoders are fed by fuzzers: whatever comes, they answer or raise.
func fuzz(f *testing.F, body string, seeds ...string) {
	for _, s := range seeds {
		f.Add(s)
	}
	e := NewEngine("7.2.4")
	f.Fuzz(func(t *testing.T, s string) {
		got := evaluate(t, e, &echo{}, body, s)
		if strings.Contains(got, "stopped") || got == "" {
			t.Errorf("%q", got)
		}
		if got := evaluate(t, e, &echo{}, "return 1"); got != ":1|" {
			t.Errorf("afterwards %q", got)
		}
	})
}

func FuzzJSON(f *testing.F) {
	fuzz(f, "local ok,v=pcall(cjson.decode,ARGV[1]) if ok then local s=cjson.encode(v) assert(cjson.encode(cjson.decode(s)):len()==s:len()) end return 1",
		`{"a":[1,2.5e3,"x\u00e9\ud83d\ude00\n",null,true]}`, `[[[]]]`, `"\ud800"`, `0x10`, `-Infinity`)
}

func FuzzMsgpack(f *testing.F) {
	fuzz(f, "local r={pcall(cmsgpack.unpack,ARGV[1])} if r[1] and r[2]~=nil then cmsgpack.pack(r[2]) end pcall(cmsgpack.unpack_one,ARGV[1]) return 1", "\x93\x01\xa1a\xc0", "\x81\xa1a\xcb@\x09!\xfbTD-\x18", "\xdd\xff\xff\xff\xff")
}

func FuzzStruct(f *testing.F) {
	fuzz(f, "local fmt,data=ARGV[1]:match('^(.-)|(.*)$') fmt=fmt or ARGV[1] pcall(struct.unpack,fmt,data or '') pcall(struct.size,fmt) pcall(struct.pack,fmt,1,2,'x',4) return 1",
		">i4sBc0|abcdefghijkl", "!8bi8|", "I32", "c99999999999")
}

// TestFormats: what Redis's own formatting of numbers gives.
func TestFormats(t *testing.T) {
	for f, want := range map[float64]string{1e15: "1e+15", 0.1: "0.1", 1 << 53: "9.007199254741e+15", 100: "100", -1.5e-7: "-1.5e-07"} {
		if got := lua.FormatNumber(f); got != want {
			t.Errorf("%s, want %s", got, want)
		}
	}
}
