package script

import (
	"errors"
	"fmt"
	"math"
	"math/rand/v2"

	"github.com/stratadb/strata/internal/script/lua"
)

// machine runs programs, one at a time.
type machine struct {
	st    *lua.State
	run   *Run // nil: a library registers its functions
	proto int  // of the replies that the program sees
	redis *lua.Table
	// loading is what redis is while a library is being loaded.
	loading *lua.Table
	// registering is the library that is being loaded.
	registering *registering
	// loaded are the libraries that the machine has loaded, by name.
	loaded map[string]*loaded
	json   []*jsonOptions
	// What the scripts before have used: nothing is left of them that could see it.
	keys, args *lua.Table
	ran        *Script
	fn         lua.Value
	packed     int // values that cmsgpack has on its way

	words [][]byte
	chunk []byte // where numbers among the words are written
}

func newMachine(version string) *machine {
	m := &machine{st: lua.NewState(), proto: 2, loaded: map[string]*loaded{}, keys: &lua.Table{}, args: &lua.Table{}}
	m.st.MemoryMax = MemoryBytes
	m.st.Seed(rand.Int32())
	m.st.Caught = func(v lua.Value) lua.Value { // an error of Redis is its text
		if t := v.AsTable(); t != nil && t.GetString("err").Kind() == lua.KindString {
			return t.GetString("err")
		}
		return v
	}
	m.openRedis(version)
	m.openJSON()
	m.openMsgpack()
	m.openStruct()
	m.openBit()
	g := m.st.Globals
	g.SetMeta(m.nothingElse())
	g.Protect()
	return m
}

// nothingElse is a metatable that makes it an error to read what is not there.
func (m *machine) nothingElse() *lua.Table {
	meta := lua.NewTable(0, 1)
	meta.SetString("__index", lua.NewNative(func(c *lua.Call) {
		name, _ := c.Arg(1).AsString()
		if f, ok := c.Arg(1).AsNumber(); ok {
			name = lua.FormatNumber(f)
		}
		c.Raise("Script attempted to access nonexistent global variable '%s'", name)
	}))
	return meta
}

func (m *machine) begin(r *Run) {
	m.run, m.proto, m.chunk = r, 2, nil
	m.st.Tick = func() (int, error) { return TickSteps, r.Host.Tick() }
	m.st.Begin(TickSteps)
	for _, o := range m.json {
		o.reset()
	}
}

// end forgets the program.
func (m *machine) end() {
	g := m.st.Globals
	g.SetString("KEYS", lua.Nil)
	g.SetString("ARGV", lua.Nil)
	m.keys.Renew()
	m.args.Renew()
	m.st.End()
	m.st.Tick, m.run = nil, nil
	clear(m.words[:cap(m.words)])
	if cap(m.words) > wordsKept {
		m.words = nil
	}
}

const wordsKept = 256

// list makes a table of strings of an empty one.
func (m *machine) list(t *lua.Table, words [][]byte) lua.Value {
	m.st.Ask(16 * len(words))
	for _, w := range words {
		t.Append(lua.Bytes(w))
	}
	return lua.TableValue(t)
}

// eval runs a script; whole says that the machine can be used again.
func (m *machine) eval(s *Script, r *Run) (err error, whole bool) {
	m.begin(r)
	g := m.st.Globals
	g.SetString("KEYS", m.list(m.keys, r.Keys))
	g.SetString("ARGV", m.list(m.args, r.Args))
	if m.ran != s {
		m.ran, m.fn = s, lua.Load(s.proto)
	}
	return m.finish(m.fn, s.Digest)
}

// finish runs a function and writes its reply.
func (m *machine) finish(fn lua.Value, name string, args ...lua.Value) (err error, whole bool) {
	out, err := m.st.Run(fn, args...)
	if err == nil {
		v := lua.Nil
		if len(out) > 0 {
			v = out[0]
		}
		_, err = m.st.Run(m.replying(v))
	}
	if err != nil {
		err, whole = m.failure(err, name)
		if whole {
			m.end()
		}
		return err, whole
	}
	m.end()
	return nil, true
}

// failure makes a reply of an error.
func (m *machine) failure(err error, name string) (_ error, whole bool) {
	var stopped *lua.Stopped
	if errors.As(err, &stopped) {
		var stop Stop
		switch {
		case errors.Is(stopped.Err, lua.ErrMemory):
			text := fmt.Sprintf("ERR Error running script: it needs more than %d MiB of memory", MemoryBytes>>20)
			return located(text, name, stopped.Source, stopped.Line), false
		case errors.As(stopped.Err, &stop):
			return located(string(stop), name, stopped.Source, stopped.Line), false
		}
		return stopped.Err, false
	}
	var raised *lua.Error
	if !errors.As(err, &raised) {
		return err, false
	}
	return located(errorText(raised.Value), name, raised.Source, raised.Line), true
}

// errorText is what a client is told of a value that was raised.
func errorText(v lua.Value) string {
	t := v.AsTable()
	if t == nil {
		return "ERR " + display(v)
	}
	switch e := t.GetString("err"); e.Kind() {
	case lua.KindString, lua.KindNumber:
		return display(e)
	}
	return "ERR unknown error"
}

func display(v lua.Value) string {
	switch v.Kind() {
	case lua.KindString:
		s, _ := v.AsString()
		return s
	case lua.KindNumber:
		f, _ := v.AsNumber()
		return lua.FormatNumber(f)
	case lua.KindNil:
		return "nil"
	case lua.KindBool:
		if v.Truth() {
			return "true"
		}
		return "false"
	}
	return v.Kind().String()
}

// whole is what C makes of a number.
func whole(f float64) int64 {
	if math.IsNaN(f) || f >= 1<<63 || f < -1<<63 {
		return math.MinInt64
	}
	return int64(f)
}
