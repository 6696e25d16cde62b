package lua

// constant operands are negative.
func operand(r, k []Value, i int) Value {
	if i >= 0 {
		return r[i]
	}
	return k[-1-i]
}

// run executes the innermost frame, and those that it makes, until it returns. Its results
// are from its slot to the top.
func (t *Thread) run() {
	s := t.s
	var (
		f    *frame
		code []instr
		k, r []Value
		pc   int
	)
	t.runs++
	for entered := true; ; {
		if entered {
			entered = false
			f = t.frames[len(t.frames)-1]
			p := f.fn.proto
			code, k, pc = p.code, p.consts, f.pc
			r = t.stack[f.base : f.base+p.regs]
			t.free = f.base + p.regs
		}
		i := code[pc]
		pc++
		f.pc = pc
		switch i.op {
		case opMove:
			r[i.a] = r[i.b]
		case opLoad:
			r[i.a] = k[i.c]
		case opNil:
			clear(r[i.a : int(i.a)+int(i.b)+1])
		case opBool:
			r[i.a] = Bool(i.b != 0)
			pc += int(i.c)
		case opUpvalue:
			r[i.a] = f.fn.upvalues[i.b].get()
		case opSetUp:
			f.fn.upvalues[i.b].set(r[i.a])
		case opGlobal:
			v := s.Globals.getString(k[i.c])
			if v.IsNil() {
				v = t.index(TableValue(s.Globals), k[i.c])
				r = t.stack[f.base : f.base+len(r)]
			}
			r[i.a] = v
		case opSetGlob:
			t.setIndex(TableValue(s.Globals), k[i.c], r[i.b])
			r = t.stack[f.base : f.base+len(r)]
		case opField:
			if table := r[i.b].AsTable(); table != nil {
				if v := table.getString(k[i.c]); !v.IsNil() || table.meta == nil {
					r[i.a] = v
					continue
				}
			}
			v := t.index(r[i.b], k[i.c])
			r = t.stack[f.base : f.base+len(r)]
			r[i.a] = v
		case opIndex:
			key := operand(r, k, int(i.c))
			if table := r[i.b].AsTable(); table != nil {
				if v := table.Get(key); !v.IsNil() || table.meta == nil {
					r[i.a] = v
					continue
				}
			}
			v := t.index(r[i.b], key)
			r = t.stack[f.base : f.base+len(r)]
			r[i.a] = v
		case opSet:
			t.setIndex(r[i.a], operand(r, k, int(i.b)), operand(r, k, int(i.c)))
			r = t.stack[f.base : f.base+len(r)]
		case opSelf:
			object := r[i.b]
			v := t.index(object, k[i.c])
			r = t.stack[f.base : f.base+len(r)]
			r[i.a+1], r[i.a] = object, v
		case opTable:
			r[i.a] = TableValue(s.NewTable(int(i.b), int(i.c)))
		case opAdd, opSub, opMul, opDiv, opMod, opPow:
			a, b := operand(r, k, int(i.b)), operand(r, k, int(i.c))
			if a.isNumber() && b.isNumber() {
				switch i.op {
				case opAdd:
					r[i.a] = Number(a.num() + b.num())
				case opSub:
					r[i.a] = Number(a.num() - b.num())
				default:
					r[i.a] = Number(arithmetic(i.op, a.num(), b.num()))
				}
				continue
			}
			v := t.arith(i.op, a, b)
			r = t.stack[f.base : f.base+len(r)]
			r[i.a] = v
		case opNeg:
			if a := r[i.b]; a.isNumber() {
				r[i.a] = Number(-a.num())
				continue
			}
			v := t.arith(opNeg, r[i.b], r[i.b])
			r = t.stack[f.base : f.base+len(r)]
			r[i.a] = v
		case opNot:
			r[i.a] = Bool(!r[i.b].Truth())
		case opLen:
			v := t.length(r[i.b])
			r = t.stack[f.base : f.base+len(r)]
			r[i.a] = v
		case opConcat:
			v := t.concat(f.base+int(i.b), f.base+int(i.c))
			r = t.stack[f.base : f.base+len(r)]
			r[i.a] = v
		case opJump:
			if int(i.c) < pc {
				if s.steps--; s.steps < 0 {
					s.refill()
				}
			}
			pc = int(i.c)
		case opIf:
			if r[i.a].Truth() {
				pc = int(i.c)
			}
		case opIfNot:
			if !r[i.a].Truth() {
				pc = int(i.c)
			}
		case opEq, opLt, opLe:
			a, b := operand(r, k, int(i.b)), operand(r, k, int(i.c))
			var is bool
			switch i.op {
			case opEq:
				is = t.equal(a, b)
			case opLt:
				is = t.less(a, b)
			default:
				is = t.lessEqual(a, b)
			}
			r = t.stack[f.base : f.base+len(r)]
			if is != (i.a != 0) {
				pc++
				continue
			}
			to := int(code[pc].c)
			if to < pc {
				if s.steps--; s.steps < 0 {
					s.refill()
				}
			}
			pc = to
		case opCall:
			if s.steps--; s.steps < 0 {
				s.refill()
			}
			if entered = t.callFrom(f, i); entered {
				continue
			}
			if t.yielding {
				t.runs--
				return
			}
			r = t.stack[f.base : f.base+len(r)]
		case opTail:
			if s.steps--; s.steps < 0 {
				s.refill()
			}
			if entered = t.tailCall(f, i); entered {
				continue
			}
			if t.yielding {
				t.runs--
				return
			}
			r = t.stack[f.base : f.base+len(r)]
		case opReturn:
			if t.leave(f, i) {
				t.runs--
				return
			}
			entered = true
		case opForPrep:
			t.prepareFor(r[i.a : i.a+3])
			pc = int(i.c)
		case opForLoop:
			step := r[i.a+2].num()
			at := r[i.a].num() + step
			if limit := r[i.a+1].num(); step > 0 && at <= limit || step <= 0 && limit <= at {
				if s.steps--; s.steps < 0 {
					s.refill()
				}
				r[i.a], r[i.a+3] = Number(at), Number(at)
				pc = int(i.c)
			}
		case opEachLoop:
			if s.steps--; s.steps < 0 {
				s.refill()
			}
			more := t.eachLoop(f.base+int(i.a), int(i.b))
			r = t.stack[f.base : f.base+len(r)]
			if more {
				pc = int(i.c)
			}
		case opList:
			n := int(i.b)
			if n < 0 {
				n = t.top - (f.base + int(i.a) + 1)
			}
			t.free = max(t.free, f.base+int(i.a)+1+n)
			t.setList(r[i.a].AsTable(), f.base+int(i.a)+1, n, int(i.c))
			t.free = f.base + len(r)
		case opClose:
			t.closeUpvalues(f.base + int(i.a))
		case opClosure:
			r[i.a] = t.closure(f, f.fn.proto.protos[i.c])
		case opVararg:
			n := int(i.b)
			from := f.base - f.extra
			if n < 0 {
				n = f.extra
				t.grow(f.base + int(i.a) + n)
				t.top = f.base + int(i.a) + n
				t.high = max(t.high, t.top)
				r = t.stack[f.base : f.base+len(r)]
				copy(t.stack[f.base+int(i.a):t.top], t.stack[from:f.base])
				continue
			}
			for j := range n {
				if j < f.extra {
					r[int(i.a)+j] = t.stack[from+j]
				} else {
					r[int(i.a)+j] = Nil
				}
			}
		}
	}
}

// callFrom calls R(a). It reports whether a frame was made; the results of a native are in
// place.
func (t *Thread) callFrom(f *frame, i instr) (entered bool) {
	at := f.base + int(i.a)
	n := int(i.b)
	if n < 0 {
		n = t.top - at - 1
	}
	free := t.free
	t.free = max(free, at+1+n)
	fn := t.stack[at].AsFunction()
	if fn == nil {
		fn, n = t.callable(at, n, f.fn.proto.notes[int32(f.pc-1)])
	}
	if fn.native == nil {
		t.enter(fn, at, n, int(i.c), false)
		return true
	}
	out := t.callNative(fn, at+1, n, false)
	t.free = free
	if t.yielding {
		t.resumeAt, t.resumeWant = at, int(i.c)
		return false
	}
	t.place(out, at, int(i.c))
	return false
}

// place puts results into slots from at on: want of them, or all.
func (t *Thread) place(out []Value, at, want int) {
	if want < 0 {
		t.grow(at + len(out))
		copy(t.stack[at:], out)
		t.top = at + len(out)
		t.high = max(t.high, t.top)
		return
	}
	n := copy(t.stack[at:at+want], out)
	clear(t.stack[at+n : at+want])
}

// tailCall makes the call of R(a) in place of the frame. A native's results are left for
// the return that follows.
func (t *Thread) tailCall(f *frame, i instr) (entered bool) {
	at := f.base + int(i.a)
	n := int(i.b)
	if n < 0 {
		n = t.top - at - 1
	}
	free := t.free
	t.free = max(free, at+1+n)
	fn := t.stack[at].AsFunction()
	if fn == nil {
		fn, n = t.callable(at, n, f.fn.proto.notes[int32(f.pc-1)])
	}
	if fn.native != nil {
		out := t.callNative(fn, at+1, n, false)
		t.free = free
		if t.yielding {
			t.resumeAt, t.resumeWant = at, -1
			return false
		}
		t.place(out, at, -1)
		return false
	}
	t.closeUpvalues(f.base)
	slot, want, native := f.slot, f.want, f.native
	copy(t.stack[slot:], t.stack[at:at+1+n])
	t.frames = t.frames[:len(t.frames)-1]
	t.enter(fn, slot, n, want, native)
	return true
}

// leave ends the frame and puts its results where they are wanted. It reports whether a
// native waits for them.
func (t *Thread) leave(f *frame, i instr) (native bool) {
	from := f.base + int(i.a)
	n := int(i.b)
	if n < 0 {
		n = t.top - from
	}
	if len(t.open) > 0 {
		t.closeUpvalues(f.base - f.extra)
	}
	slot, want, native := f.slot, f.want, f.native
	t.frames = t.frames[:len(t.frames)-1]
	if want < 0 {
		copy(t.stack[slot:], t.stack[from:from+n])
		t.top = slot + n
		return native
	}
	n = copy(t.stack[slot:slot+want], t.stack[from:from+n])
	clear(t.stack[slot+n : slot+want])
	return native
}

func (t *Thread) prepareFor(r []Value) {
	for i, what := range [...]string{"initial", "limit", "step"} {
		f, ok := r[i].numeric()
		if !ok {
			if i == 0 {
				t.raise("'for' initial value must be a number")
			}
			t.raise("'for' %s must be a number", what)
		}
		r[i] = Number(f)
	}
	r[0] = Number(r[0].num() - r[2].num())
}

// eachLoop calls the iterator in slot at for the next values of a loop.
func (t *Thread) eachLoop(at, n int) (more bool) {
	t.grow(at + 6)
	copy(t.stack[at+3:at+6], t.stack[at:at+3])
	var out []Value
	if fn := t.stack[at].AsFunction(); fn != nil && fn.native != nil {
		t.runs++ // it cannot yield
		out = t.callNative(fn, at+4, 2, false)
		t.runs--
	} else {
		free := t.free
		t.free = max(free, at+6)
		out = t.callAt(at+3, 2)
		t.free = free
	}
	t.place(out, at+3, n)
	if t.stack[at+3].IsNil() {
		return false
	}
	t.stack[at+2] = t.stack[at+3]
	return true
}

// setList puts n values from slot at on behind the first c elements.
func (t *Thread) setList(table *Table, at, n, c int) {
	if more := c + n - cap(table.array); more > 0 && n > 0 {
		t.s.Ask(more * valueBytes)
		grown := make([]Value, len(table.array), c+n)
		copy(grown, table.array)
		table.array = grown
	}
	for j := range n {
		v := t.stack[at+j]
		if len(table.array) == c+j && cap(table.array) > c+j { // holes stay in the array
			table.array = append(table.array, v)
			continue
		}
		table.Set(Int(c+j+1), v)
	}
}

// closure makes a function with what it captures.
func (t *Thread) closure(f *frame, p *Proto) Value {
	t.s.Ask(functionBytes + 8*len(p.captures))
	fn := &Function{proto: p}
	if len(p.captures) > 0 {
		fn.upvalues = make([]*upvalue, len(p.captures))
		for j, c := range p.captures {
			if c.local {
				fn.upvalues[j] = t.capture(f.base + c.at)
			} else {
				fn.upvalues[j] = f.fn.upvalues[c.at]
			}
		}
	}
	return FunctionValue(fn)
}
