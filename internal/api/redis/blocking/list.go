package blocking

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
)

// Lists are the commands on lists.
func Lists() []Command {
	const flags = command.FlagWrite | command.FlagNoScript | command.FlagBlocking
	rows := []Command{
		{Name: "blpop", Summary: "Removes and returns the first element in a list. Blocks until an element is available otherwise. " +
			"Deletes the list if the last element was popped.", Since: "2.0.0", Arity: -3, Flags: flags, Keys: command.Keys{First: 1, Last: -2, Step: 1}, Handler: blpopCommand},
		{Name: "brpop", Summary: "Removes and returns the last element in a list. Blocks until an element is available otherwise. " +
			"Deletes the list if the last element was popped.", Since: "2.0.0", Arity: -3, Flags: flags, Keys: command.Keys{First: 1, Last: -2, Step: 1}, Handler: brpopCommand},
		{Name: "blmove", Summary: "Pops an element from a list, pushes it to another list and returns it. Blocks until an element is available otherwise. " +
			"Deletes the list if the last element was moved.", Since: "6.2.0", Arity: 6, Flags: flags | command.FlagDenyOOM, Keys: command.TwoKeys, Handler: blmoveCommand},
		{Name: "brpoplpush", Summary: "Pops an element from a list, pushes it to another list and returns it. Block until an element is available otherwise. " +
			"Deletes the list if the last element was popped.", Since: "2.2.0", Arity: 4, Flags: flags | command.FlagDenyOOM, Keys: command.TwoKeys, Handler: brpoplpushCommand},
		{Name: "blmpop", Summary: "Pops the first element from one of multiple lists. Blocks until an element is available otherwise. " +
			"Deletes the list if the last element was popped.", Since: "7.0.0", Arity: -5, Flags: flags&^command.FlagNoScript | command.FlagMovableKeys,
			Keys: command.Keys{Find: command.CountedKeys(2)}, Handler: blmpopCommand},
	}
	for i := range rows {
		rows[i].Group, rows[i].Kind = command.GroupList, command.KindPaged
	}
	return rows
}

// blockPop is BLPOP and BRPOP.
func (c *Call) blockPop(from list.Side) error {
	last := len(c.Args) - 1
	timeout, err := seconds(c.Args[last])
	if err != nil {
		return err
	}
	return c.block(&wait{keys: c.Args[1:last], kind: model.TypeList, nothing: c.W.NullArray, atOnce: c.W.NullArray,
		serve: func(t kv.Txn, keys [][]byte) (bool, error) {
			key, values, err := list.MPop(t, c.DB, keys, from, 1, c.Bytes[:0])
			if err != nil || key == nil {
				return false, err
			}
			c.W.Array(2)
			c.W.Bulk(key)
			c.W.Bulk(values[0])
			return true, nil
		}}, timeout)
}

func blpopCommand(c *Call) error { return c.blockPop(list.Left) }
func brpopCommand(c *Call) error { return c.blockPop(list.Right) }

// blockMove is BLMOVE and BRPOPLPUSH.
func (c *Call) blockMove(take, put list.Side, timeoutArg []byte) error {
	timeout, err := seconds(timeoutArg)
	if err != nil {
		return err
	}
	to := c.Args[2]
	return c.block(&wait{keys: c.Args[1:2], kind: model.TypeList, nothing: c.W.NullArray, atOnce: c.W.Null,
		serve: func(t kv.Txn, keys [][]byte) (bool, error) {
			v, err := list.Move(t, c.DB, keys[0], to, take, put)
			if err != nil || v == nil {
				return false, err
			}
			c.W.Bulk(v)
			return true, nil
		}}, timeout)
}

func blmoveCommand(c *Call) error {
	take, put, err := data.Ends(c.Args[3], c.Args[4])
	if err != nil {
		return err
	}
	return c.blockMove(take, put, c.Args[5])
}

func brpoplpushCommand(c *Call) error { return c.blockMove(list.Right, list.Left, c.Args[3]) }

func blmpopCommand(c *Call) error {
	timeout, err := seconds(c.Args[1])
	if err != nil {
		return err
	}
	m, err := data.ParseMPop(c.Args[2:], "left", "right")
	if err != nil {
		return err
	}
	return c.block(&wait{keys: m.Keys, kind: model.TypeList, nothing: c.W.NullArray, atOnce: c.W.NullArray,
		serve: func(t kv.Txn, keys [][]byte) (bool, error) {
			key, values, err := list.MPop(t, c.DB, keys, list.Side(m.Last), m.Count, c.Bytes[:0])
			if err != nil || key == nil {
				return false, err
			}
			c.W.Array(2)
			c.W.Bulk(key)
			return true, c.Values(values, nil)
		}}, timeout)
}
