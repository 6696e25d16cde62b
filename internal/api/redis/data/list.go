package data

import (
	"math"

	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
)

// Lists are their commands.
func Lists() []Command {
	const (
		read  = command.FlagReadonly
		write = command.FlagWrite | command.FlagDenyOOM
	)
	rows := []Command{
		{Name: "lpush", Summary: "Prepends one or more elements to a list. Creates the key if it doesn't exist.", Since: "1.0.0",
			Arity: -3, Flags: write | command.FlagFast, Handler: lpushCommand},
		{Name: "rpush", Summary: "Appends one or more elements to a list. Creates the key if it doesn't exist.", Since: "1.0.0",
			Arity: -3, Flags: write | command.FlagFast, Handler: rpushCommand},
		{Name: "lpushx", Summary: "Prepends one or more elements to a list only when the list exists.", Since: "2.2.0",
			Arity: -3, Flags: write | command.FlagFast, Handler: lpushxCommand},
		{Name: "rpushx", Summary: "Appends an element to a list only when the list exists.", Since: "2.2.0",
			Arity: -3, Flags: write | command.FlagFast, Handler: rpushxCommand},
		{Name: "lpop", Summary: "Returns the first elements in a list after removing it. Deletes the list if the last element was popped.", Since: "1.0.0",
			Arity: -2, Flags: command.FlagWrite | command.FlagFast, Handler: lpopCommand},
		{Name: "rpop", Summary: "Returns and removes the last elements of a list. Deletes the list if the last element was popped.", Since: "1.0.0",
			Arity: -2, Flags: command.FlagWrite | command.FlagFast, Handler: rpopCommand},
		{Name: "llen", Summary: "Returns the length of a list.", Since: "1.0.0", Arity: 2, Flags: read | command.FlagFast, Handler: llenCommand},
		{Name: "lrange", Summary: "Returns a range of elements from a list.", Since: "1.0.0", Arity: 4, Flags: read, Handler: lrangeCommand},
		{Name: "lindex", Summary: "Returns an element from a list by its index.", Since: "1.0.0", Arity: 3, Flags: read, Handler: lindexCommand},
		{Name: "lset", Summary: "Sets the value of an element in a list by its index.", Since: "1.0.0", Arity: 4, Flags: write, Handler: lsetCommand},
		{Name: "linsert", Summary: "Inserts an element before or after another element in a list.", Since: "2.2.0", Arity: 5, Flags: write, Handler: linsertCommand},
		{Name: "lrem", Summary: "Removes elements from a list. Deletes the list if the last element was removed.", Since: "1.0.0",
			Arity: 4, Flags: command.FlagWrite, Handler: lremCommand},
		{Name: "ltrim", Summary: "Removes elements from both ends a list. Deletes the list if all elements were trimmed.", Since: "1.0.0",
			Arity: 4, Flags: command.FlagWrite, Handler: ltrimCommand},
		{Name: "lpos", Summary: "Returns the index of matching elements in a list.", Since: "6.0.6", Arity: -3, Flags: read, Handler: lposCommand},
		{Name: "lmove", Summary: "Returns an element after popping it from one list and pushing it to another. Deletes the list if the last element was moved.",
			Since: "6.2.0", Arity: 5, Flags: write, Keys: command.TwoKeys, Handler: lmoveCommand},
		{Name: "rpoplpush", Summary: "Returns the last element of a list after removing and pushing it to another list. Deletes the list if the last element was popped.",
			Since: "1.2.0", Arity: 3, Flags: write, Keys: command.TwoKeys, Handler: rpoplpushCommand},
		{Name: "lmpop", Summary: "Returns multiple elements from a list after removing them. Deletes the list if the last element was popped.",
			Since: "7.0.0", Arity: -4, Flags: command.FlagWrite | command.FlagMovableKeys, Keys: command.Keys{Find: command.CountedKeys(1)}, Handler: lmpopCommand},
	}
	for i := range rows {
		rows[i].Group = command.GroupList
		if rows[i].Keys.First == 0 && rows[i].Keys.Find == nil {
			rows[i].Keys = command.OneKey
		}
	}
	return rows
}

func (c *Call) push(to list.Side, existing bool) error {
	return c.Integer(list.Push(c.Txn, c.DB, c.Args[1], c.Args[2:], to, existing))
}

func lpushCommand(c *Call) error  { return c.push(list.Left, false) }
func rpushCommand(c *Call) error  { return c.push(list.Right, false) }
func lpushxCommand(c *Call) error { return c.push(list.Left, true) }
func rpushxCommand(c *Call) error { return c.push(list.Right, true) }

func lpopCommand(c *Call) error { return c.pop(list.Left) }
func rpopCommand(c *Call) error { return c.pop(list.Right) }

func (c *Call) pop(from list.Side) error {
	count, many := int64(1), len(c.Args) == 3
	if len(c.Args) > 3 {
		return c.WrongArity()
	}
	if many {
		var err error
		if count, err = command.AtLeast(c.Args[2], 0, "ERR value is out of range, must be positive"); err != nil {
			return err
		}
	}
	values, found, err := list.Pop(c.Txn, c.DB, c.Args[1], from, count, c.Bytes[:0])
	switch {
	case err != nil:
		return err
	case !found && many:
		c.W.NullArray()
		return nil
	case !found:
		c.W.Null()
		return nil
	case many:
		return c.Values(values, nil)
	}
	c.Bytes = values
	c.W.Bulk(values[0])
	return nil
}

func llenCommand(c *Call) error { return c.Integer(list.Len(c.Txn, c.DB, c.Args[1])) }

// bounds reads two indexes.
func (c *Call) bounds() (start, stop int64, err error) {
	if start, err = command.ParseInt(c.Args[2]); err == nil {
		stop, err = command.ParseInt(c.Args[3])
	}
	return start, stop, err
}

func lrangeCommand(c *Call) error {
	start, stop, err := c.bounds()
	if err != nil {
		return err
	}
	return c.Values(list.Range(c.Txn, c.DB, c.Args[1], start, stop, c.Bytes[:0]))
}

func ltrimCommand(c *Call) error {
	start, stop, err := c.bounds()
	if err != nil {
		return err
	}
	return c.OK(list.Trim(c.Txn, c.DB, c.Args[1], start, stop))
}

// listIndex reads an index; a list that is not there, or another type, is noticed first.
func (c *Call) listIndex(absent error) (int64, error) {
	i, bad := command.ParseInt(c.Args[2])
	if bad == nil {
		return i, nil
	}
	n, err := list.Len(c.Txn, c.DB, c.Args[1])
	switch {
	case err != nil:
		return 0, err
	case n == 0 && absent != nil:
		return 0, absent
	case n == 0:
		return 0, nil
	}
	return 0, bad
}

func lindexCommand(c *Call) error {
	i, err := c.listIndex(nil)
	if err != nil {
		return err
	}
	return c.Value(list.Index(c.Txn, c.DB, c.Args[1], i))
}

func lsetCommand(c *Call) error {
	i, err := c.listIndex(model.ErrNoSuchKey)
	if err != nil {
		return err
	}
	return c.OK(list.Set(c.Txn, c.DB, c.Args[1], i, c.Args[3]))
}

func linsertCommand(c *Call) error {
	after := command.Is(c.Args[2], "after")
	if !after && !command.Is(c.Args[2], "before") {
		return command.ErrSyntax
	}
	return c.Integer(list.Insert(c.Txn, c.DB, c.Args[1], after, c.Args[3], c.Args[4]))
}

func lremCommand(c *Call) error {
	count, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	if count == math.MinInt64 {
		return command.Error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
	}
	return c.Integer(list.Rem(c.Txn, c.DB, c.Args[1], count, c.Args[3]))
}

// lposOptions reads what follows the element; all tells whether COUNT was among it.
func (c *Call) lposOptions() (o list.PosOptions, all bool, err error) {
	o = list.PosOptions{Rank: 1, Count: 1}
	for i := 3; i < len(c.Args); i += 2 {
		if i+1 == len(c.Args) {
			return o, all, command.ErrSyntax
		}
		switch a, v := c.Args[i], c.Args[i+1]; {
		case command.Is(a, "rank"):
			o.Rank, err = command.ParseInt(v)
			switch {
			case err == nil && o.Rank == math.MinInt64:
				err = command.Error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
			case err == nil && o.Rank == 0:
				err = command.Error("ERR RANK can't be zero: use 1 to start from the first match, 2 from the second ... " +
					"or use negative to start from the end of the list")
			}
		case command.Is(a, "count"):
			all = true
			o.Count, err = command.AtLeast(v, 0, "ERR COUNT can't be negative")
		case command.Is(a, "maxlen"):
			o.MaxLen, err = command.AtLeast(v, 0, "ERR MAXLEN can't be negative")
		default:
			err = command.ErrSyntax
		}
		if err != nil {
			return o, all, err
		}
	}
	return o, all, nil
}

func lposCommand(c *Call) error {
	o, all, err := c.lposOptions()
	if err != nil {
		return err
	}
	c.Ints, err = list.Pos(c.Txn, c.DB, c.Args[1], c.Args[2], o, c.Ints[:0])
	switch {
	case err != nil:
		return err
	case all:
		c.W.Array(len(c.Ints))
		for _, n := range c.Ints {
			c.W.Int(n)
		}
	case len(c.Ints) == 0:
		c.W.Null()
	default:
		c.W.Int(c.Ints[0])
	}
	return nil
}

// end reads LEFT or RIGHT.
func end(arg []byte) (list.Side, error) {
	switch {
	case command.Is(arg, "left"):
		return list.Left, nil
	case command.Is(arg, "right"):
		return list.Right, nil
	}
	return list.Left, command.ErrSyntax
}

// Ends reads two words for ends of lists.
func Ends(from, to []byte) (take, put list.Side, err error) {
	if take, err = end(from); err == nil {
		put, err = end(to)
	}
	return take, put, err
}

func lmoveCommand(c *Call) error {
	take, put, err := Ends(c.Args[3], c.Args[4])
	if err != nil {
		return err
	}
	return c.Value(list.Move(c.Txn, c.DB, c.Args[1], c.Args[2], take, put))
}

func rpoplpushCommand(c *Call) error {
	return c.Value(list.Move(c.Txn, c.DB, c.Args[1], c.Args[2], list.Right, list.Left))
}

// MPop is what LMPOP, ZMPOP and their blocking kin ask for.
type MPop struct {
	Keys  [][]byte
	Last  bool // the other end than the first
	Count int64
}

// ParseMPop reads arguments from the number of keys on; first and last are the words for
// the ends.
func ParseMPop(args [][]byte, first, last string) (m MPop, err error) {
	n, err := command.AtLeast(args[0], 1, "ERR numkeys should be greater than 0")
	if err != nil {
		return m, err
	}
	if n >= int64(len(args)-1) {
		return m, command.ErrSyntax
	}
	m.Keys, args = args[1:1+n], args[1+n:]
	if m.Last = command.Is(args[0], last); !m.Last && !command.Is(args[0], first) {
		return m, command.ErrSyntax
	}
	m.Count = 1
	switch {
	case len(args) == 1:
	case len(args) == 3 && command.Is(args[1], "count"):
		m.Count, err = command.AtLeast(args[2], 1, "ERR count should be greater than 0")
	default:
		err = command.ErrSyntax
	}
	return m, err
}

func lmpopCommand(c *Call) error {
	m, err := ParseMPop(c.Args[1:], "left", "right")
	if err != nil {
		return err
	}
	key, values, err := list.MPop(c.Txn, c.DB, m.Keys, list.Side(m.Last), m.Count, c.Bytes[:0])
	switch {
	case err != nil:
		return err
	case key == nil:
		c.W.NullArray()
		return nil
	}
	c.W.Array(2)
	c.W.Bulk(key)
	return c.Values(values, nil)
}
