package lua

import (
	"fmt"
	"math"
	"unsafe"
)

// Kind is the type of a value.
type Kind uint8

// Kinds.
const (
	KindNil Kind = iota
	KindBool
	KindNumber
	KindString
	KindTable
	KindFunction
	KindThread
	KindUserdata
)

var kindTable = [...]string{"nil", "boolean", "number", "string", "table", "function", "thread", "userdata"}

func (k Kind) String() string { return kindTable[k] }

// Value is any value of the language, two words long. p is nil for nil and the two truth
// values, &number for numbers, and otherwise what the value refers to; n holds a number's
// bits, or the kind and a string's length.
type Value struct {
	p unsafe.Pointer
	n uint64
}

const (
	kindShift = 56
	lenMask   = 1<<kindShift - 1
)

// What values of some kinds point to.
var number, empty, light byte

// Constants.
var (
	Nil   = Value{}
	False = Value{n: 1}
	True  = Value{n: 2}
)

// Number is a number.
func Number(f float64) Value { return Value{unsafe.Pointer(&number), math.Float64bits(f)} }

// Int is a number that is whole.
func Int(n int) Value { return Number(float64(n)) }

// Bool is a truth value.
func Bool(b bool) Value {
	if b {
		return True
	}
	return False
}

// String is a string. It shares the memory of s.
func String(s string) Value {
	p := unsafe.Pointer(unsafe.StringData(s))
	if len(s) == 0 {
		p = unsafe.Pointer(&empty)
	}
	return Value{p, uint64(KindString)<<kindShift | uint64(len(s))}
}

// Bytes is a string that shares the memory of b: nobody may change that while the value lives.
func Bytes(b []byte) Value { return String(unsafe.String(unsafe.SliceData(b), len(b))) }

// TableValue is a table as a value.
func TableValue(t *Table) Value {
	return Value{unsafe.Pointer(t), uint64(KindTable) << kindShift}
}

// FunctionValue is a function as a value.
func FunctionValue(f *Function) Value {
	return Value{unsafe.Pointer(f), uint64(KindFunction) << kindShift}
}

func threadValue(t *Thread) Value {
	return Value{unsafe.Pointer(t), uint64(KindThread) << kindShift}
}

// Userdata is a value of which a program knows only whether it is the same.
func Userdata(id uint32) Value {
	return Value{unsafe.Pointer(&light), uint64(KindUserdata)<<kindShift | uint64(id)}
}

// Kind is the value's type.
func (v Value) Kind() Kind {
	switch {
	case v.p == unsafe.Pointer(&number):
		return KindNumber
	case v.p != nil:
		return Kind(v.n >> kindShift)
	case v.n == 0:
		return KindNil
	}
	return KindBool
}

// IsNil reports whether it is nil.
func (v Value) IsNil() bool { return v == Nil }

// Truth is what conditions make of it.
func (v Value) Truth() bool { return v.p != nil || v.n > 1 }

// AsNumber is the number that it is.
func (v Value) AsNumber() (float64, bool) {
	return math.Float64frombits(v.n), v.p == unsafe.Pointer(&number)
}

func (v Value) num() float64   { return math.Float64frombits(v.n) }
func (v Value) isNumber() bool { return v.p == unsafe.Pointer(&number) }
func (v Value) is(k Kind) bool {
	return v.p != nil && v.p != unsafe.Pointer(&number) && Kind(v.n>>kindShift) == k
}

// AsString is the string that it is.
func (v Value) AsString() (string, bool) {
	if !v.is(KindString) {
		return "", false
	}
	return v.str(), true
}

func (v Value) str() string { return unsafe.String((*byte)(v.p), int(v.n&lenMask)) }

// AsTable is the table that it is, or nil.
func (v Value) AsTable() *Table {
	if !v.is(KindTable) {
		return nil
	}
	return (*Table)(v.p)
}

// AsFunction is the function that it is, or nil.
func (v Value) AsFunction() *Function {
	if !v.is(KindFunction) {
		return nil
	}
	return (*Function)(v.p)
}

func (v Value) asThread() *Thread {
	if !v.is(KindThread) {
		return nil
	}
	return (*Thread)(v.p)
}

// RawEqual is equality without metamethods.
func RawEqual(a, b Value) bool {
	switch {
	case a.isNumber():
		return b.isNumber() && a.num() == b.num()
	case a == b:
		return true
	}
	return a.n == b.n && a.is(KindString) && b.is(KindString) && a.str() == b.str()
}

// numeric is the number that arithmetic makes of a value.
func (v Value) numeric() (float64, bool) {
	if v.isNumber() {
		return v.num(), true
	}
	if v.is(KindString) {
		return ParseNumber(v.str())
	}
	return 0, false
}

// text is the string that concatenation and string functions make of a value.
func (v Value) text() (string, bool) {
	switch v.Kind() {
	case KindString:
		return v.str(), true
	case KindNumber:
		return FormatNumber(v.num()), true
	}
	return "", false
}

// display is what tostring makes of a value without metamethods.
func (v Value) display() string {
	switch v.Kind() {
	case KindNil:
		return "nil"
	case KindBool:
		if v == True {
			return "true"
		}
		return "false"
	case KindUserdata:
		return "userdata: (nil)"
	case KindTable, KindFunction, KindThread:
		return fmt.Sprintf("%s: %p", v.Kind(), v.p)
	}
	s, _ := v.text()
	return s
}

// Function is a closure of a program, or a native.
type Function struct {
	proto    *Proto
	upvalues []*upvalue
	native   Native
	mark     uint32
}

// Native is a function that is part of the process.
type Native func(c *Call)

// NewNative makes a function of a native.
func NewNative(fn Native) Value { return FunctionValue(&Function{native: fn}) }

// upvalue is a variable of an outer function: in a thread's stack while that function
// runs, and then its own.
type upvalue struct {
	thread *Thread // nil: closed
	at     int
	value  Value
	mark   uint32
}

func (u *upvalue) get() Value {
	if u.thread != nil {
		return u.thread.stack[u.at]
	}
	return u.value
}

func (u *upvalue) set(v Value) {
	if u.thread != nil {
		u.thread.stack[u.at] = v
		return
	}
	u.value = v
}
