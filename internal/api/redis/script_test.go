package redis

import (
	"fmt"
	"math"
	"math/rand/v2"
	"os"
	"strconv"
	"strings"
	"testing"

	"github.com/stratadb/strata/internal/api/redis/scripting"
	"github.com/stratadb/strata/internal/wire/resp"
)

// wordsOf makes a command of its words, whatever is in them.
func wordsOf(args ...string) string { return string(resp.AppendCommand(nil, args...)) }

// replyTo is all that comes for a command.
func (c *rawConn) replyTo(i int, args ...string) string {
	c.t.Helper()
	return c.repliesTo(i, wordsOf(args...))
}

func (c *rawConn) repliesTo(i int, commands string) string {
	c.t.Helper()
	end := fmt.Sprint("end of ", i)
	c.send(commands + wordsOf("ECHO", end))
	return strings.TrimSuffix(c.through(end+"\r\n"), fmt.Sprintf("$%d\r\n%s\r\n", len(end), end))
}

// comparing are a client of a server of ours and one of a real server.
type comparing struct {
	t           *testing.T
	here, there *rawConn
	n           int
}

func compareServers(t *testing.T, proto int) *comparing {
	t.Helper()
	here, there := bothServers(t)
	c := &comparing{t: t, here: here, there: there}
	for _, x := range []*rawConn{here, there} {
		x.send(arrays(fmt.Sprintf("HELLO %d|ECHO ready", proto)))
		x.through("ready\r\n")
	}
	return c
}

// same compares the replies to a command, and answers ours.
func (c *comparing) same(args ...string) string {
	c.t.Helper()
	c.n++
	ours, theirs := c.here.replyTo(c.n, args...), c.there.replyTo(c.n, args...)
	if ours != theirs {
		c.t.Errorf("%.1000q\n  here   %.1000q\n  server %.1000q", args, ours, theirs)
	}
	return ours
}

// sameAll compares the replies to commands that are sent together, their words between bars.
func (c *comparing) sameAll(commands ...string) {
	c.t.Helper()
	c.n++
	var b strings.Builder
	for _, command := range commands {
		b.WriteString(wordsOf(strings.Split(command, "|")...))
	}
	if ours, theirs := c.here.repliesTo(c.n, b.String()), c.there.repliesTo(c.n, b.String()); ours != theirs {
		c.t.Errorf("%.1000q\n  here   %.1000q\n  server %.1000q", commands, ours, theirs)
	}
}

// TestScriptsAgree: what scripts are answered is what a real server answers.
func TestScriptsAgree(t *testing.T) {
	text, err := os.ReadFile("testdata/scripts.txt")
	if err != nil {
		t.Fatal(err)
	}
	for _, proto := range []int{2, 3} {
		c := compareServers(t, proto)
		for s := range strings.Lines(string(text)) {
			s = strings.ReplaceAll(strings.TrimSuffix(s, "\n"), "␤", "\n")
			c.same("EVAL", s, "0")
			if strings.HasPrefix(s, "#!") {
				c.same("EVAL_RO", s, "0")
			}
		}
	}
}

// scriptTalk are commands about scripts, by words.
var scriptTalk = []string{
	"EVAL|return 1", "EVAL|return 1|x", "EVAL|return 1|-1", "EVAL|return 1|2|a", "EVAL|return KEYS|2|a|b|c", "EVAL|return ARGV|2|a|b|c", "EVALSHA|abc|0",
	"EVALSHA|ffffffffffffffffffffffffffffffffffffffff|0", "EVALSHA|e0e1f9fabfc9d4800c877a703b823ac0578ff8db|0", "EVAL_RO|return redis.call('set','x',1)|0",
	"EVAL_RO|return redis.call('publish','x',1)|0", "EVAL_RO|return redis.call('get','x')|0", "SCRIPT|foo", "SCRIPT|EXISTS", "SCRIPT|FLUSH|bad", "SCRIPT|LOAD|x x",
	"SCRIPT|LOAD|return 5", "EVALSHA|4ca238f611c9d0ae4e9a75a5dbac22aedc1e44b8|0", "EVALSHA|4CA238F611C9D0AE4E9A75A5DBAC22AEDC1E44B8|0", "EVALSHA_RO|4ca238f611c9d0ae4e9a75a5dbac22aedc1e44b8|0",
	"SCRIPT|EXISTS|4ca238f611c9d0ae4e9a75a5dbac22aedc1e44b8|x", "SCRIPT|FLUSH|SYNC", "SCRIPT|EXISTS|4ca238f611c9d0ae4e9a75a5dbac22aedc1e44b8", "EVALSHA|4ca238f611c9d0ae4e9a75a5dbac22aedc1e44b8|0",
	"SCRIPT|KILL", "FUNCTION|KILL", "SCRIPT|DEBUG|NO", "FCALL|nofn|0", "FUNCTION|DELETE|nolib", "FUNCTION|LIST|foo", "FUNCTION|LOAD|abc", "FUNCTION|LOAD|foo|bar", "FUNCTION|RESTORE|abc", "FUNCTION|STATS",
	"FUNCTION|FLUSH|bad", "COMMAND|GETKEYS|EVAL|x|2|a|b|c", "COMMAND|GETKEYS|EVAL|x|0|a", "COMMAND|GETKEYSANDFLAGS|FCALL|x|1|a", "FUNCTION|RESTORE|x|y", "SCRIPT", "FUNCTION", "FUNCTION|DUMP|x",
	"FUNCTION|LOAD|#!lua", "FUNCTION|LOAD|#!lua name=x", "FUNCTION|LOAD|#!lua name=x-y␤redis.register_function('a',function() end)", "FUNCTION|LOAD|#!lua name=l␤redis.register_function('f',function(k,a) return {k,a} end)",
	"FUNCTION|LOAD|#!lua name=l␤redis.register_function('f',function() end)", "FUNCTION|LOAD|#!lua name=m␤redis.register_function('f',function() end)", "FUNCTION|LOAD|#!lua name=m␤return 1", "FUNCTION|LOAD|#!js name=m␤x",
	"FUNCTION|LOAD|#!lua name=m bar=1␤x", "FUNCTION|LOAD|#!lua name=m␤redis.call('get','x')", "FUNCTION|LOAD|#!lua name=m␤redis.register_function('bad name',function() end)", "FUNCTION|LOAD|#!lua name=m␤redis.register_function('x')",
	"FUNCTION|LOAD|#!lua name=m␤redis.register_function{function_name='x'}", "FUNCTION|LOAD|#!lua name=m␤redis.register_function{function_name='x',callback=function() end,flags={'bad'}}",
	"FUNCTION|LOAD|#!lua name=m␤redis.register_function{function_name='x',callback=function() end,foo=1}", "FUNCTION|LOAD|#!lua name=m␤foo=1", "FUNCTION|LOAD|#!lua name=m␤return foo", "FUNCTION|LOAD|#!lua name=m␤x x",
	"FUNCTION|LOAD|#!lua name=m␤redis.register_function(1,2)", "FUNCTION|LOAD|#!lua name=m␤redis.register_function('x',function() end) redis.register_function('x',function() end)", "FUNCTION|LOAD|#!lua name=m␤redis.register_function('x',1)",
	"FUNCTION|LOAD|#!lua name=m␤redis.register_function()", "FUNCTION|LOAD|#!lua name=m␤redis.register_function{callback=function() end}", "FUNCTION|LOAD|#!lua name=m␤redis.register_function{function_name='x',callback=function() end,flags=1}",
	"FUNCTION|LOAD|#!lua name=m␤redis.register_function{function_name='x',callback=function() end,description={}}", "FUNCTION|LOAD|#!lua name=m␤redis.register_function{1}", "FUNCTION|LOAD|abc␤x", "FUNCTION|LOAD|#!lua name=m name=n␤x",
	"FUNCTION|LOAD|#!lua␤x", "FUNCTION|LOAD|#!lua name=␤x", "FUNCTION|LOAD|#!lua name=ro␤redis.register_function{function_name='ro1',callback=function(k) return redis.call('get',k[1]) end,flags={'no-writes'},description='desc'}",
	"FUNCTION|LOAD|#!lua name=rw␤redis.register_function('rw1',function(k,a) return redis.call('set',k[1],a[1]) end)", "FUNCTION|LOAD|#!lua name=e1␤redis.register_function('err1',function(k,a)␤ error('x') end)",
	"FUNCTION|LOAD|#!lua name=e2␤redis.register_function('err2',function(k,a)␤ return KEYS end)", "FUNCTION|LOAD|#!lua name=e3␤redis.register_function('err3',function(k,a)␤ return redis.register_function('z',function() end) end)",
	"FCALL|f|1|k|a", "FCALL|f|x", "FCALL|f|3|a", "FCALL|f|-1", "FCALL_RO|f|0", "FCALL|rw1|1|k1|v", "FCALL_RO|rw1|1|k1|v", "EVAL|return {KEYS[1], 'eval'}|1|k1", "FCALL_RO|ro1|1|k1", "FCALL|ro1|1|k1", "FCALL|err1|0", "FCALL|err2|0", "FCALL|err3|0",
	"HSET|h|a|1", "FCALL|ro1|1|h", "FUNCTION|LIST|LIBRARYNAME|l*", "FUNCTION|LIST|LIBRARYNAME|ro|WITHCODE", "FUNCTION|LIST|LIBRARYNAME", "FUNCTION|STATS",
	"FUNCTION|LOAD|REPLACE|#!lua name=l␤redis.register_function('f2',function() return 1 end)", "FCALL|f|0", "FCALL|f2|0", "FUNCTION|DELETE|l", "FCALL|f2|0",
	"MULTI&&FUNCTION|LOAD|#!lua name=t␤redis.register_function('t',function(k,a) return a end)&&FCALL|t|0|a&&EXEC", "FCALL|t|0|b", "FUNCTION|FLUSH", "FCALL|t|0|b", "FUNCTION|LIST",
}

func TestScriptCommandsAgree(t *testing.T) {
	for _, proto := range []int{2, 3} {
		c := compareServers(t, proto)
		for _, line := range scriptTalk {
			c.sameAll(strings.Split(strings.ReplaceAll(line, "␤", "\n"), "&&")...)
		}
	}
}

func TestScriptRowsAgree(t *testing.T) {
	familiesAgree(t, scriptCommands, onScripts(scripting.Scripts), onScripts(scripting.Functions))
}

// TestFunctionDumps: what one server dumps the other restores.
func TestFunctionDumps(t *testing.T) {
	c := compareServers(t, 2)
	code := "#!lua name=lib\n" + strings.Repeat("-- a comment that can be made shorter\n", 50) + "redis.register_function('hi', function(keys, args) return {'hi', args[1]} end)"
	bulk := func(reply string) string {
		_, rest, _ := strings.Cut(reply, "\r\n")
		return strings.TrimSuffix(rest, "\r\n")
	}
	c.same("FUNCTION", "LOAD", code)
	c.same("FUNCTION", "LOAD", "#!lua name=other\nredis.register_function('ho', function() return 'ho' end)")
	for _, dump := range []string{bulk(c.here.replyTo(1, "FUNCTION", "DUMP")), bulk(c.there.replyTo(1, "FUNCTION", "DUMP"))} {
		if len(dump) < 50 {
			t.Fatalf("dump %q", dump)
		}
		for _, policy := range [][]string{{}, {"APPEND"}} { // of two that are there already either may be named
			if got := c.here.replyTo(1, append([]string{"FUNCTION", "RESTORE", dump}, policy...)...); !strings.HasSuffix(got, " already exists\r\n") {
				t.Errorf("%q", got)
			}
		}
		c.same("FUNCTION", "RESTORE", dump, "REPLACE")
		c.same("FUNCTION", "FLUSH")
		c.same("FUNCTION", "RESTORE", dump)
		if got := c.same("FCALL", "hi", "0", "you"); got != "*2\r\n$2\r\nhi\r\n$3\r\nyou\r\n" {
			t.Errorf("%q", got)
		}
		c.same("FCALL", "ho", "0")
		c.same("FUNCTION", "RESTORE", dump, "FLUSH")
		c.same("FUNCTION", "RESTORE", dump[:len(dump)-1]+"x")
		c.same("FUNCTION", "LIST", "LIBRARYNAME", "lib", "WITHCODE")
	}
}

// literals makes random values, as programs have them.
type literals struct{ *rand.Rand }

func (r literals) number() string {
	switch r.IntN(8) {
	case 0:
		return strconv.Itoa(r.IntN(300) - 150)
	case 1:
		return strconv.FormatInt(r.Int64N(1<<53)-1<<52, 10)
	case 2:
		return strconv.FormatFloat((r.Float64()-0.5)*math.Pow(10, float64(r.IntN(40)-20)), 'g', -1, 64)
	case 3:
		return fmt.Sprintf("2^%d", r.IntN(66)-1)
	case 4:
		return fmt.Sprintf("-2^%d", r.IntN(64))
	case 5:
		return fmt.Sprintf("%d.5", r.IntN(100))
	case 6:
		return strconv.Itoa(r.IntN(1 << 17))
	}
	return fmt.Sprintf("(2^%d-1)", 1+r.IntN(52))
}

func (r literals) text() string {
	var b strings.Builder
	b.WriteByte('\'')
	for range r.IntN(40) {
		fmt.Fprintf(&b, `\%03d`, r.IntN(256))
	}
	b.WriteByte('\'')
	return b.String()
}

func (r literals) value(depth int) string {
	switch n := r.IntN(8); {
	case n < 3:
		return r.number()
	case n < 5:
		return r.text()
	case n == 5:
		return []string{"true", "false"}[r.IntN(2)]
	case depth == 0:
		return "{}"
	}
	var parts []string
	if r.IntN(2) == 0 { // a map of one: the order of more is nobody's business
		parts = append(parts, "["+r.text()+"]="+r.value(depth-1))
	} else {
		for range r.IntN(20) {
			parts = append(parts, r.value(depth-1))
		}
	}
	return "{" + strings.Join(parts, ",") + "}"
}

// format is a random one of the library struct, and as many values.
func (r literals) format() (format string, values []string) {
	var b strings.Builder
	for range 1 + r.IntN(6) {
		switch r.IntN(4) {
		case 0:
			b.WriteString([]string{">", "<", "!4", "!8", "!", " ", "x"}[r.IntN(7)])
		case 1:
			fmt.Fprintf(&b, "%c%d", "iI"[r.IntN(2)], 1+r.IntN(8))
			values = append(values, r.number())
		case 2:
			b.WriteByte("bBhHlLTiIfd"[r.IntN(11)])
			values = append(values, strconv.Itoa(r.IntN(1<<16)-1<<10))
		default:
			b.WriteString([]string{"s", "c0", "c3"}[r.IntN(3)])
			values = append(values, fmt.Sprintf("'abc%d'", r.IntN(1000)))
		}
	}
	return b.String(), values
}

// pattern is a random one, which may be wrong.
func (r literals) pattern() string {
	var b strings.Builder
	for range 1 + r.IntN(5) {
		b.WriteString([]string{"a", "b", ".", "%a", "%d", "%w", "[ab]", "[^b]", "[a-c1-3]", "(", ")", "()", "%1", "%b()", "^", "$", "%s", "%", "[", "(a)", "(.)", "%f[%w]", "[%w_]", "[]]"}[r.IntN(24)])
		b.WriteString([]string{"", "", "*", "+", "-", "?"}[r.IntN(6)])
	}
	return "'" + b.String() + "'"
}

// TestScriptLibrariesAgreeAtRandom: values of all kinds, there and back and in between.
func TestScriptLibrariesAgreeAtRandom(t *testing.T) {
	long(t)
	c := compareServers(t, 2)
	r := literals{rand.New(rand.NewPCG(31, 69))}
	programs := []func() string{
		func() string { return "return cmsgpack.pack(" + r.value(4) + "," + r.value(1) + ")" },
		func() string { return "return {cmsgpack.unpack(cmsgpack.pack(" + r.value(4) + "," + r.number() + "))}" },
		func() string { return "return cjson.encode(cmsgpack.unpack(cmsgpack.pack(" + r.value(3) + ")))" },
		func() string { return "return cjson.encode(" + r.value(4) + ")" },
		func() string { return "return cjson.encode(cjson.decode(cjson.encode(" + r.value(4) + ")))" },
		func() string { return "return {pcall(cjson.decode," + r.text() + ")}" },
		func() string { return "return {pcall(cmsgpack.unpack," + r.text() + ")}" },
		func() string {
			f, values := r.format()
			return "return {pcall(struct.pack,'" + strings.Join(append([]string{f + "'"}, values...), ",") + ")}"
		},
		func() string {
			f, values := r.format()
			return "local ok,s=pcall(struct.pack,'" + strings.Join(append([]string{f + "'"}, values...), ",") + ") if not ok then return s end local o={pcall(struct.unpack,'" + f +
				"',s)} for i,v in ipairs(o) do o[i]=tostring(v) end return o"
		},
		func() string {
			f, _ := r.format()
			return "return {pcall(struct.unpack,'" + f + "'," + r.text() + ")}"
		},
		func() string { f, _ := r.format(); return "return {pcall(struct.size,'" + f + "')}" },
		func() string {
			op := []string{"band", "bor", "bxor", "lshift", "rshift", "arshift", "rol", "ror"}[r.IntN(8)]
			return "return {bit." + op + "(" + r.number() + "," + r.number() + "),bit.tobit(" + r.number() + "),bit.bnot(" + r.number() + "),bit.bswap(" + r.number() + "),bit.tohex(" + r.number() + "," + strconv.Itoa(r.IntN(20)-10) + ")}"
		},
		func() string {
			return "return {tostring(" + r.number() + "),tostring(" + r.number() + "),tonumber(tostring(" + r.number() + "))}"
		},
		func() string {
			op := []string{"+", "-", "*", "/", "%"}[r.IntN(5)]
			return "return tostring(" + r.number() + op + r.number() + ")"
		},
		func() string {
			spec := []string{"%d", "%5d", "%-8d|", "%05d", "%+d", "% d", "%x", "%X", "%#x", "%o", "%e", "%.3e", "%f", "%.2f", "%10.1f", "%g", "%.10g", "%s", "%i", "%u", "%.3d", "%-10.3f|", "%E", "%G"}[r.IntN(24)]
			return "return string.format('" + spec + "'," + r.number() + ")"
		},
		func() string { return "return {pcall(string.find,'ab a1 (b)c22 _a'," + r.pattern() + ")}" },
		func() string {
			return "return {pcall(string.match,'aab(ab)1 23b'," + r.pattern() + "," + strconv.Itoa(r.IntN(14)-3) + ")}"
		},
		func() string {
			return "return {pcall(string.gsub,'abc 123 aab'," + r.pattern() + "," + []string{"'<%0>'", "'%1'", "''", "function(a) return a end", "{a='x',b=false}"}[r.IntN(5)] + ")}"
		},
		func() string {
			return "local t={} for w in string.gmatch('one 2 three_4 ab'," + r.pattern() + ") do t[#t+1]=w if #t>20 then break end end return t"
		},
		func() string {
			var list []string
			for range r.IntN(30) {
				list = append(list, strconv.Itoa(r.IntN(20)))
			}
			return "local n=0 local t={" + strings.Join(list, ",") + "} table.sort(t,function(a,b) n=n+1 return a%7<b%7 end) t[#t+1]=n return t"
		},
		func() string {
			return fmt.Sprintf("return {string.sub('hello world',%d,%d),string.byte('hello',%d,%d)}", r.IntN(30)-15, r.IntN(30)-15, r.IntN(12)-6, r.IntN(12)-6)
		},
		func() string {
			return "redis.call('set','n'," + r.number() + ") return redis.call('get','n')"
		},
	}
	for range 2500 {
		c.same("EVAL", programs[r.IntN(len(programs))](), "0")
		if t.Failed() {
			return
		}
	}
}
