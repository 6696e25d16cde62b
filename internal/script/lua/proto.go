package lua

// Proto is a compiled function. It does not change.
type Proto struct {
	chunk    string
	code     []instr
	lines    []int32
	consts   []Value
	protos   []*Proto
	captures []capture
	params   int
	vararg   bool
	regs     int
	line     int
	notes    map[int32]note
}

// capture says where a closure's upvalue comes from when it is made: a register of the
// function around it, or one of its upvalues.
type capture struct {
	local bool
	at    int
}

// note names the operands of an instruction for messages: "local 'x'".
type note struct{ names [2]string }

// instr is an instruction. Operands b and c are registers, or constants if negative: -1 is
// the first one.
type instr struct {
	op opcode
	a  uint8
	b  int16
	c  int32
}

type opcode uint8

const (
	opMove    opcode = iota // R(a) = R(b)
	opLoad                  // R(a) = K(c)
	opNil                   // R(a..a+b) = nil
	opBool                  // R(a) = b != 0; skip an instruction if c != 0
	opUpvalue               // R(a) = U(b)
	opSetUp                 // U(b) = R(a)
	opGlobal                // R(a) = G[K(c)]
	opSetGlob               // G[K(c)] = RK(b)
	opField                 // R(a) = R(b)[K(c)], a string
	opIndex                 // R(a) = R(b)[RK(c)]
	opSet                   // R(a)[RK(b)] = RK(c)
	opSelf                  // R(a+1) = R(b); R(a) = R(b)[K(c)]
	opTable                 // R(a) = {} with room for b elements and c fields
	opAdd                   // R(a) = RK(b) + RK(c), and so on
	opSub
	opMul
	opDiv
	opMod
	opPow
	opNeg
	opNot
	opLen
	opConcat   // R(a) = R(b) .. … .. R(c)
	opJump     // to c
	opIf       // to c if R(a)
	opIfNot    // to c if not R(a)
	opEq       // go on with the next instruction, a jump, if (RK(b) == RK(c)) == a; otherwise behind it
	opLt       //
	opLe       //
	opCall     // R(a), … = R(a)(R(a+1), …): b arguments, c results; -1: up to the top
	opTail     // return R(a)(…)
	opReturn   // return b values from R(a) on; -1: up to the top
	opForPrep  // R(a) -= R(a+2); to c
	opForLoop  // R(a) += R(a+2); if within R(a+1): R(a+3) = R(a), to c
	opEachLoop // R(a+3), … = R(a)(R(a+1), R(a+2)), b of them; if not nil: R(a+2) = R(a+3), to c
	opList     // R(a)[c+1…] = R(a+1), …: b of them; -1: up to the top
	opClose    // upvalues from R(a) on
	opClosure  // R(a) = function P(c)
	opVararg   // R(a), … = ..., b of them; -1: all, up to the top
)
