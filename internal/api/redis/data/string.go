package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
)

// Strings are their commands.
func Strings() []Command {
	const (
		read  = command.FlagReadonly | command.FlagFast
		write = command.FlagWrite | command.FlagDenyOOM | command.FlagFast
		slow  = command.FlagWrite | command.FlagDenyOOM
	)
	rows := []Command{
		{Name: "get", Summary: "Returns the string value of a key.", Since: "1.0.0", Arity: 2, Flags: read, Keys: command.OneKey, Handler: getCommand},
		{Name: "set", Summary: "Sets the string value of a key, ignoring its type. The key is created if it doesn't exist.", Since: "1.0.0",
			Arity: -3, Flags: slow, Keys: command.OneKey, Handler: setCommand},
		{Name: "setnx", Summary: "Set the string value of a key only when the key doesn't exist.", Since: "1.0.0", Arity: 3, Flags: write, Keys: command.OneKey, Handler: setnxCommand},
		{Name: "setex", Summary: "Sets the string value and expiration time of a key. Creates the key if it doesn't exist.", Since: "2.0.0",
			Arity: 4, Flags: slow, Keys: command.OneKey, Handler: setexCommand},
		{Name: "psetex", Summary: "Sets both string value and expiration time in milliseconds of a key. The key is created if it doesn't exist.",
			Since: "2.6.0", Arity: 4, Flags: slow, Keys: command.OneKey, Handler: psetexCommand},
		{Name: "getset", Summary: "Returns the previous string value of a key after setting it to a new value.", Since: "1.0.0",
			Arity: 3, Flags: write, Keys: command.OneKey, Handler: getsetCommand},
		{Name: "getdel", Summary: "Returns the string value of a key after deleting the key.", Since: "6.2.0",
			Arity: 2, Flags: command.FlagWrite | command.FlagFast, Keys: command.OneKey, Handler: getdelCommand},
		{Name: "getex", Summary: "Returns the string value of a key after setting its expiration time.", Since: "6.2.0",
			Arity: -2, Flags: command.FlagWrite | command.FlagFast, Keys: command.OneKey, Handler: getexCommand},
		{Name: "mget", Summary: "Atomically returns the string values of one or more keys.", Since: "1.0.0", Arity: -2, Flags: read, Keys: command.AllKeys, Handler: mgetCommand},
		{Name: "mset", Summary: "Atomically creates or modifies the string values of one or more keys.", Since: "1.0.1",
			Arity: -3, Flags: slow, Keys: command.Pairs, Handler: msetCommand},
		{Name: "msetnx", Summary: "Atomically modifies the string values of one or more keys only when all keys don't exist.", Since: "1.0.1",
			Arity: -3, Flags: slow, Keys: command.Pairs, Handler: msetnxCommand},
		{Name: "append", Summary: "Appends a string to the value of a key. Creates the key if it doesn't exist.", Since: "2.0.0",
			Arity: 3, Flags: write, Keys: command.OneKey, Handler: appendCommand},
		{Name: "strlen", Summary: "Returns the length of a string value.", Since: "2.2.0", Arity: 2, Flags: read, Keys: command.OneKey, Handler: strlenCommand},
		{Name: "getrange", Summary: "Returns a substring of the string stored at a key.", Since: "2.4.0", Arity: 4, Flags: command.FlagReadonly, Keys: command.OneKey, Handler: getrangeCommand},
		{Name: "substr", Summary: "Returns a substring from a string value.", Since: "1.0.0", Arity: 4, Flags: command.FlagReadonly, Keys: command.OneKey, Handler: getrangeCommand},
		{Name: "setrange", Summary: "Overwrites a part of a string value with another by an offset. Creates the key if it doesn't exist.",
			Since: "2.2.0", Arity: 4, Flags: slow, Keys: command.OneKey, Handler: setrangeCommand},
		{Name: "incr", Summary: "Increments the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", Since: "1.0.0",
			Arity: 2, Flags: write, Keys: command.OneKey, Handler: incrCommand},
		{Name: "decr", Summary: "Decrements the integer value of a key by one. Uses 0 as initial value if the key doesn't exist.", Since: "1.0.0",
			Arity: 2, Flags: write, Keys: command.OneKey, Handler: decrCommand},
		{Name: "incrby", Summary: "Increments the integer value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
			Since: "1.0.0", Arity: 3, Flags: write, Keys: command.OneKey, Handler: incrbyCommand},
		{Name: "decrby", Summary: "Decrements a number from the integer value of a key. Uses 0 as initial value if the key doesn't exist.",
			Since: "1.0.0", Arity: 3, Flags: write, Keys: command.OneKey, Handler: decrbyCommand},
		{Name: "incrbyfloat", Summary: "Increments the floating point value of a key by a number. Uses 0 as initial value if the key doesn't exist.",
			Since: "2.6.0", Arity: 3, Flags: write, Keys: command.OneKey, Handler: incrbyfloatCommand},
		{Name: "lcs", Summary: "Finds the longest common substring.", Since: "7.0.0", Arity: -3, Flags: command.FlagReadonly, Keys: command.TwoKeys, Handler: lcsCommand},
		{Name: "delex", Summary: "Deletes a key if its string value meets a condition.", Since: "8.4.0",
			Arity: -2, Flags: command.FlagWrite | command.FlagFast, Keys: command.OneKey, Handler: delexCommand},
	}
	for i := range rows {
		rows[i].Group = command.GroupString
	}
	return rows
}

// BulkOrNull writes a value that is nil when it is absent.
func (c *Call) BulkOrNull(v []byte) {
	if v == nil {
		c.W.Null()
		return
	}
	c.W.Bulk(v)
}

// Value finishes a handler whose result is a value or absent.
func (c *Call) Value(v []byte, err error) error {
	if err == nil {
		c.BulkOrNull(v)
	}
	return err
}

// Integer finishes a handler whose result is a number.
func (c *Call) Integer(n int64, err error) error {
	if err == nil {
		c.W.Int(n)
	}
	return err
}

// Truth finishes a handler whose result is 1 or 0.
func (c *Call) Truth(v bool, err error) error {
	n := int64(0)
	if v {
		n = 1
	}
	return c.Integer(n, err)
}

// OK finishes a handler that answers OK.
func (c *Call) OK(err error) error {
	if err == nil {
		c.W.OK()
	}
	return err
}

func getCommand(c *Call) error { return c.Value(model.Get(c.Txn, c.DB, c.Args[1])) }

// expiryWords are the options that set an expiry.
var expiryWords = [...]struct {
	word string
	kind model.ExpiryKind
}{
	{"ex", model.ExpirySeconds}, {"px", model.ExpiryMillis}, {"exat", model.ExpiryAt}, {"pxat", model.ExpiryAtMilli},
}

// expiryOption reads an option such as EX 10 at args[i]; used is how many
// arguments it takes, 0 if it is none of them.
func expiryOption(args [][]byte, i int, e *model.Expiry) (used int, err error) {
	for _, w := range expiryWords {
		if !command.Is(args[i], w.word) {
			continue
		}
		if e.Kind != model.ExpiryNone || i+1 == len(args) {
			return 0, command.ErrSyntax
		}
		e.Kind = w.kind
		e.N, err = command.ParseInt(args[i+1])
		return 2, err
	}
	return 0, nil
}

func parseSet(args [][]byte) (o model.SetOptions, err error) {
	var numberErr error
	for i := 3; i < len(args); i++ {
		a := args[i]
		condition := model.Always
		switch {
		case command.Is(a, "nx"):
			condition = model.IfAbsent
		case command.Is(a, "xx"):
			condition = model.IfPresent
		case command.Is(a, "ifeq") && i+1 < len(args):
			condition = model.IfEqual
		case command.Is(a, "ifne") && i+1 < len(args):
			condition = model.IfUnequal
		case command.Is(a, "get"):
			o.Get = true
			continue
		case command.Is(a, "keepttl") && o.Expiry.Kind == model.ExpiryNone:
			o.Expiry.Kind = model.ExpiryKeep
			continue
		default:
			used, err := expiryOption(args, i, &o.Expiry)
			if used == 0 {
				return o, command.ErrSyntax
			}
			if err != nil {
				numberErr = err // a syntax error behind it goes first
			}
			i += used - 1
			continue
		}
		if o.Condition != model.Always && o.Condition != condition {
			return o, command.ErrSyntax
		}
		o.Condition = condition
		if condition >= model.IfEqual {
			i++
			o.Compare = args[i]
		}
	}
	return o, numberErr
}

func setCommand(c *Call) error {
	var o model.SetOptions
	if len(c.Args) > 3 {
		var err error
		if o, err = parseSet(c.Args); err != nil {
			return err
		}
	}
	r, err := model.Set(c.Txn, c.DB, c.Args[1], c.Args[2], o)
	switch {
	case err != nil:
		return err
	case o.Get:
		c.BulkOrNull(r.Old)
	case r.Stored:
		c.W.OK()
	default:
		c.W.Null()
	}
	return nil
}

func setnxCommand(c *Call) error {
	return c.Truth(model.SetNX(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func (c *Call) setWithExpiry(kind model.ExpiryKind) error {
	n, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	_, err = model.Set(c.Txn, c.DB, c.Args[1], c.Args[3],
		model.SetOptions{Expiry: model.Expiry{Kind: kind, N: n}, Command: c.Name})
	return c.OK(err)
}

func setexCommand(c *Call) error  { return c.setWithExpiry(model.ExpirySeconds) }
func psetexCommand(c *Call) error { return c.setWithExpiry(model.ExpiryMillis) }

func getsetCommand(c *Call) error {
	return c.Value(model.GetSet(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func getdelCommand(c *Call) error { return c.Value(model.GetDel(c.Txn, c.DB, c.Args[1])) }

func getexCommand(c *Call) error {
	var e model.Expiry
	var numberErr error
	for i := 2; i < len(c.Args); {
		if command.Is(c.Args[i], "persist") && e.Kind == model.ExpiryNone {
			e.Kind = model.ExpiryPersist
			i++
			continue
		}
		used, err := expiryOption(c.Args, i, &e)
		if used == 0 {
			return command.ErrSyntax
		}
		if err != nil {
			numberErr = err
		}
		i += used
	}
	if numberErr != nil {
		return numberErr
	}
	return c.Value(model.GetEx(c.Txn, c.DB, c.Args[1], e))
}

func mgetCommand(c *Call) error {
	return c.Values(model.MGet(c.Txn, c.DB, c.Args[1:], c.Bytes[:0]))
}

func msetCommand(c *Call) error {
	if len(c.Args)%2 == 0 {
		return c.WrongArity()
	}
	return c.OK(model.MSet(c.Txn, c.DB, c.Args[1:]))
}

func msetnxCommand(c *Call) error {
	if len(c.Args)%2 == 0 {
		return c.WrongArity()
	}
	return c.Truth(model.MSetNX(c.Txn, c.DB, c.Args[1:]))
}

func appendCommand(c *Call) error {
	return c.Integer(model.Append(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func strlenCommand(c *Call) error { return c.Integer(model.StrLen(c.Txn, c.DB, c.Args[1])) }

func getrangeCommand(c *Call) error {
	start, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	end, err := command.ParseInt(c.Args[3])
	if err != nil {
		return err
	}
	v, err := model.GetRange(c.Txn, c.DB, c.Args[1], start, end)
	if err == nil {
		c.W.Bulk(v)
	}
	return err
}

func setrangeCommand(c *Call) error {
	offset, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	return c.Integer(model.SetRange(c.Txn, c.DB, c.Args[1], offset, c.Args[3]))
}

func incrCommand(c *Call) error { return c.Integer(model.IncrBy(c.Txn, c.DB, c.Args[1], 1)) }
func decrCommand(c *Call) error { return c.Integer(model.IncrBy(c.Txn, c.DB, c.Args[1], -1)) }

func incrbyCommand(c *Call) error {
	n, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	return c.Integer(model.IncrBy(c.Txn, c.DB, c.Args[1], n))
}

func decrbyCommand(c *Call) error {
	n, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	return c.Integer(model.DecrBy(c.Txn, c.DB, c.Args[1], n))
}

func incrbyfloatCommand(c *Call) error {
	return c.Value(model.IncrByFloat(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func lcsCommand(c *Call) error {
	o := model.LCSOptions{Sequence: true}
	lenOnly, withLen := false, false
	for i := 3; i < len(c.Args); i++ {
		switch a := c.Args[i]; {
		case command.Is(a, "idx"):
			o.Index = true
		case command.Is(a, "len"):
			lenOnly = true
		case command.Is(a, "withmatchlen"):
			withLen = true
		case command.Is(a, "minmatchlen") && i+1 < len(c.Args):
			i++
			n, err := command.ParseInt(c.Args[i])
			if err != nil {
				return err
			}
			o.MinMatchLen = max(n, 0)
		default:
			return command.ErrSyntax
		}
	}
	if lenOnly && o.Index {
		return command.Error("ERR If you want both the length and indexes, please just use IDX.")
	}
	o.Sequence = !lenOnly && !o.Index
	r, err := model.LCS(c.Txn, c.DB, c.Args[1], c.Args[2], o)
	switch {
	case err != nil:
		return err
	case o.Index:
		c.lcsMatches(r, withLen)
	case lenOnly:
		c.W.Int(r.Len)
	default:
		c.W.Bulk(r.Sequence)
	}
	return nil
}

func (c *Call) lcsMatches(r model.LCSResult, withLen bool) {
	w := c.W
	w.Map(2)
	w.BulkString("matches")
	w.Array(len(r.Matches))
	for _, m := range r.Matches {
		n := 2
		if withLen {
			n = 3
		}
		w.Array(n)
		w.Array(2)
		w.Int(m.AStart)
		w.Int(m.AEnd)
		w.Array(2)
		w.Int(m.BStart)
		w.Int(m.BEnd)
		if withLen {
			w.Int(m.Len())
		}
	}
	w.BulkString("len")
	w.Int(r.Len)
}

func delexCommand(c *Call) error {
	condition, compare := model.Always, []byte(nil)
	if len(c.Args) > 2 {
		switch {
		case len(c.Args) != 4:
			return c.WrongArity()
		case command.Is(c.Args[2], "ifeq"):
			condition = model.IfEqual
		case command.Is(c.Args[2], "ifne"):
			condition = model.IfUnequal
		default:
			return command.ErrSyntax
		}
		compare = c.Args[3]
	}
	return c.Truth(model.DelEx(c.Txn, c.DB, c.Args[1], condition, compare))
}
