package lua

import (
	"fmt"
	"math"
)

const (
	localsMax   = 200
	upvaluesMax = 60
	regsMax     = 250
	constsMax   = 1 << 15 // those that an operand can name
)

// Compile makes a function of a program. chunk is its name in messages.
func Compile(src, chunk string) (p *Proto, err error) {
	tree, err := parse(src, chunk)
	if err != nil {
		return nil, err
	}
	f := &function{proto: &Proto{chunk: chunk, vararg: true}, strings: map[string]int{}, others: map[Value]int{}}
	defer func() {
		switch r := recover().(type) {
		case nil:
		case SyntaxError:
			p, err = nil, r
		default:
			panic(r)
		}
	}()
	f.body(tree)
	return f.proto, err
}

// function is one that is being compiled. It panics with a SyntaxError.
type function struct {
	outer    *function
	proto    *Proto
	locals   []local
	free     int // the next free register
	upvalues []string
	strings  map[string]int
	others   map[Value]int
	loops    []*loop
	line     int
}

type local struct {
	name     string
	reg      int
	captured bool
}

// loop is one that break leaves.
type loop struct {
	locals int
	breaks []int
}

func (f *function) fail(format string, args ...any) {
	panic(SyntaxError(fmt.Sprintf("%s:%d: %s", f.proto.chunk, f.line, fmt.Sprintf(format, args...))))
}

func (f *function) emit(i instr) int {
	f.proto.code = append(f.proto.code, i)
	f.proto.lines = append(f.proto.lines, int32(f.line))
	return len(f.proto.code) - 1
}

func (f *function) here() int { return len(f.proto.code) }

// patch lets jumps go to a place.
func (f *function) patch(jumps []int, to int) {
	for _, at := range jumps {
		f.proto.code[at].c = int32(to)
	}
}

func (f *function) note(at int, names ...string) {
	var n note
	copy(n.names[:], names)
	if n == (note{}) {
		return
	}
	if f.proto.notes == nil {
		f.proto.notes = map[int32]note{}
	}
	f.proto.notes[int32(at)] = n
}

// reserve takes n registers.
func (f *function) reserve(n int) int {
	r := f.free
	f.free += n
	if f.free > regsMax {
		f.fail("function or expression too complex")
	}
	f.proto.regs = max(f.proto.regs, f.free)
	return r
}

// constant is the index of one.
func (f *function) constant(v Value) int {
	if v.is(KindString) {
		if i, ok := f.strings[v.str()]; ok {
			return i
		}
		f.strings[v.str()] = len(f.proto.consts)
	} else {
		if i, ok := f.others[v]; ok {
			return i
		}
		f.others[v] = len(f.proto.consts)
	}
	f.proto.consts = append(f.proto.consts, v)
	return len(f.proto.consts) - 1
}

// declare makes the register a local variable.
func (f *function) declare(name string, reg int) {
	if len(f.locals) >= localsMax {
		who := fmt.Sprintf("function at line %d", f.proto.line)
		if f.outer == nil {
			who = "main function"
		}
		f.fail("%s has more than %d local variables", who, localsMax)
	}
	f.locals = append(f.locals, local{name: name, reg: reg})
}

// undeclare ends the scope of the locals above n, and answers the lowest register of those
// that closures have captured, -1 if there is none.
func (f *function) undeclare(n int) (captured int) {
	captured = f.captured(n)
	if n < len(f.locals) {
		f.free = f.locals[n].reg
	}
	f.locals = f.locals[:n]
	return captured
}

func (f *function) captured(n int) int {
	for _, l := range f.locals[n:] {
		if l.captured {
			return l.reg
		}
	}
	return -1
}

// closeFrom closes the upvalues of locals that were captured.
func (f *function) closeFrom(reg int) {
	if reg >= 0 {
		f.emit(instr{op: opClose, a: uint8(reg)})
	}
}

// find is the register of a local variable, -1 if there is none.
func (f *function) find(name string) int {
	for i := len(f.locals) - 1; i >= 0; i-- {
		if f.locals[i].name == name {
			return i
		}
	}
	return -1
}

// upvalue is the index of a variable of outer functions, -1 if it is global.
func (f *function) upvalue(name string) int {
	for i, n := range f.upvalues {
		if n == name {
			return i
		}
	}
	if f.outer == nil {
		return -1
	}
	var c capture
	if i := f.outer.find(name); i >= 0 {
		f.outer.locals[i].captured = true
		c = capture{true, f.outer.locals[i].reg}
	} else if c.at = f.outer.upvalue(name); c.at < 0 {
		return -1
	}
	if len(f.upvalues) >= upvaluesMax {
		f.fail("function at line %d has more than %d upvalues", f.proto.line, upvaluesMax)
	}
	f.upvalues = append(f.upvalues, name)
	f.proto.captures = append(f.proto.captures, c)
	return len(f.upvalues) - 1
}

// body compiles a function's parameters and statements.
func (f *function) body(tree *functionExpr) {
	f.line = tree.line
	f.proto.params, f.proto.vararg, f.proto.line = len(tree.params), tree.vararg, tree.line
	for _, name := range tree.params {
		f.declare(name, f.reserve(1))
	}
	f.stmts(tree.body)
	f.line = tree.end
	f.emit(instr{op: opReturn})
	f.proto.regs = max(f.proto.regs, 2)
}

// block compiles statements with a scope of their own.
func (f *function) block(body []stmt) {
	n := len(f.locals)
	f.stmts(body)
	f.closeFrom(f.undeclare(n))
}

func (f *function) stmts(body []stmt) {
	for _, s := range body {
		f.stmt(s)
		f.free = f.lowest()
	}
}

// lowest is the first register above the locals.
func (f *function) lowest() int {
	if len(f.locals) == 0 {
		return 0
	}
	return f.locals[len(f.locals)-1].reg + 1
}

func (f *function) stmt(s stmt) {
	switch s := s.(type) {
	case *localStmt:
		f.line = s.line
		from := f.free
		f.list(s.values, len(s.names))
		for i, name := range s.names {
			f.declare(name, from+i)
		}
	case *localFunctionStmt:
		f.line = s.fn.line
		reg := f.reserve(1)
		f.declare(s.name, reg)
		f.closure(s.fn, reg)
	case *assignStmt:
		f.line = s.line
		f.assign(s)
	case *callStmt:
		f.call(s.call, f.free, 0)
	case *blockStmt:
		f.block(s.body)
	case *whileStmt:
		f.line = s.line
		start := f.here()
		exits := f.condition(s.cond, false)
		breaks := f.looped(s.body)
		f.emit(instr{op: opJump, c: int32(start)})
		f.patch(append(exits, breaks...), f.here())
	case *repeatStmt:
		f.repeat(s)
	case *ifStmt:
		f.branches(s)
	case *forStmt:
		f.count(s)
	case *eachStmt:
		f.each(s)
	case *returnStmt:
		f.line = s.line
		f.returns(s.values)
	case *breakStmt:
		f.line = s.line
		l := f.loops[len(f.loops)-1]
		f.closeFrom(f.captured(l.locals))
		l.breaks = append(l.breaks, f.emit(instr{op: opJump}))
	}
}

// looped compiles the body of a loop and answers the jumps that leave it.
func (f *function) looped(body []stmt) (breaks []int) {
	l := &loop{locals: len(f.locals)}
	f.loops = append(f.loops, l)
	f.block(body)
	f.loops = f.loops[:len(f.loops)-1]
	return l.breaks
}

func (f *function) repeat(s *repeatStmt) {
	start, n := f.here(), len(f.locals)
	l := &loop{locals: n}
	f.loops = append(f.loops, l)
	f.stmts(s.body)
	f.loops = f.loops[:len(f.loops)-1]
	done := f.condition(s.cond, true) // sees the body's locals
	captured := f.undeclare(n)
	f.closeFrom(captured)
	f.emit(instr{op: opJump, c: int32(start)})
	f.patch(done, f.here())
	f.closeFrom(captured)
	f.patch(l.breaks, f.here())
}

func (f *function) branches(s *ifStmt) {
	var ends []int
	for i, body := range s.bodies {
		if i == len(s.conds) {
			f.block(body)
			break
		}
		exits := f.condition(s.conds[i], false)
		f.block(body)
		if i < len(s.bodies)-1 {
			ends = append(ends, f.emit(instr{op: opJump}))
		}
		f.patch(exits, f.here())
	}
	f.patch(ends, f.here())
}

func (f *function) count(s *forStmt) {
	f.line = s.line
	n, base := len(f.locals), f.free
	for _, e := range []expr{s.from, s.limit, s.step} {
		if e == nil {
			e = &constantExpr{Number(1)}
		}
		f.to(e, f.reserve(1))
	}
	for range 3 {
		f.declare("(for)", base+len(f.locals)-n)
	}
	f.line = s.line
	prep := f.emit(instr{op: opForPrep, a: uint8(base)})
	body := f.here()
	breaks := f.iteration([]string{s.name}, base+3, s.body)
	f.patch([]int{prep}, f.here())
	f.line = s.line
	f.emit(instr{op: opForLoop, a: uint8(base), c: int32(body)})
	f.undeclare(n)
	f.patch(breaks, f.here())
}

// iteration compiles the body of a for loop, with its variables.
func (f *function) iteration(names []string, reg int, body []stmt) (breaks []int) {
	l := &loop{locals: len(f.locals)}
	f.loops = append(f.loops, l)
	f.reserve(len(names))
	for i, name := range names {
		f.declare(name, reg+i)
	}
	f.stmts(body)
	f.closeFrom(f.undeclare(l.locals))
	f.loops = f.loops[:len(f.loops)-1]
	return l.breaks
}

func (f *function) each(s *eachStmt) {
	f.line = s.line
	n, base := len(f.locals), f.free
	f.list(s.values, 3)
	for range 3 {
		f.declare("(for)", base+len(f.locals)-n)
	}
	f.reserve(3) // where the call of the iterator is made
	f.free -= 3
	f.line = s.line
	jump := f.emit(instr{op: opJump})
	body := f.here()
	breaks := f.iteration(s.names, base+3, s.body)
	f.patch([]int{jump}, f.here())
	f.line = s.line
	f.emit(instr{op: opEachLoop, a: uint8(base), b: int16(len(s.names)), c: int32(body)})
	f.undeclare(n)
	f.patch(breaks, f.here())
}

func (f *function) returns(values []expr) {
	if len(values) == 1 {
		switch e := values[0].(type) {
		case *callExpr:
			f.call(e, f.free, -1)
			last := &f.proto.code[f.here()-1]
			last.op = opTail
			f.emit(instr{op: opReturn, a: last.a, b: -1})
			return
		case *nameExpr:
			if i := f.find(e.name); i >= 0 {
				f.emit(instr{op: opReturn, a: uint8(f.locals[i].reg), b: 1})
				return
			}
		}
	}
	from := f.free
	n := f.open(values)
	f.emit(instr{op: opReturn, a: uint8(from), b: int16(n)})
}

// assign evaluates what is left of targets, then the values, and assigns from the last to
// the first.
func (f *function) assign(s *assignStmt) {
	if len(s.targets) == 1 && len(s.values) == 1 {
		f.assignOne(s.targets[0], s.values[0])
		return
	}
	type place struct{ object, key int }
	places := make([]place, len(s.targets))
	for i, t := range s.targets {
		if e, ok := t.(*indexExpr); ok {
			p := &places[i]
			p.object = f.reserve(1)
			f.to(e.object, p.object)
			if c, ok := e.key.(*constantExpr); ok {
				p.key = f.constantOperand(c.value)
			} else {
				p.key = f.reserve(1)
				f.to(e.key, p.key)
			}
		}
	}
	from := f.free
	f.list(s.values, len(s.targets))
	for i := len(s.targets) - 1; i >= 0; i-- {
		switch t := s.targets[i].(type) {
		case *indexExpr:
			f.line = t.line
			at := f.emit(instr{op: opSet, a: uint8(places[i].object), b: int16(places[i].key), c: int32(from + i)})
			f.note(at, f.describe(t.object))
		case *nameExpr:
			f.store(t, from+i)
		}
	}
}

func (f *function) assignOne(target, value expr) {
	switch t := target.(type) {
	case *nameExpr:
		if i := f.find(t.name); i >= 0 {
			if reg := f.locals[i].reg; f.direct(value) {
				f.to(value, reg)
			} else {
				f.move(reg, f.reg(value))
			}
			return
		}
		f.store(t, f.reg(value))
	case *indexExpr:
		object := f.reg(t.object)
		key := f.operand(t.key)
		v := f.operand(value)
		f.line = t.line
		at := f.emit(instr{op: opSet, a: uint8(object), b: int16(key), c: int32(v)})
		f.note(at, f.describe(t.object))
	}
}

// direct reports whether an expression can be evaluated to the register of a local variable:
// it is written when everything else has been read.
func (f *function) direct(e expr) bool {
	switch e := e.(type) {
	case *constantExpr, *nameExpr, *indexExpr, *functionExpr:
		return true
	case *binaryExpr:
		return e.op != "and" && e.op != "or"
	case *unaryExpr:
		return true
	case *onceExpr:
		return f.direct(e.of)
	}
	return false
}

// store puts a register's value into a variable.
func (f *function) store(t *nameExpr, reg int) {
	if i := f.find(t.name); i >= 0 {
		f.move(f.locals[i].reg, reg)
	} else if up := f.upvalue(t.name); up >= 0 {
		f.emit(instr{op: opSetUp, a: uint8(reg), b: int16(up)})
	} else {
		f.line = t.line
		f.emit(instr{op: opSetGlob, b: int16(reg), c: int32(f.constant(String(t.name)))})
	}
}

func (f *function) move(to, from int) {
	if to != from {
		f.emit(instr{op: opMove, a: uint8(to), b: int16(from)})
	}
}

// elements is how many a list sets at once.
const elements = 50

func hint(n int) int { return min(n, math.MaxInt16) }
