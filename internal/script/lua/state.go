package lua

import (
	"errors"
	"unsafe"
)

// State is where programs run: their globals and their budgets. It is used by one goroutine.
type State struct {
	Globals *Table
	// Tick is asked whenever the allowance of steps is used up. It gives a new one, or the
	// error that ends the program.
	Tick func() (steps int, err error)
	// Caught makes what pcall answers of a value that was raised; nil: the value.
	Caught func(v Value) Value
	// MemoryMax is how many bytes may be alive; zero: as many as one likes.
	MemoryMax int

	steps   int
	asked   int // bytes asked for since the last measure, and alive then
	measure int // when to measure again
	pinned  int // bytes of strings that are being built
	held    []Value
	epoch   uint32
	depth   int // of natives that call back
	main    *Thread
	running *Thread
	strings *Table // metatable of strings
	seed    uint64
}

// ErrMemory ends a program that keeps too much.
var ErrMemory = errors.New("memory limit exceeded")

// measureMin is how much must have been asked for until what is alive is measured again.
const measureMin = 1 << 20

// NewState makes a state with Lua's libraries.
func NewState() *State {
	s := &State{Globals: NewTable(0, 32)}
	s.main = s.newThread()
	s.running = s.main
	s.openBase()
	s.openString()
	s.openTable()
	s.openMath()
	s.openCoroutine()
	return s
}

// Begin gives a program that follows a first allowance of steps and the whole memory.
func (s *State) Begin(steps int) {
	s.steps, s.asked, s.pinned = steps, 0, 0
	s.measure = s.MemoryMax
}

// Used is how many bytes were asked for, or alive at the last measure.
func (s *State) Used() int { return s.asked }

// End forgets what the program has left on its stack.
func (s *State) End() {
	t := s.main
	t.closeUpvalues(0)
	clear(t.stack[:min(t.high, len(t.stack))])
	if len(t.stack) > stackKept {
		t.stack = make([]Value, stackFirst)
	}
	if cap(t.frames) > framesKept {
		t.frames = nil
	}
	t.frames, t.free, t.high, t.runs, t.yielding = t.frames[:0], 0, 0, 0, false
	for i := range t.calls {
		c := t.calls[i]
		clear(c.out[:cap(c.out)])
		if cap(c.out) > outKept {
			c.out = nil
		}
	}
	t.native = 0
	clear(s.held)
	s.running, s.depth, s.pinned, s.held = t, 0, 0, s.held[:0]
}

// framesKept is how many frames a state keeps for its next program.
const framesKept = 1 << 10

// Stopped is why a program was ended, without a chance to catch it, and where it was.
type Stopped struct {
	Err    error
	Source string
	Line   int
}

func (e *Stopped) Error() string { return e.Err.Error() }

// Unwrap is the reason.
func (e *Stopped) Unwrap() error { return e.Err }

// Abort ends the program from within a native, with an error that it cannot catch.
func (s *State) Abort(err error) {
	e := &Stopped{Err: err}
	if t := s.running; len(t.frames) > 0 {
		f := t.frames[len(t.frames)-1]
		e.Source, e.Line = f.fn.proto.chunk, f.line()
	}
	panic(e)
}

// Spend counts work.
func (s *State) Spend(steps int) {
	if s.steps -= steps; s.steps < 0 {
		s.refill()
	}
}

func (s *State) refill() {
	if s.Tick == nil {
		s.steps = 1 << 30
		return
	}
	for s.steps < 0 {
		steps, err := s.Tick()
		if err != nil {
			s.Abort(err)
		}
		s.steps += steps
	}
}

// Ask counts memory that is about to be taken.
func (s *State) Ask(bytes int) {
	if s.asked += bytes; s.asked > s.measure && s.MemoryMax > 0 {
		s.remeasure(bytes)
	}
}

// remeasure finds out how much is alive, and when to do so again.
func (s *State) remeasure(wanted int) {
	if wanted > s.MemoryMax {
		s.Abort(ErrMemory)
	}
	alive := s.alive() + wanted
	if alive > s.MemoryMax {
		s.Abort(ErrMemory)
	}
	s.asked = alive
	s.measure = alive + max((s.MemoryMax-alive)/2, measureMin)
	s.Spend(alive / 256)
}

// alive is how many bytes the program can reach.
func (s *State) alive() int {
	s.epoch++
	w := walk{epoch: s.epoch}
	w.table(s.Globals)
	w.table(s.strings)
	for t := s.running; t != nil; t = t.resumer {
		w.thread(t)
	}
	w.todo = append(w.todo, &Table{mark: w.epoch, array: s.held})
	w.rest()
	return w.bytes + s.pinned
}

// Hold lets a value count as alive that a native is making, until it lets go of it. What is
// held last is let go first; an error lets go of all that its natives have held.
func (s *State) Hold(v Value) { s.held = append(s.held, v) }

// LetGo undoes the last Hold.
func (s *State) LetGo() {
	s.held[len(s.held)-1] = Nil
	s.held = s.held[:len(s.held)-1]
}

// walk visits what is alive. Tables wait to be looked into, so that it does not go deep.
type walk struct {
	epoch uint32
	bytes int
	todo  []*Table
	large map[unsafe.Pointer]struct{} // strings that may be referred to more than once
}

// rest looks into the tables that wait.
func (w *walk) rest() {
	for len(w.todo) > 0 {
		t := w.todo[len(w.todo)-1]
		w.todo = w.todo[:len(w.todo)-1]
		w.inside(t)
	}
}

// largeBytes is from how many bytes on a string is counted once.
const largeBytes = 256

func (w *walk) value(v Value) {
	switch v.Kind() {
	case KindString:
		n := len(v.str())
		if n >= largeBytes {
			if _, seen := w.large[v.p]; seen {
				return
			}
			if w.large == nil {
				w.large = map[unsafe.Pointer]struct{}{}
			}
			w.large[v.p] = struct{}{}
		}
		w.bytes += n
	case KindTable:
		w.table(v.AsTable())
	case KindFunction:
		w.function(v.AsFunction())
	case KindThread:
		w.thread(v.asThread())
	}
}

func (w *walk) table(t *Table) {
	if t == nil || t.mark == w.epoch {
		return
	}
	t.mark = w.epoch
	w.bytes += tableBytes + cap(t.array)*valueBytes + t.entryBytes()
	w.todo = append(w.todo, t)
}

func (w *walk) inside(t *Table) {
	w.table(t.meta)
	for _, v := range t.array {
		w.value(v)
	}
	for i := range t.entries {
		w.value(t.entries[i].key)
		w.value(t.entries[i].value)
	}
}

// What memory is counted.
const (
	functionBytes = 64
	upvalueBytes  = 56
	frameBytes    = 64
	threadBytes   = 256
)

// function follows upvalues as deep as closures hold closures, with a bound: what is deeper
// is put behind a table.
func (w *walk) function(f *Function) {
	if f.mark == w.epoch {
		return
	}
	f.mark = w.epoch
	w.bytes += functionBytes + len(f.upvalues)*8
	if len(f.upvalues) == 0 {
		return
	}
	held := &Table{mark: w.epoch}
	for _, u := range f.upvalues {
		if u.mark != w.epoch {
			u.mark = w.epoch
			w.bytes += upvalueBytes
			held.array = append(held.array, u.get())
		}
	}
	w.todo = append(w.todo, held)
}

func (w *walk) thread(t *Thread) {
	if t.mark == w.epoch {
		return
	}
	t.mark = w.epoch
	w.bytes += threadBytes + len(t.stack)*valueBytes + cap(t.frames)*frameBytes
	clear(t.stack[min(t.free, len(t.stack)):])
	t.high = t.free
	held := &Table{mark: w.epoch, array: t.stack[:min(t.free, len(t.stack))]}
	w.todo = append(w.todo, held)
	for i := range t.frames {
		w.function(t.frames[i].fn)
	}
	for _, c := range t.calls[:t.native] {
		w.todo = append(w.todo, &Table{mark: w.epoch, array: c.out})
	}
	for _, u := range t.open {
		u.mark = w.epoch // its value is in the stack
	}
	w.todo = append(w.todo, &Table{mark: w.epoch, array: t.given})
}

// Buffer builds a string whose bytes are counted.
type Buffer struct {
	s      *State
	B      []byte
	pinned int
}

// NewBuffer makes an empty one.
func (s *State) NewBuffer() Buffer { return Buffer{s: s} }

// Room makes sure that n bytes can be appended to B.
func (b *Buffer) Room(n int) {
	if cap(b.B)-len(b.B) >= n {
		return
	}
	size := max(2*cap(b.B), len(b.B)+n, 64)
	if most := b.s.MemoryMax; most > 0 && size > most && len(b.B)+n <= most {
		size = most
	}
	b.s.Ask(size)
	grown := make([]byte, len(b.B), size)
	copy(grown, b.B)
	b.s.pinned += size - b.pinned
	b.B, b.pinned = grown, size
}

// WriteString appends s.
func (b *Buffer) WriteString(s string) {
	b.Room(len(s))
	b.B = append(b.B, s...)
}

// WriteByte appends c.
func (b *Buffer) WriteByte(c byte) error {
	b.Room(1)
	b.B = append(b.B, c)
	return nil
}

// Value is the string. The buffer is not used any more.
func (b *Buffer) Value() Value {
	b.s.pinned -= b.pinned
	v := Bytes(b.B)
	*b = Buffer{s: b.s}
	return v
}

// NewString makes a string whose bytes are counted. It shares the memory of s.
func (s *State) NewString(text string) Value {
	s.Ask(len(text))
	return String(text)
}

// NewTable makes a table whose memory is counted.
func (s *State) NewTable(elements, fields int) *Table {
	s.Ask(tableBytes + elements*valueBytes + fields*entryBytes)
	return NewTable(elements, fields)
}
