package lua

import (
	"fmt"
	"strings"
)

// Thread is a coroutine, or the main program: a stack of values and the frames on it.
type Thread struct {
	s       *State
	stack   []Value
	frames  []*frame
	free    int // the first slot that nothing running uses
	high    int // slots above were not used since they were cleared
	top     int // behind the last of an open list of values
	open    []*upvalue
	calls   []*Call
	native  int // natives that run
	mark    uint32
	resumer *Thread
	status  status
	runs    int // how often run is running
	// What a coroutine has given with yield, and where the answer goes.
	yielding             bool
	given                []Value
	resumeAt, resumeWant int
}

// frame is a running function of a program.
type frame struct {
	fn     *Function
	base   int // its first register
	slot   int // where its results go
	pc     int
	want   int  // how many results; -1: all
	extra  int  // arguments beyond the parameters, below base
	native bool // it was called by a native: run ends with it
}

const (
	stackFirst = 128
	stackKept  = 4 << 10
	outKept    = 1 << 10
	stackMax   = 1 << 20
	framesMax  = 20_000
	nativesMax = 190
)

func (s *State) newThread() *Thread {
	return &Thread{s: s, stack: make([]Value, stackFirst)}
}

// Error is an error of a program: any value, and where it was raised.
type Error struct {
	Value  Value
	Source string // the name of the program's chunk; empty if no program was running
	Line   int
}

func (e *Error) Error() string {
	if s, ok := e.Value.text(); ok {
		return s
	}
	return fmt.Sprintf("(error object is a %s value)", e.Value.Kind())
}

// throw raises a value.
func (t *Thread) throw(v Value) {
	e := &Error{Value: v}
	if n := len(t.frames); n > 0 {
		e.Source, e.Line = t.frames[n-1].fn.proto.chunk, t.frames[n-1].line()
	}
	panic(e)
}

func (f *frame) line() int {
	if at := f.pc - 1; at >= 0 && at < len(f.fn.proto.lines) {
		return int(f.fn.proto.lines[at])
	}
	return f.fn.proto.line
}

// raise raises an error of the running function.
func (t *Thread) raise(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if n := len(t.frames); n > 0 && !t.inNative() {
		f := t.frames[n-1]
		text = fmt.Sprintf("%s:%d: %s", f.fn.proto.chunk, f.line(), text)
	}
	t.throw(String(text))
}

// inNative reports whether a native is what runs.
func (t *Thread) inNative() bool {
	return t.native > 0 && t.calls[t.native-1].frames == len(t.frames)
}

// where is the prefix that says where the function of a level runs: 1 is the one that has
// called the native.
func (c *Call) where(level int) string {
	t := c.t
	if level == 1 && c.byNative {
		return ""
	}
	if n := len(t.frames) - level; n >= 0 && n < len(t.frames) {
		f := t.frames[n]
		return fmt.Sprintf("%s:%d: ", f.fn.proto.chunk, f.line())
	}
	return ""
}

// grow makes sure that the stack has n slots.
func (t *Thread) grow(n int) {
	if n <= len(t.stack) {
		return
	}
	if n > stackMax {
		t.raise("stack overflow")
	}
	size := min(max(2*len(t.stack), n), stackMax)
	t.s.Ask((size - len(t.stack)) * valueBytes)
	stack := make([]Value, size)
	copy(stack, t.stack)
	t.stack = stack
}

// Call is a running native: its arguments and, when it ends, its results.
type Call struct {
	t        *Thread
	base, n  int
	out      []Value
	frames   int // of the thread, below it
	byNative bool
}

// State is where it runs.
func (c *Call) State() *State { return c.t.s }

// Len is the number of arguments.
func (c *Call) Len() int { return c.n }

// Arg is argument i, beginning with zero; nil if there are fewer.
func (c *Call) Arg(i int) Value {
	if i < c.n {
		return c.t.stack[c.base+i]
	}
	return Nil
}

// Push adds a result.
func (c *Call) Push(v Value) { c.out = append(c.out, v) }

// callNative runs a native on arguments that are on the stack. The results live until the
// next native of this depth runs.
func (t *Thread) callNative(fn *Function, base, n int, byNative bool) []Value {
	if t.native == len(t.calls) {
		t.calls = append(t.calls, new(Call))
	}
	c := t.calls[t.native]
	c.t, c.base, c.n, c.frames, c.byNative, c.out = t, base, n, len(t.frames), byNative, c.out[:0]
	t.native++
	free := t.free
	t.free = max(free, base+n)
	t.high = max(t.high, t.free)
	fn.native(c)
	t.free = free
	t.native--
	return c.out
}

// Call calls a function from a native, or a metamethod. The results live until the next call.
func (t *Thread) Call(fn Value, args ...Value) []Value {
	at := t.free
	t.grow(at + 1 + len(args))
	t.stack[at] = fn
	copy(t.stack[at+1:], args)
	return t.callAt(at, len(args))
}

// callAt calls what is in slot at, with n arguments behind it.
func (t *Thread) callAt(at, n int) []Value {
	s := t.s
	if s.depth++; s.depth > nativesMax {
		s.depth--
		t.raise("C stack overflow")
	}
	s.Spend(1)
	free := t.free
	t.free = at + 1 + n
	t.high = max(t.high, t.free)
	fn, n := t.callable(at, n, note{})
	var out []Value
	if fn.native != nil {
		out = t.callNative(fn, at+1, n, t.inNative())
	} else {
		t.enter(fn, at, n, -1, true)
		t.run()
		out = t.stack[at:t.top]
	}
	t.free = free
	s.depth--
	return out
}

// call1 is the first result of a call.
func (t *Thread) call1(fn Value, args ...Value) Value {
	if out := t.Call(fn, args...); len(out) > 0 {
		return out[0]
	}
	return Nil
}

// callable is the function in slot at, or what __call puts there.
func (t *Thread) callable(at, n int, name note) (*Function, int) {
	v := t.stack[at]
	if f := v.AsFunction(); f != nil {
		return f, n
	}
	f := t.s.metamethod(v, "__call").AsFunction()
	if f == nil {
		t.typeError("call", v, name.names[0])
	}
	t.grow(at + 2 + n)
	copy(t.stack[at+1:at+2+n], t.stack[at:at+1+n])
	t.stack[at] = FunctionValue(f)
	t.free = max(t.free, at+2+n)
	t.high = max(t.high, t.free)
	return f, n + 1
}

// enter makes a frame for a function of a program, whose n arguments are behind slot.
func (t *Thread) enter(fn *Function, slot, n, want int, native bool) {
	p := fn.proto
	if len(t.frames) >= framesMax {
		t.raise("stack overflow")
	}
	t.free = max(t.free, slot+1+n)
	base, extra := slot+1, 0
	if p.vararg {
		base = slot + 1 + n
	}
	t.grow(base + p.regs)
	stack := t.stack
	switch {
	case p.vararg:
		extra = max(0, n-p.params)
		for i := range p.params {
			stack[base+i] = Nil
			if i < n {
				stack[base+i] = stack[slot+1+i]
			}
		}
	default:
		for i := n; i < p.params; i++ {
			stack[base+i] = Nil
		}
	}
	*t.frame() = frame{fn: fn, base: base, slot: slot, want: want, extra: extra, native: native}
	t.free = base + p.regs
	t.high = max(t.high, t.free)
}

// frame is a new one on top of the others. Those that were used before are used again.
func (t *Thread) frame() *frame {
	n := len(t.frames)
	if n < cap(t.frames) {
		t.frames = t.frames[:n+1]
		if t.frames[n] != nil {
			return t.frames[n]
		}
	} else {
		t.frames = append(t.frames, nil)
	}
	t.s.Ask(frameBytes)
	t.frames[n] = new(frame)
	return t.frames[n]
}

// protect calls a function and catches what it raises: an *Error is answered, anything else
// goes on.
func (t *Thread) protect(call func()) (err *Error) {
	s := t.s
	frames, free, native, runs := len(t.frames), t.free, t.native, t.runs
	depth, pinned, running, held := s.depth, s.pinned, s.running, len(s.held)
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Error:
			err = r
			t.closeUpvalues(free)
			t.frames, t.free, t.native, t.runs = t.frames[:frames], free, native, runs
			clear(s.held[held:])
			s.depth, s.pinned, s.running, s.held = depth, pinned, running, s.held[:held]
		default:
			panic(r)
		}
	}()
	call()
	return nil
}

// Run calls a function as a whole program. The results live until the state's next use. The
// error is an *Error or a *Stopped.
func (s *State) Run(fn Value, args ...Value) (out []Value, err error) {
	defer func() {
		switch r := recover().(type) {
		case nil:
		case *Stopped:
			err = r
		default:
			panic(r)
		}
	}()
	if e := s.main.protect(func() { out = s.main.Call(fn, args...) }); e != nil {
		return nil, e
	}
	return out, nil
}

// Load makes a function of a compiled program.
func Load(p *Proto) Value { return FunctionValue(&Function{proto: p}) }

// Position is the chunk and the line that the innermost function of the program is at.
func (c *Call) Position() (chunk string, line int) {
	if n := len(c.t.frames); n > 0 {
		return c.t.frames[n-1].fn.proto.chunk, c.t.frames[n-1].line()
	}
	return "", 0
}

// Throw raises a value.
func (c *Call) Throw(v Value) { c.t.throw(v) }

// Raise raises an error with a text, which says where the caller is.
func (c *Call) Raise(format string, args ...any) {
	c.t.throw(String(c.where(1) + fmt.Sprintf(format, args...)))
}

// calledAs is how the caller names the native, and whether it is a method.
func (c *Call) calledAs() (name string, method bool) {
	n := len(c.t.frames)
	if c.byNative || n == 0 {
		return "?", false
	}
	f := c.t.frames[n-1]
	kind, quoted, ok := strings.Cut(f.fn.proto.notes[int32(f.pc-1)].names[0], " '")
	if !ok {
		return "?", false
	}
	return strings.TrimSuffix(quoted, "'"), kind == "method"
}

// BadArgument raises an error about argument i.
func (c *Call) BadArgument(i int, format string, args ...any) {
	name, method := c.calledAs()
	what := fmt.Sprintf(format, args...)
	if method {
		if i--; i < 0 {
			c.Raise("calling '%s' on bad self (%s)", name, what)
		}
	}
	c.Raise("bad argument #%d to '%s' (%s)", i+1, name, what)
}

func (c *Call) badType(i int, want string) {
	got := "no value"
	if i < c.n {
		got = c.Arg(i).Kind().String()
	}
	c.BadArgument(i, "%s expected, got %s", want, got)
}

// Number is argument i as a number.
func (c *Call) Number(i int) float64 {
	f, ok := c.Arg(i).numeric()
	if !ok {
		c.badType(i, "number")
	}
	return f
}

// Int is argument i as a whole number.
func (c *Call) Int(i int) int { return toInt(c.Number(i)) }

// toInt is what C's conversion makes of a number.
func toInt(f float64) int {
	if f != f || f >= 1<<63 || f < -1<<63 {
		return -1 << 63
	}
	return int(f)
}

// IntOr is argument i as a whole number, or what stands for it.
func (c *Call) IntOr(i, otherwise int) int {
	if c.Arg(i).IsNil() {
		return otherwise
	}
	return c.Int(i)
}

// Text is argument i as a string; a number is one, too.
func (c *Call) Text(i int) string {
	s, ok := c.Arg(i).text()
	if !ok {
		c.badType(i, "string")
	}
	return s
}

// Table is argument i as a table.
func (c *Call) Table(i int) *Table {
	t := c.Arg(i).AsTable()
	if t == nil {
		c.badType(i, "table")
	}
	return t
}

// Function is argument i as a function.
func (c *Call) Function(i int) Value {
	v := c.Arg(i)
	if !v.is(KindFunction) {
		c.badType(i, "function")
	}
	return v
}

// Any makes sure that there is an argument i.
func (c *Call) Any(i int) Value {
	if i >= c.n {
		c.BadArgument(i, "value expected")
	}
	return c.Arg(i)
}

// closeUpvalues gives the variables in slots from level on to the closures that have
// captured them.
func (t *Thread) closeUpvalues(level int) {
	for n := len(t.open); n > 0 && t.open[n-1].at >= level; n-- {
		u := t.open[n-1]
		u.value, u.thread = t.stack[u.at], nil
		t.open[n-1] = nil
		t.open = t.open[:n-1]
	}
}

// capture is the upvalue for a slot. Those that are open are sorted by slot.
func (t *Thread) capture(at int) *upvalue {
	i := len(t.open)
	for i > 0 && t.open[i-1].at > at {
		i--
	}
	if i > 0 && t.open[i-1].at == at {
		return t.open[i-1]
	}
	t.s.Ask(upvalueBytes)
	u := &upvalue{thread: t, at: at}
	t.open = append(t.open, nil)
	copy(t.open[i+1:], t.open[i:])
	t.open[i] = u
	return u
}

// Drop takes the last result back.
func (c *Call) Drop() { c.out = c.out[:len(c.out)-1] }
