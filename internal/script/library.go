package script

import (
	"errors"
	"strings"

	"github.com/stratadb/strata/internal/script/lua"
)

// Library is the code of functions, and what they are.
type Library struct {
	Name      string
	Code      string
	Functions []Function
	digest    string
	proto     *lua.Proto
}

// Function is one of a library.
type Function struct {
	Name        string
	Description string
	Described   bool
	Flags       Flags
}

// Function is the one of a name; nil if there is none.
func (l *Library) Function(name string) *Function {
	for i := range l.Functions {
		if l.Functions[i].Name == name {
			return &l.Functions[i]
		}
	}
	return nil
}

// What the first line of a library's code can be wrong about.
const errLibraryName Error = "ERR Library names can only contain letters, numbers, or underscores(_) and must be at least one character long"

// validName reports whether a library or function may be called so.
func validName(name string) bool {
	for i := range len(name) {
		c := name[i]
		if !(c == '_' || c >= '0' && c <= '9' || c|32 >= 'a' && c|32 <= 'z') {
			return false
		}
	}
	return name != ""
}

// metadata reads the first line of a library's code.
func metadata(code string) (name, rest string, err error) {
	if !strings.HasPrefix(code, "#!") {
		return "", "", Error("ERR Missing library metadata")
	}
	line, rest, found := strings.Cut(code, "\n")
	if !found {
		return "", "", Error("ERR Invalid library metadata")
	}
	words := strings.Fields(line[2:])
	if len(words) == 0 {
		return "", "", Error("ERR Invalid library metadata")
	}
	named := false
	for _, word := range words[1:] {
		value, ok := strings.CutPrefix(word, "name=")
		switch {
		case !ok:
			return "", "", Error("ERR Invalid metadata value given: " + word)
		case named:
			return "", "", Error("ERR Invalid metadata value, name argument was given multiple times")
		}
		name, named = value, true
	}
	if !named {
		return "", "", Error("ERR Library name was not given")
	}
	if !validName(name) {
		return "", "", errLibraryName
	}
	if words[0] != "lua" && words[0] != "LUA" {
		return "", "", Error("ERR Engine '" + words[0] + "' not found")
	}
	return name, "\n" + rest, nil
}

// Library makes a library of its code: it is run once, to find out what it registers. tick
// ends that, as Host.Tick does.
func (e *Engine) Library(code string, tick func() error) (*Library, error) {
	if len(code) > BodyBytes {
		return nil, Error("ERR library exceeds the size limit")
	}
	name, text, err := metadata(code)
	if err != nil {
		return nil, err
	}
	digest := Digest([]byte(code))
	l := &Library{Name: name, Code: code, digest: string(digest[:])}
	if l.proto, err = lua.Compile(text, functionChunk); err != nil {
		return nil, Error("ERR Error compiling function: " + err.Error())
	}
	m := newMachine(e.version) // its own: nothing of a library that is refused stays behind
	found, err := m.load(l, tick)
	if err != nil {
		return nil, err
	}
	l.Functions = found.functions
	if len(l.Functions) == 0 {
		return nil, Error("ERR No functions registered")
	}
	return l, nil
}

// loaded is a library in a machine.
type loaded struct {
	digest    string
	functions map[string]lua.Value
}

// registering is a library that is being loaded.
type registering struct {
	functions []Function
	callbacks map[string]lua.Value
}

// loadedMax is how many libraries a machine keeps loaded.
const loadedMax = 64

// load runs a library's code.
func (m *machine) load(l *Library, tick func() error) (*registering, error) {
	r := &registering{callbacks: map[string]lua.Value{}}
	m.registering, m.run = r, nil
	m.st.Globals.SetString("redis", lua.TableValue(m.loading))
	defer func() {
		m.registering = nil
		m.st.Globals.SetString("redis", lua.TableValue(m.redis))
	}()
	m.st.Tick = func() (int, error) { return TickSteps, tick() }
	m.st.Begin(TickSteps)
	_, err := m.st.Run(lua.Load(l.proto))
	var stopped *lua.Stopped
	var raised *lua.Error
	switch {
	case errors.As(err, &stopped):
		var stop Stop
		if errors.As(stopped.Err, &stop) {
			return nil, Error("ERR Error registering functions: " + string(stop))
		}
		if errors.Is(stopped.Err, lua.ErrMemory) {
			return nil, Error("ERR Error registering functions: ERR it needs too much memory")
		}
		return nil, stopped.Err
	case errors.As(err, &raised):
		m.st.End()
		return nil, Error("ERR Error registering functions: " + errorText(raised.Value))
	}
	m.st.End()
	if len(m.loaded) >= loadedMax {
		clear(m.loaded)
	}
	m.loaded[l.Name] = &loaded{l.digest, r.callbacks}
	return r, nil
}

// function runs a function; whole says that the machine can be used again.
func (m *machine) function(l *Library, name string, r *Run) (err error, whole bool) {
	at := m.loaded[l.Name]
	if at == nil || at.digest != l.digest {
		if _, err := m.load(l, r.Host.Tick); err != nil {
			return err, false
		}
		at = m.loaded[l.Name]
	}
	m.begin(r)
	keys, args := m.list(&lua.Table{}, r.Keys), m.list(&lua.Table{}, r.Args)
	return m.finish(at.functions[name], name, keys, args)
}

// registerFunction is redis.register_function.
func (m *machine) registerFunction(c *lua.Call) {
	if m.registering == nil { // what a library has kept of it
		m.fail(c, "redis.register_function can only be called on FUNCTION LOAD command")
	}
	var f Function
	callback := lua.Nil
	switch c.Len() {
	case 1:
		callback = m.named(c, &f)
	case 2:
		name, ok := c.Arg(0).AsString()
		if _, number := c.Arg(0).AsNumber(); !ok && !number {
			m.fail(c, "first argument to redis.register_function must be a string")
		}
		if !ok {
			name = textOf(c.Arg(0))
		}
		f.Name, callback = name, c.Arg(1)
		if callback.AsFunction() == nil {
			m.fail(c, "second argument to redis.register_function must be a function")
		}
	default:
		m.fail(c, "wrong number of arguments to redis.register_function")
	}
	f.Name = strings.Clone(f.Name)
	if !validName(f.Name) {
		c.Throw(errorTable(string(errLibraryName)))
	}
	if _, ok := m.registering.callbacks[f.Name]; ok {
		m.fail(c, "Function already exists in the library")
	}
	m.registering.callbacks[f.Name] = callback
	m.registering.functions = append(m.registering.functions, f)
}

// named reads a table of arguments.
func (m *machine) named(c *lua.Call, f *Function) (callback lua.Value) {
	t := c.Arg(0).AsTable()
	if t == nil {
		m.fail(c, "calling redis.register_function with a single argument is only applicable to Lua table (representing named arguments).")
	}
	named := false
	t.Each(func(k, v lua.Value) bool {
		key, ok := k.AsString()
		if _, number := k.AsNumber(); !ok && !number {
			m.fail(c, "named argument key given to redis.register_function is not a string")
		}
		text := v.Kind() == lua.KindString || v.Kind() == lua.KindNumber
		switch key {
		case "function_name":
			if !text {
				m.fail(c, "function_name argument given to redis.register_function must be a string")
			}
			f.Name, named = textOf(v), true
		case "description":
			if !text {
				m.fail(c, "description argument given to redis.register_function must be a string")
			}
			f.Description, f.Described = strings.Clone(textOf(v)), true
		case "callback":
			if v.AsFunction() == nil {
				m.fail(c, "callback argument given to redis.register_function must be a function")
			}
			callback = v
		case "flags":
			m.flags(c, f, v)
		default:
			m.fail(c, "unknown argument given to redis.register_function")
		}
		return true
	})
	if !named {
		m.fail(c, "redis.register_function must get a function name argument")
	}
	if callback.IsNil() {
		m.fail(c, "redis.register_function must get a callback argument")
	}
	return callback
}

func (m *machine) flags(c *lua.Call, f *Function, v lua.Value) {
	list := v.AsTable()
	if list == nil {
		m.fail(c, "flags argument to redis.register_function must be a table representing function flags")
	}
	for i := 1; ; i++ {
		v := list.GetInt(i)
		if v.IsNil() {
			return
		}
		flag, ok := parseFlag(textOf(v))
		if !ok {
			m.fail(c, "unknown flag given")
		}
		f.Flags |= flag
	}
}
