package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/model/redis/bitmap"
	"github.com/stratadb/strata/internal/redisnum"
)

// Bitmaps are their commands.
func Bitmaps() []Command {
	const write = command.FlagWrite | command.FlagDenyOOM
	rows := []Command{
		{Name: "setbit", Summary: "Sets or clears the bit at offset of the string value. Creates the key if it doesn't exist.", Since: "2.2.0", Arity: 4,
			Flags: write, Keys: command.OneKey, Handler: setbitCommand},
		{Name: "getbit", Summary: "Returns a bit value by offset.", Since: "2.2.0", Arity: 3, Flags: command.FlagReadonly | command.FlagFast, Keys: command.OneKey, Handler: getbitCommand},
		{Name: "bitcount", Summary: "Counts the number of set bits (population counting) in a string.", Since: "2.6.0", Arity: -2, Flags: command.FlagReadonly,
			Keys: command.OneKey, Handler: bitcountCommand},
		{Name: "bitpos", Summary: "Finds the first set (1) or clear (0) bit in a string.", Since: "2.8.7", Arity: -3, Flags: command.FlagReadonly, Keys: command.OneKey, Handler: bitposCommand},
		{Name: "bitop", Summary: "Performs bitwise operations on multiple strings, and stores the result.", Since: "2.6.0", Arity: -4, Flags: write,
			Keys: command.Keys{First: 2, Last: -1, Step: 1}, Handler: bitopCommand},
		{Name: "bitfield", Summary: "Performs arbitrary bitfield integer operations on strings.", Since: "3.2.0", Arity: -2, Flags: write, Keys: command.OneKey, Handler: bitfieldCommand},
		{Name: "bitfield_ro", Summary: "Performs arbitrary read-only bitfield integer operations on strings.", Since: "6.0.0", Arity: -2,
			Flags: command.FlagReadonly | command.FlagFast, Keys: command.OneKey, Handler: bitfieldCommand},
	}
	for i := range rows {
		rows[i].Group = command.GroupBitmap
	}
	return rows
}

const (
	errBitOffset command.Error = "ERR bit offset is not an integer or out of range"
	errBit       command.Error = "ERR bit is not an integer or out of range"
)

// bitOffset reads where a bit is. In a field of width bits it may be a multiple: #2.
func bitOffset(arg []byte, width int64) (int64, error) {
	scale := int64(1)
	if width > 0 && len(arg) > 0 && arg[0] == '#' {
		arg, scale = arg[1:], width
	}
	n, ok := redisnum.ParseInt(arg)
	if !ok || n < 0 || n > limits.RESPBulkBytes*8/scale || n*scale>>3 >= limits.RESPBulkBytes {
		return 0, errBitOffset
	}
	return n * scale, nil
}

func setbitCommand(c *Call) error {
	offset, err := bitOffset(c.Args[2], 0)
	if err != nil {
		return err
	}
	n, ok := redisnum.ParseInt(c.Args[3])
	if !ok || n != 0 && n != 1 {
		return errBit
	}
	return c.Truth(bitmap.SetBit(c.Txn, c.DB, c.Args[1], offset, n == 1))
}

func getbitCommand(c *Call) error {
	offset, err := bitOffset(c.Args[2], 0)
	if err != nil {
		return err
	}
	return c.Truth(bitmap.GetBit(c.Txn, c.DB, c.Args[1], offset))
}

// bitRange reads START [END [BYTE | BIT]].
func bitRange(args [][]byte) (r bitmap.Range, err error) {
	if len(args) == 0 {
		return bitmap.Whole, nil
	}
	if r.Start, err = command.ParseInt(args[0]); err != nil {
		return r, err
	}
	switch {
	case len(args) > 3:
		return r, command.ErrSyntax
	case len(args) == 1:
		r.Open = true
		return r, nil
	case len(args) == 3:
		if r.Bits = command.Is(args[2], "bit"); !r.Bits && !command.Is(args[2], "byte") {
			return r, command.ErrSyntax
		}
	}
	r.End, err = command.ParseInt(args[1])
	return r, err
}

func bitcountCommand(c *Call) error {
	args := c.Args[2:]
	if len(args) == 1 || len(args) > 3 {
		return command.ErrSyntax
	}
	r, err := bitRange(args)
	if err == command.ErrSyntax && len(args) == 3 { // the numbers are read first
		_, err = command.ParseInt(args[1])
		if err == nil {
			err = command.ErrSyntax
		}
	}
	if err != nil {
		return err
	}
	return c.Integer(bitmap.Count(c.Txn, c.DB, c.Args[1], r))
}

func bitposCommand(c *Call) error {
	bit, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	if bit != 0 && bit != 1 {
		return command.Error("ERR The bit argument must be 1 or 0.")
	}
	if len(c.Args) > 6 {
		return command.ErrSyntax
	}
	r, err := bitRange(c.Args[3:])
	if err != nil {
		return err
	}
	return c.Integer(bitmap.Pos(c.Txn, c.DB, c.Args[1], bit == 1, r))
}

func bitopCommand(c *Call) error {
	var op bitmap.Operation
	switch word := c.Args[1]; {
	case command.Is(word, "and"):
		op = bitmap.And
	case command.Is(word, "or"):
		op = bitmap.Or
	case command.Is(word, "xor"):
		op = bitmap.Xor
	case command.Is(word, "not"):
		op = bitmap.Not
	default:
		return command.ErrSyntax
	}
	if op == bitmap.Not && len(c.Args) != 4 {
		return command.Error("ERR BITOP NOT must be called with a single source key.")
	}
	return c.Integer(bitmap.Op(c.Txn, c.DB, op, c.Args[2], c.Args[3:]))
}

// fieldType reads u8, i16 and the like.
func fieldType(arg []byte) (f bitmap.FieldType, err error) {
	const refusal command.Error = "ERR Invalid bitfield type. Use something like i16 u8. Note that u64 is not supported but i64 is."
	if len(arg) == 0 || arg[0] != 'i' && arg[0] != 'u' {
		return f, refusal
	}
	f.Signed = arg[0] == 'i'
	most := int64(63)
	if f.Signed {
		most = 64
	}
	n, ok := redisnum.ParseInt(arg[1:])
	if !ok || n < 1 || n > most {
		return f, refusal
	}
	f.Bits = uint8(n)
	return f, nil
}

// fieldActions are what BITFIELD does, with the number of their arguments.
var fieldActions = [...]struct {
	word   string
	action bitmap.Action
	args   int
}{{"get", bitmap.FieldGet, 2}, {"set", bitmap.FieldSet, 3}, {"incrby", bitmap.FieldIncr, 3}}

// fieldOp reads one operation; used is how many arguments it takes.
func fieldOp(args [][]byte) (o bitmap.FieldOp, used int, err error) {
	for _, a := range fieldActions {
		if command.Is(args[0], a.word) && len(args) > a.args {
			o.Action, used = a.action, a.args+1
			break
		}
	}
	if used == 0 {
		return o, 0, command.ErrSyntax
	}
	if o.Type, err = fieldType(args[1]); err != nil {
		return o, 0, err
	}
	if o.Offset, err = bitOffset(args[2], int64(o.Type.Bits)); err != nil {
		return o, 0, err
	}
	if o.Action != bitmap.FieldGet {
		o.Value, err = command.ParseInt(args[3])
	}
	return o, used, err
}

func fieldOverflow(arg []byte) (bitmap.Overflow, error) {
	switch {
	case command.Is(arg, "wrap"):
		return bitmap.Wrap, nil
	case command.Is(arg, "sat"):
		return bitmap.Saturate, nil
	case command.Is(arg, "fail"):
		return bitmap.Fail, nil
	}
	return 0, command.Error("ERR Invalid OVERFLOW type specified")
}

func bitfieldCommand(c *Call) error {
	var ops []bitmap.FieldOp
	overflow, reads := bitmap.Wrap, true
	for args := c.Args[2:]; len(args) > 0; {
		if command.Is(args[0], "overflow") && len(args) > 1 {
			var err error
			if overflow, err = fieldOverflow(args[1]); err != nil {
				return err
			}
			args = args[2:]
			continue
		}
		o, used, err := fieldOp(args)
		if err != nil {
			return err
		}
		o.Overflow = overflow
		reads = reads && o.Action == bitmap.FieldGet
		ops, args = append(ops, o), args[used:]
	}
	if !reads && c.Name == "bitfield_ro" {
		return command.Error("ERR BITFIELD_RO only supports the GET subcommand")
	}
	results, err := bitmap.Field(c.Txn, c.DB, c.Args[1], ops, nil)
	if err != nil {
		return err
	}
	c.W.Array(len(results))
	for _, r := range results {
		if r.Failed {
			c.W.Null()
			continue
		}
		c.W.Int(r.Value)
	}
	return nil
}
