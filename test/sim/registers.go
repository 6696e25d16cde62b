package sim

import (
	"fmt"
	"time"

	"github.com/anishathalye/porcupine"
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
)

const (
	registers = 3
	absent    = 0 // as a register's value
)

var registerSpan = base.Span{Start: []byte("\x04r"), End: []byte("\x04s")}

type registerKind uint8

const (
	registerGet registerKind = iota
	registerSet
	registerDelete
	registerSetNew // only where the key is absent
	registerAdd
	registerKinds
)

// registerInput is what a client asks of one register.
type registerInput struct {
	key  int
	kind registerKind
	arg  uint32
}

// registerOutput is what it was told.
type registerOutput struct {
	known bool // false: the operation happened before the crash, or never
	value uint32
	ok    bool
}

// registerOp is an operation on the registers; a range clear is one on each.
type registerOp struct {
	inputs []registerInput
	out    registerOutput
	call   int64
	ret    int64 // zero while nobody knows
}

func (s *sim) tick() int64 { s.ticks++; return s.ticks }

// register runs one operation on a register, or clears them all.
func (s *sim) register(c *client) {
	op := &registerOp{call: s.tick()}
	in := registerInput{key: s.rnd.IntN(registers), kind: registerKind(s.rnd.IntN(int(registerKinds))), arg: s.id()}
	op.inputs = []registerInput{in}
	if s.rnd.IntN(10) == 0 {
		op.inputs = op.inputs[:0]
		for k := range registers {
			op.inputs = append(op.inputs, registerInput{key: k, kind: registerDelete})
		}
	}
	t, err := c.sess.Run(kv.Func(func(t kv.Txn) error {
		op.out = registerOutput{}
		if len(op.inputs) > 1 {
			t.ClearRange(registerSpan)
			return nil
		}
		return in.run(t, &op.out)
	}))
	s.registerDone(op, t, err)
	if len(op.inputs) == 1 && in.kind == registerGet { // reads it again, in a transaction
		s.poll()
		op := &registerOp{inputs: op.inputs, call: s.tick()}
		tx := s.db.Begin()
		defer tx.Rollback()
		s.registerDone(op, base.Ticket{}, in.run(tx, &op.out)) // a snapshot shows what is committed
	}
}

// registerDone files an operation according to what it was answered.
func (s *sim) registerDone(op *registerOp, t base.Ticket, err error) {
	if err != nil && !errors.Is(err, errRefused) {
		s.failed(fmt.Sprintf("register %d", op.inputs[0].key), err)
		return
	}
	s.note("register %v sequenced at %d: %v", op.inputs, t.Pos, op.out)
	s.registerOps = append(s.registerOps, op)
	s.pending = append(s.pending, pending{register: op, ticket: t})
}

func (in registerInput) run(t kv.Txn, out *registerOutput) error {
	key := fmt.Appendf(nil, "\x04r%d", in.key)
	switch in.kind {
	case registerSet:
		t.Set(key, encode(nil, in.arg))
		return nil
	case registerAdd:
		t.Atomic(base.OpAdd, key, encode(nil, in.arg<<24)) // little-endian arithmetic on the last byte
		return nil
	}
	v, err := t.Get(key)
	if err != nil {
		return err
	}
	if v != nil {
		out.value = decode(v)[0]
	}
	switch in.kind {
	case registerDelete:
		t.Clear(key)
	case registerSetNew:
		if out.value != absent {
			return errRefused
		}
		out.ok = true
		t.Set(key, encode(nil, in.arg))
	}
	return nil
}

// after is the register's value behind an operation.
func (in registerInput) after(value uint32) uint32 {
	switch in.kind {
	case registerSet:
		return in.arg
	case registerDelete:
		return absent
	case registerSetNew:
		if value == absent {
			return in.arg
		}
	case registerAdd:
		return add(value, in.arg<<24)
	}
	return value
}

// add adds as the store does: the bytes are a little-endian number.
func add(a, b uint32) uint32 {
	return decode(base.ApplyAtomic(base.OpAdd, encode(nil, a), encode(nil, b), 1<<10))[0]
}

// answers reports whether a register that holds value may answer out.
func (in registerInput) answers(value uint32, out registerOutput) bool {
	switch in.kind {
	case registerGet:
		return out.value == value
	case registerSetNew:
		return out.ok == (value == absent)
	}
	return true
}

// registerModel is a register whose operations of unknown outcome end with the
// crash that hid it: they have happened by then, or never will.
var registerModel = porcupine.NondeterministicModel{
	Init: func() []any { return []any{uint32(absent)} },
	Step: func(state, input, output any) []any {
		value, in, out := state.(uint32), input.(registerInput), output.(registerOutput)
		switch {
		case !out.known:
			return []any{value, in.after(value)}
		case in.answers(value, out):
			return []any{in.after(value)}
		}
		return nil
	},
}

// checkRegisters checks every register's history with porcupine.
func (s *sim) checkRegisters() error {
	perKey := make([][]porcupine.Operation, registers)
	for _, op := range s.registerOps {
		for _, in := range op.inputs {
			perKey[in.key] = append(perKey[in.key], porcupine.Operation{Input: in, Output: op.out, Call: op.call, Return: op.ret})
		}
	}
	for key, ops := range perKey {
		s.res.Registers += len(ops)
		switch porcupine.CheckOperationsTimeout(registerModel.ToModel(), ops, 5*time.Minute) {
		case porcupine.Illegal:
			return errors.Newf("the operations on register %d have no order", key)
		case porcupine.Unknown:
			return errors.Newf("checking register %d takes too long", key)
		}
	}
	return nil
}
