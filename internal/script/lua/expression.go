package lua

import "fmt"

// describe names an expression for messages; empty if it has no name.
func (f *function) describe(e expr) string {
	switch e := e.(type) {
	case *nameExpr:
		switch {
		case f.find(e.name) >= 0:
			return fmt.Sprintf("local '%s'", e.name)
		case f.upvalue(e.name) >= 0:
			return fmt.Sprintf("upvalue '%s'", e.name)
		}
		return fmt.Sprintf("global '%s'", e.name)
	case *indexExpr:
		if c, ok := e.key.(*constantExpr); ok && c.value.is(KindString) {
			return fmt.Sprintf("field '%s'", c.value.str())
		}
		return "field '?'"
	case *onceExpr:
		return f.describe(e.of)
	}
	return ""
}

// list evaluates expressions to n registers from the first free one on.
func (f *function) list(values []expr, n int) {
	from := f.free
	for i, e := range values {
		missing := n - i // with this one
		switch {
		case i == len(values)-1 && missing > 1 && several(e):
			f.multi(e, missing)
			f.free = from
			f.reserve(n)
			return
		case missing < 1:
			free := f.free
			f.to(e, f.reserve(1))
			f.free = free
		default:
			f.to(e, f.reserve(1))
		}
	}
	if missing := n - len(values); missing > 0 {
		f.emit(instr{op: opNil, a: uint8(f.reserve(missing)), b: int16(missing - 1)})
	}
}

// several reports whether an expression can have more than one value.
func several(e expr) bool {
	switch e.(type) {
	case *callExpr, *varargExpr:
		return true
	}
	return false
}

// multi evaluates an expression to n values from the first free register on; -1: all.
func (f *function) multi(e expr, n int) {
	switch e := e.(type) {
	case *callExpr:
		f.call(e, f.free, n)
	case *varargExpr:
		f.line = e.line
		f.emit(instr{op: opVararg, a: uint8(f.free), b: int16(n)})
	}
	if n > 0 {
		f.reserve(n)
	}
}

// open evaluates expressions to the registers from the first free one on, and answers how
// many there are, -1 if only the top tells.
func (f *function) open(values []expr) int {
	for i, e := range values {
		if i == len(values)-1 && several(e) {
			f.multi(e, -1)
			return -1
		}
		f.to(e, f.reserve(1))
	}
	return len(values)
}

// call compiles a call with its function in register base and what follows it.
func (f *function) call(e *callExpr, base, results int) {
	f.free = base
	name := ""
	if e.method != "" {
		object := f.regAt(e.fn, base)
		f.free = base
		f.reserve(2)
		f.line = e.line
		at := f.emit(instr{op: opSelf, a: uint8(base), b: int16(object), c: int32(f.constant(String(e.method)))})
		f.note(at, f.describe(e.fn))
		name = fmt.Sprintf("method '%s'", e.method)
	} else {
		f.reserve(1)
		f.to(e.fn, base)
		name = f.describe(e.fn)
	}
	args := f.open(e.args)
	if args >= 0 && e.method != "" {
		args++
	}
	f.line = e.line
	at := f.emit(instr{op: opCall, a: uint8(base), b: int16(args), c: int32(results)})
	f.note(at, name)
	f.free = base
}

// regAt evaluates an expression to register at, which is the first free one, unless it is a
// local variable, and answers where it is.
func (f *function) regAt(e expr, at int) int {
	if n, ok := e.(*nameExpr); ok {
		if i := f.find(n.name); i >= 0 {
			return f.locals[i].reg
		}
	}
	f.to(e, f.reserve(1))
	return at
}

// reg evaluates an expression to some register.
func (f *function) reg(e expr) int { return f.regAt(e, f.free) }

// operand evaluates an expression to a register or a constant.
func (f *function) operand(e expr) int {
	if c, ok := e.(*constantExpr); ok {
		return f.constantOperand(c.value)
	}
	return f.reg(e)
}

func (f *function) constantOperand(v Value) int {
	if i := f.constant(v); i < constsMax {
		return -1 - i
	}
	return f.reg(&constantExpr{v})
}

var arithmeticTable = map[string]opcode{"+": opAdd, "-": opSub, "*": opMul, "/": opDiv, "%": opMod, "^": opPow}

// to evaluates an expression to register dst.
func (f *function) to(e expr, dst int) {
	free := f.free
	defer func() { f.free = free }()
	a := uint8(dst)
	switch e := e.(type) {
	case *constantExpr:
		switch {
		case e.value.IsNil():
			f.emit(instr{op: opNil, a: a})
		case e.value == True || e.value == False:
			f.emit(instr{op: opBool, a: a, b: int16(e.value.n - 1)})
		default:
			f.emit(instr{op: opLoad, a: a, c: int32(f.constant(e.value))})
		}
	case *varargExpr:
		f.line = e.line
		f.emit(instr{op: opVararg, a: a, b: 1})
	case *nameExpr:
		if i := f.find(e.name); i >= 0 {
			f.move(dst, f.locals[i].reg)
		} else if up := f.upvalue(e.name); up >= 0 {
			f.emit(instr{op: opUpvalue, a: a, b: int16(up)})
		} else {
			f.line = e.line
			f.emit(instr{op: opGlobal, a: a, c: int32(f.constant(String(e.name)))})
		}
	case *indexExpr:
		f.index(e, dst)
	case *callExpr:
		base := f.free
		f.call(e, base, 1)
		f.move(dst, base)
	case *functionExpr:
		f.closure(e, dst)
	case *onceExpr:
		f.to(e.of, dst)
	case *tableExpr:
		f.table(e, dst)
	case *concatExpr:
		from := f.free
		for _, p := range e.parts {
			f.to(p, f.reserve(1))
		}
		f.line = e.line
		f.emit(instr{op: opConcat, a: a, b: int16(from), c: int32(from + len(e.parts) - 1)})
		for i, p := range e.parts { // by register, below what code can have
			if name := f.describe(p); name != "" {
				f.note(-(f.here()*(regsMax+1) + i), name)
			}
		}
	case *unaryExpr:
		of := f.reg(e.of)
		f.line = e.line
		at := f.emit(instr{op: map[string]opcode{"-": opNeg, "not": opNot, "#": opLen}[e.op], a: a, b: int16(of)})
		f.note(at, f.describe(e.of))
	case *binaryExpr:
		f.binary(e, dst)
	}
}

func (f *function) index(e *indexExpr, dst int) {
	object := f.scratch(e.object, dst)
	f.line = e.line
	var at int
	if c, ok := e.key.(*constantExpr); ok && c.value.is(KindString) {
		at = f.emit(instr{op: opField, a: uint8(dst), b: int16(object), c: int32(f.constant(c.value))})
	} else {
		key := f.operand(e.key)
		f.line = e.line
		at = f.emit(instr{op: opIndex, a: uint8(dst), b: int16(object), c: int32(key)})
	}
	f.note(at, f.describe(e.object))
}

// scratch evaluates an expression to some register: to dst, if that is no local variable.
func (f *function) scratch(e expr, dst int) int {
	if n, ok := e.(*nameExpr); ok {
		if i := f.find(n.name); i >= 0 {
			return f.locals[i].reg
		}
	}
	if dst < f.lowest() {
		return f.reg(e)
	}
	f.to(e, dst)
	return dst
}

func (f *function) binary(e *binaryExpr, dst int) {
	switch e.op {
	case "and", "or":
		f.to(e.left, dst)
		op := opIfNot
		if e.op == "or" {
			op = opIf
		}
		jump := f.emit(instr{op: op, a: uint8(dst)})
		f.to(e.right, dst)
		f.patch([]int{jump}, f.here())
	case "+", "-", "*", "/", "%", "^":
		var left int
		if c, ok := e.left.(*constantExpr); ok {
			left = f.constantOperand(c.value)
		} else {
			left = f.scratch(e.left, dst)
		}
		right := f.operand(e.right)
		f.line = e.line
		at := f.emit(instr{op: arithmeticTable[e.op], a: uint8(dst), b: int16(left), c: int32(right)})
		f.note(at, f.operandName(e.left), f.operandName(e.right))
	default:
		yes := f.condition(e, true)
		f.emit(instr{op: opBool, a: uint8(dst), c: 1})
		f.patch(yes, f.here())
		f.emit(instr{op: opBool, a: uint8(dst), b: 1})
	}
}

func (f *function) operandName(e expr) string {
	if _, ok := e.(*constantExpr); ok {
		return ""
	}
	return f.describe(e)
}

// condition jumps if the truth of an expression is what, and goes on otherwise. It answers
// the jumps.
func (f *function) condition(e expr, what bool) []int {
	free := f.free
	defer func() { f.free = free }()
	switch e := e.(type) {
	case *constantExpr:
		if e.value.Truth() == what {
			return []int{f.emit(instr{op: opJump})}
		}
		return nil
	case *onceExpr:
		if !several(e.of) {
			return f.condition(e.of, what)
		}
	case *unaryExpr:
		if e.op == "not" {
			return f.condition(e.of, !what)
		}
	case *binaryExpr:
		if e.op == "and" || e.op == "or" {
			if (e.op == "or") == what { // either one decides
				return append(f.condition(e.left, what), f.condition(e.right, what)...)
			}
			skip := f.condition(e.left, !what)
			jumps := f.condition(e.right, what)
			f.patch(skip, f.here())
			return jumps
		}
		if _, arithmetic := arithmeticTable[e.op]; !arithmetic {
			return f.compare(e, what)
		}
	}
	op := opIf
	if !what {
		op = opIfNot
	}
	return []int{f.emit(instr{op: op, a: uint8(f.reg(e))})}
}

func (f *function) compare(e *binaryExpr, what bool) []int {
	left := f.operand(e.left)
	right := f.operand(e.right)
	op := opEq
	switch e.op {
	case "~=":
		what = !what
	case "<":
		op = opLt
	case ">":
		op, left, right = opLt, right, left
	case "<=":
		op = opLe
	case ">=":
		op, left, right = opLe, right, left
	}
	a := uint8(0)
	if what {
		a = 1
	}
	f.line = e.line
	f.emit(instr{op: op, a: a, b: int16(left), c: int32(right)})
	return []int{f.emit(instr{op: opJump})}
}

func (f *function) closure(e *functionExpr, dst int) {
	inner := &function{outer: f, proto: &Proto{chunk: f.proto.chunk}, strings: map[string]int{}, others: map[Value]int{}}
	inner.body(e)
	f.proto.protos = append(f.proto.protos, inner.proto)
	f.emit(instr{op: opClosure, a: uint8(dst), c: int32(len(f.proto.protos) - 1)})
}

func (f *function) table(e *tableExpr, dst int) {
	reg := f.reserve(1) // the elements follow it
	at := f.emit(instr{op: opTable, a: uint8(reg)})
	list, fields, pending := 0, 0, 0
	flush := func(n int) {
		f.emit(instr{op: opList, a: uint8(reg), b: int16(n), c: int32(list)})
		list, pending, f.free = list+pending, 0, reg+1
	}
	for i, x := range e.fields {
		if x.key != nil {
			free := f.free
			key := f.operand(x.key)
			value := f.operand(x.value)
			f.emit(instr{op: opSet, a: uint8(reg), b: int16(key), c: int32(value)})
			f.free = free
			fields++
			continue
		}
		if i == len(e.fields)-1 && several(x.value) {
			f.multi(x.value, -1)
			flush(-1)
			break
		}
		f.to(x.value, f.reserve(1))
		if pending++; pending == elements {
			flush(pending)
		}
	}
	if pending > 0 {
		flush(pending)
	}
	f.proto.code[at].b, f.proto.code[at].c = int16(hint(list)), int32(hint(fields))
	f.move(dst, reg)
}
