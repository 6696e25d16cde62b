package lua

import "math"

// metatable is a value's.
func (s *State) metatable(v Value) *Table {
	switch v.Kind() {
	case KindTable:
		return v.AsTable().meta
	case KindString:
		return s.strings
	}
	return nil
}

// metamethod is what a value's metatable has under a name.
func (s *State) metamethod(v Value, name string) Value {
	if m := s.metatable(v); m != nil {
		return m.GetString(name)
	}
	return Nil
}

// chainMetaMax is how many metatables an access follows.
const chainMetaMax = 100

// typeError says that a value is not what an operation needs. name names it, if it has one.
func (t *Thread) typeError(operation string, v Value, name string) {
	if name != "" {
		t.raise("attempt to %s %s (a %s value)", operation, name, v.Kind())
	}
	t.raise("attempt to %s a %s value", operation, v.Kind())
}

// noted names operand i of the running instruction.
func (t *Thread) noted(i int) string {
	if n := len(t.frames); n > 0 {
		f := t.frames[n-1]
		return f.fn.proto.notes[int32(f.pc-1)].names[i]
	}
	return ""
}

// index is object[key].
func (t *Thread) index(object, key Value) Value {
	for range chainMetaMax {
		var h Value
		if table := object.AsTable(); table != nil {
			v := table.Get(key)
			if !v.IsNil() || table.meta == nil {
				return v
			}
			if h = table.meta.GetString("__index"); h.IsNil() {
				return Nil
			}
		} else if h = t.s.metamethod(object, "__index"); h.IsNil() {
			t.typeError("index", object, t.noted(0))
		}
		if h.is(KindFunction) {
			return t.call1(h, object, key)
		}
		object = h
	}
	t.raise("loop in gettable")
	return Nil
}

// setIndex is object[key] = value.
func (t *Thread) setIndex(object, key, value Value) {
	for range chainMetaMax {
		var h Value
		if table := object.AsTable(); table != nil {
			if table.meta == nil {
				t.rawSet(table, key, value)
				return
			}
			if table.Readonly || !table.Get(key).IsNil() {
				t.rawSet(table, key, value)
				return
			}
			if h = table.meta.GetString("__newindex"); h.IsNil() {
				t.rawSet(table, key, value)
				return
			}
		} else if h = t.s.metamethod(object, "__newindex"); h.IsNil() {
			t.typeError("index", object, t.noted(0))
		}
		if h.is(KindFunction) {
			t.Call(h, object, key, value)
			return
		}
		object = h
	}
	t.raise("loop in settable")
}

// rawSet sets without metamethods.
func (t *Thread) rawSet(table *Table, key, value Value) {
	switch {
	case table.Readonly:
		t.raise("Attempt to modify a readonly table")
	case key.IsNil():
		t.raise("table index is nil")
	case key.isNumber() && key.num() != key.num():
		t.raise("table index is NaN")
	}
	if grown := table.Set(key, value); grown > 0 {
		t.s.Ask(grown)
	}
}

var eventTable = [...]string{opAdd: "__add", opSub: "__sub", opMul: "__mul", opDiv: "__div", opMod: "__mod", opPow: "__pow", opNeg: "__unm"}

func arithmetic(op opcode, a, b float64) float64 {
	switch op {
	case opAdd:
		return a + b
	case opSub:
		return a - b
	case opMul:
		return a * b
	case opDiv:
		return a / b
	case opMod:
		return a - math.Floor(a/b)*b
	case opPow:
		return math.Pow(a, b)
	}
	return -a
}

// arith is an operation on values that are not both numbers.
func (t *Thread) arith(op opcode, a, b Value) Value {
	x, ok := a.numeric()
	if ok {
		if y, ok := b.numeric(); ok {
			return Number(arithmetic(op, x, y))
		}
	}
	h := t.s.metamethod(a, eventTable[op])
	if h.IsNil() {
		h = t.s.metamethod(b, eventTable[op])
	}
	if h.IsNil() {
		if ok {
			t.typeError("perform arithmetic on", b, t.noted(1))
		}
		t.typeError("perform arithmetic on", a, t.noted(0))
	}
	return t.call1(h, a, b)
}

// length is #v.
func (t *Thread) length(v Value) Value {
	if table := v.AsTable(); table != nil {
		return Int(table.Len())
	}
	if v.is(KindString) {
		return Int(len(v.str()))
	}
	h := t.s.metamethod(v, "__len")
	if h.IsNil() {
		t.typeError("get length of", v, t.noted(0))
	}
	return t.call1(h, v)
}

// equal is a == b.
func (t *Thread) equal(a, b Value) bool {
	if RawEqual(a, b) {
		return true
	}
	if !a.is(KindTable) || !b.is(KindTable) {
		return false
	}
	h := t.sharedMetamethod(a, b, "__eq")
	return !h.IsNil() && t.call1(h, a, b).Truth()
}

// sharedMetamethod is a metamethod that both values have.
func (t *Thread) sharedMetamethod(a, b Value, name string) Value {
	h := t.s.metamethod(a, name)
	if h.IsNil() || !RawEqual(h, t.s.metamethod(b, name)) {
		return Nil
	}
	return h
}

// less is a < b.
func (t *Thread) less(a, b Value) bool {
	switch {
	case a.isNumber() && b.isNumber():
		return a.num() < b.num()
	case a.is(KindString) && b.is(KindString):
		return a.str() < b.str()
	}
	if h := t.ordering(a, b, "__lt"); !h.IsNil() {
		return t.call1(h, a, b).Truth()
	}
	t.incomparable(a, b)
	return false
}

// lessEqual is a <= b.
func (t *Thread) lessEqual(a, b Value) bool {
	switch {
	case a.isNumber() && b.isNumber():
		return a.num() <= b.num()
	case a.is(KindString) && b.is(KindString):
		return a.str() <= b.str()
	}
	if h := t.ordering(a, b, "__le"); !h.IsNil() {
		return t.call1(h, a, b).Truth()
	}
	if h := t.ordering(a, b, "__lt"); !h.IsNil() {
		return !t.call1(h, b, a).Truth()
	}
	t.incomparable(a, b)
	return false
}

// ordering is the metamethod of two values of one kind.
func (t *Thread) ordering(a, b Value, name string) Value {
	if a.Kind() != b.Kind() {
		return Nil
	}
	return t.sharedMetamethod(a, b, name)
}

func (t *Thread) incomparable(a, b Value) {
	if a.Kind() == b.Kind() {
		t.raise("attempt to compare two %s values", a.Kind())
	}
	t.raise("attempt to compare %s with %s", a.Kind(), b.Kind())
}

// concat joins the values in slots from..to, the last ones first.
func (t *Thread) concat(from, to int) Value {
	for last := to; ; {
		// As many as are strings or numbers, from the last one back.
		n, first := 0, last+1
		for first > from {
			v := t.stack[first-1]
			switch {
			case v.is(KindString):
				n += len(v.str())
			case v.isNumber():
				n += 24
			default:
				goto joined
			}
			first--
		}
	joined:
		if last-first >= 1 || first == last && last == from {
			t.stack[first] = t.join(first, last, n)
			last = first
		}
		if last == from {
			return t.stack[from]
		}
		a, b := t.stack[last-1], t.stack[last]
		h := t.s.metamethod(a, "__concat")
		if h.IsNil() {
			h = t.s.metamethod(b, "__concat")
		}
		if h.IsNil() {
			if _, ok := a.text(); ok {
				t.typeError("concatenate", b, t.part(last-from))
			}
			t.typeError("concatenate", a, t.part(last-1-from))
		}
		last--
		t.stack[last] = t.call1(h, a, b)
	}
}

// part names a part of the concatenation that runs.
func (t *Thread) part(i int) string {
	f := t.frames[len(t.frames)-1]
	return f.fn.proto.notes[-int32(f.pc*(regsMax+1)+i)].names[0]
}

// join makes one string of strings and numbers; n is about how long it is.
func (t *Thread) join(first, last, n int) Value {
	t.s.Ask(n)
	t.s.Spend(n / 64)
	b := make([]byte, 0, n)
	for _, v := range t.stack[first : last+1] {
		s, _ := v.text()
		b = append(b, s...)
	}
	return Bytes(b)
}
