package script

import (
	"bytes"
	"math"

	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/script/lua"
	"github.com/stratadb/strata/internal/wire/resp"
)

// replyParser makes values of a reply, as programs see them.
type replyParser struct {
	m *machine
	b []byte
}

// replyDepthMax bounds how deep replies are nested.
const replyDepthMax = 128

func (p *replyParser) line() []byte {
	i := bytes.IndexByte(p.b, '\r')
	if i < 0 || i+2 > len(p.b) {
		i = len(p.b)
		line := p.b
		p.b = nil
		return line
	}
	line := p.b[:i]
	p.b = p.b[i+2:]
	return line
}

func (p *replyParser) text(b []byte) lua.Value {
	p.m.st.Ask(len(b))
	return lua.String(string(b))
}

func (p *replyParser) bulk(n int) []byte {
	if n < 0 || n+2 > len(p.b) {
		return nil
	}
	b := p.b[:n]
	p.b = p.b[n+2:]
	return b
}

func (p *replyParser) number(line []byte) int {
	n, _ := redisnum.ParseInt(line)
	return int(n)
}

// value is the next value.
func (p *replyParser) value(depth int) lua.Value {
	line := p.line()
	if len(line) == 0 || depth > replyDepthMax {
		return lua.Nil
	}
	kind, rest := line[0], line[1:]
	st := p.m.st
	switch resp.Kind(kind) {
	case resp.KindInt:
		n, _ := redisnum.ParseInt(rest)
		return lua.Number(float64(n))
	case resp.KindBulk:
		n := p.number(rest)
		if n < 0 {
			return lua.False
		}
		return p.text(p.bulk(n))
	case resp.KindSimpleString:
		return p.wrap("ok", p.text(rest))
	case resp.KindError:
		t := st.NewTable(0, 2)
		t.SetString("err", p.text(rest))
		t.SetString("ignore_error_stats_update", lua.True)
		return lua.TableValue(t)
	case resp.KindArray, resp.KindPush:
		return p.array(p.number(rest), depth)
	case resp.KindMap:
		n := p.number(rest)
		t := p.table(0, n)
		defer st.LetGo()
		for range n {
			k, v := p.value(depth+1), p.value(depth+1)
			if !k.IsNil() {
				t.Set(k, v)
			}
		}
		return p.wrap("map", lua.TableValue(t))
	case resp.KindSet:
		n := p.number(rest)
		t := p.table(0, n)
		defer st.LetGo()
		for range n {
			if k := p.value(depth + 1); !k.IsNil() {
				t.Set(k, lua.True)
			}
		}
		return p.wrap("set", lua.TableValue(t))
	case resp.KindDouble:
		return p.wrap("double", lua.Number(parseDouble(string(rest))))
	case resp.KindBool:
		return lua.Bool(string(rest) == "t")
	case resp.KindBigNumber:
		return p.wrap("big_number", p.text(rest))
	case resp.KindVerbatim:
		b := p.bulk(p.number(rest))
		if len(b) < 4 {
			return lua.Nil
		}
		t := st.NewTable(0, 2)
		t.SetString("format", p.text(b[:3]))
		t.SetString("string", p.text(b[4:]))
		return p.wrap("verbatim_string", lua.TableValue(t))
	}
	return lua.Nil
}

// table makes a table that counts as alive from its beginning.
func (p *replyParser) table(elements, fields int) *lua.Table {
	t := p.m.st.NewTable(elements, fields)
	p.m.st.Hold(lua.TableValue(t))
	return t
}

func (p *replyParser) wrap(name string, v lua.Value) lua.Value {
	t := p.m.st.NewTable(0, 1)
	t.SetString(name, v)
	return lua.TableValue(t)
}

func (p *replyParser) array(n, depth int) lua.Value {
	if n < 0 {
		return lua.False
	}
	t := p.table(n, 0)
	defer p.m.st.LetGo()
	for i := range n {
		if v := p.value(depth + 1); !v.IsNil() {
			t.Set(lua.Int(i+1), v)
		}
	}
	p.m.st.Spend(n / 8)
	return lua.TableValue(t)
}

func parseDouble(s string) float64 {
	switch s {
	case "inf":
		return math.Inf(1)
	case "-inf":
		return math.Inf(-1)
	}
	f, _ := lua.ParseNumber(s)
	return f
}
