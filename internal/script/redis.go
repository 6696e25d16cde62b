package script

import (
	"crypto/sha1"
	"encoding/hex"
	"strconv"
	"strings"
	"time"
	"unsafe"

	"github.com/stratadb/strata/internal/script/lua"
)

// began is what os.clock counts from.
var began = time.Now()

// openRedis makes the library redis, and what there is of os.
func (m *machine) openRedis(version string) {
	t := lua.NewTable(0, 32)
	m.redis = t
	m.st.Register(t, map[string]lua.Native{
		"call":  func(c *lua.Call) { m.call(c, true) },
		"pcall": func(c *lua.Call) { m.call(c, false) },
		"error_reply": func(c *lua.Call) {
			m.single(c, func(text string) lua.Value { return errorTable(errorReply(text)) })
		},
		"status_reply": func(c *lua.Call) {
			m.single(c, func(text string) lua.Value { return field("ok", lua.String(text)) })
		},
		"sha1hex": func(c *lua.Call) {
			if c.Len() != 1 {
				m.fail(c, "wrong number of arguments")
			}
			sum := sha1.Sum([]byte(textOf(c.Arg(0))))
			c.Push(lua.String(hex.EncodeToString(sum[:])))
		},
		"log": m.log, "setresp": m.setresp, "acl_check_cmd": m.aclCheck,
		"set_repl":           m.setRepl,
		"replicate_commands": func(c *lua.Call) { c.Push(lua.True) },
		"breakpoint":         func(c *lua.Call) { c.Push(lua.False) },
		"debug":              func(*lua.Call) {},
	})
	for name, n := range map[string]int{
		"LOG_DEBUG": 0, "LOG_VERBOSE": 1, "LOG_NOTICE": 2, "LOG_WARNING": 3,
		"REPL_NONE": 0, "REPL_AOF": 1, "REPL_SLAVE": 2, "REPL_REPLICA": 2, "REPL_ALL": 3, "REDIS_VERSION_NUM": versionNumber(version),
	} {
		t.SetString(name, lua.Int(n))
	}
	t.SetString("REDIS_VERSION", lua.String(version))
	m.st.Globals.SetString("redis", lua.TableValue(t))
	m.openLoading(t)
	os := lua.NewTable(0, 1)
	os.SetString("clock", lua.NewNative(func(c *lua.Call) { c.Push(lua.Number(time.Since(began).Seconds())) }))
	m.st.Globals.SetString("os", lua.TableValue(os))
}

// openLoading makes what redis is for the code of a library: it registers functions.
func (m *machine) openLoading(redis *lua.Table) {
	t := lua.NewTable(0, 16)
	for _, name := range []string{"log", "LOG_DEBUG", "LOG_VERBOSE", "LOG_NOTICE", "LOG_WARNING", "REDIS_VERSION", "REDIS_VERSION_NUM"} {
		t.SetString(name, redis.GetString(name))
	}
	m.st.Register(t, map[string]lua.Native{"register_function": m.registerFunction})
	t.SetMeta(m.nothingElse())
	t.Protect()
	m.loading = t
}

// versionNumber is 0x00MMmmpp of a version.
func versionNumber(version string) (n int) {
	for part := range strings.SplitSeq(version, ".") {
		i, _ := strconv.Atoi(part)
		n = n<<8 | i
	}
	return n
}

func field(name string, v lua.Value) lua.Value {
	t := lua.NewTable(0, 1)
	t.SetString(name, v)
	return lua.TableValue(t)
}

// errorReply adds the code that an error must have.
func errorReply(text string) string {
	if rest, ok := strings.CutPrefix(text, "-"); ok {
		text = rest
	}
	if i := strings.IndexByte(text, ' '); i < 0 {
		text = "ERR " + text
	}
	return strings.TrimRight(text, "\r\n")
}

func errorTable(text string) lua.Value { return field("err", lua.String(text)) }

// fail raises an error of Redis's library.
func (m *machine) fail(c *lua.Call, text string) { c.Throw(errorTable("ERR " + text)) }

func textOf(v lua.Value) string {
	if f, ok := v.AsNumber(); ok {
		return lua.FormatNumber(f)
	}
	s, _ := v.AsString()
	return s
}

// single is for functions of one string.
func (m *machine) single(c *lua.Call, result func(text string) lua.Value) {
	s, ok := c.Arg(0).AsString()
	if c.Len() != 1 || !ok {
		c.Push(errorTable("ERR wrong number or type of arguments"))
		return
	}
	c.Push(result(s))
}

// call executes a command. Its error is raised, or answered as a table.
func (m *machine) call(c *lua.Call, raise bool) {
	refuse := func(text string) {
		if v := errorTable("ERR " + text); raise {
			c.Throw(v)
		} else {
			c.Push(v)
		}
	}
	n := c.Len()
	if n == 0 {
		refuse("Please specify at least one argument for this redis lib call")
		return
	}
	words := m.words[:0]
	for i := range n {
		v := c.Arg(i)
		if s, ok := v.AsString(); ok {
			words = append(words, unsafe.Slice(unsafe.StringData(s), len(s)))
		} else if f, ok := v.AsNumber(); ok {
			words = append(words, m.digits(f))
		} else {
			refuse("Lua redis lib command arguments must be strings or integers")
			return
		}
	}
	m.words = words
	reply, err := m.run.Host.Call(words, m.proto)
	if err != nil {
		m.st.Abort(err)
	}
	p := replyParser{m: m, b: reply}
	v := p.value(0)
	if raise && len(reply) > 0 && reply[0] == '-' {
		c.Throw(v)
	}
	c.Push(v)
}

// digits is a number as a word of a command. It lives as long as the transaction.
func (m *machine) digits(f float64) []byte {
	if cap(m.chunk)-len(m.chunk) < 32 {
		m.chunk = make([]byte, 0, 128)
	}
	from := len(m.chunk)
	if f == float64(int64(f)) && f > -1e15 && f < 1e15 {
		m.chunk = strconv.AppendInt(m.chunk, int64(f), 10)
	} else {
		m.chunk = append(m.chunk, lua.FormatG(f, 17)...)
	}
	return m.chunk[from:len(m.chunk):len(m.chunk)]
}

func (m *machine) log(c *lua.Call) {
	if c.Len() < 2 {
		m.fail(c, "redis.log() requires two arguments or more.")
	}
	level, ok := c.Arg(0).AsNumber()
	if !ok {
		m.fail(c, "First argument must be a number (log level).")
	}
	if level < 0 || level > 3 {
		m.fail(c, "Invalid debug level.")
	}
	b := m.st.NewBuffer()
	for i := 1; i < c.Len(); i++ {
		if i > 1 {
			b.WriteString(" ")
		}
		b.WriteString(textOf(c.Arg(i)))
	}
	if text, _ := b.Value().AsString(); m.run != nil {
		m.run.Host.Log(int(level), text)
	}
}

func (m *machine) setresp(c *lua.Call) {
	if c.Len() != 1 {
		m.fail(c, "redis.setresp() requires one argument.")
	}
	f, _ := c.Arg(0).AsNumber()
	if f != 2 && f != 3 {
		m.fail(c, "RESP version must be 2 or 3.")
	}
	m.proto = int(f)
}

func (m *machine) aclCheck(c *lua.Call) {
	if c.Len() == 0 {
		m.fail(c, "Please specify at least one argument for this redis lib call")
	}
	var words [][]byte
	for i := range c.Len() {
		switch v := c.Arg(i); v.Kind() {
		case lua.KindString, lua.KindNumber:
			words = append(words, []byte(textOf(v)))
		default:
			m.fail(c, "redis.acl_check_cmd() arguments must be strings or integers")
		}
	}
	allowed, known := m.run.Host.Allowed(words)
	if !known {
		m.fail(c, "Invalid command passed to redis.acl_check_cmd()")
	}
	c.Push(lua.Bool(allowed))
}

func (m *machine) setRepl(c *lua.Call) {
	if c.Len() != 1 {
		m.fail(c, "redis.set_repl() requires one argument.")
	}
	if f, ok := c.Arg(0).AsNumber(); !ok || f < 0 || f > 3 {
		m.fail(c, "Invalid replication flags. Use REPL_AOF, REPL_REPLICA, REPL_ALL or REPL_NONE.")
	}
}
