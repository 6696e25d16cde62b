package blocking

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/api/redis/data"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/zset"
)

// SortedSets are the commands on sorted sets.
func SortedSets() []Command {
	const flags = command.FlagWrite | command.FlagBlocking
	but := command.Keys{First: 1, Last: -2, Step: 1}
	rows := []Command{
		{Name: "bzpopmin", Summary: "Removes and returns the member with the lowest score from one or more sorted sets. Blocks until a member is available otherwise. " +
			"Deletes the sorted set if the last element was popped.", Since: "5.0.0", Arity: -3, Flags: flags | command.FlagNoScript | command.FlagFast, Keys: but, Handler: bzpopminCommand},
		{Name: "bzpopmax", Summary: "Removes and returns the member with the highest score from one or more sorted sets. Blocks until a member available otherwise.  " +
			"Deletes the sorted set if the last element was popped.", Since: "5.0.0", Arity: -3, Flags: flags | command.FlagNoScript | command.FlagFast, Keys: but, Handler: bzpopmaxCommand},
		{Name: "bzmpop", Summary: "Removes and returns a member by score from one or more sorted sets. Blocks until a member is available otherwise. " +
			"Deletes the sorted set if the last element was popped.", Since: "7.0.0", Arity: -5, Flags: flags | command.FlagMovableKeys, Keys: command.Keys{Find: command.CountedKeys(2)},
			Handler: bzmpopCommand},
	}
	for i := range rows {
		rows[i].Group, rows[i].Kind = command.GroupSortedSet, command.KindPaged
	}
	return rows
}

func bzpopminCommand(c *Call) error { return c.blockZPop(false) }
func bzpopmaxCommand(c *Call) error { return c.blockZPop(true) }

func (c *Call) blockZPop(highest bool) error {
	last := len(c.Args) - 1
	timeout, err := seconds(c.Args[last])
	if err != nil {
		return err
	}
	return c.block(c.zwait(c.Args[1:last], highest, 1, func(key []byte, popped []zset.Scored) {
		c.W.Array(3)
		c.W.Bulk(key)
		c.W.Bulk(popped[0].Member)
		c.W.Double(popped[0].Score)
	}), timeout)
}

func bzmpopCommand(c *Call) error {
	timeout, err := seconds(c.Args[1])
	if err != nil {
		return err
	}
	m, err := data.ParseMPop(c.Args[2:], "min", "max")
	if err != nil {
		return err
	}
	return c.block(c.zwait(m.Keys, m.Last, m.Count, func(key []byte, popped []zset.Scored) {
		c.W.Array(2)
		c.W.Bulk(key)
		c.ScoredPairs(popped)
	}), timeout)
}

// zwait waits for members of one of keys.
func (c *Call) zwait(keys [][]byte, highest bool, count int64, reply func(key []byte, popped []zset.Scored)) *wait {
	return &wait{keys: keys, kind: model.TypeZSet, nothing: c.W.NullArray, atOnce: c.W.NullArray,
		serve: func(t kv.Txn, keys [][]byte) (bool, error) {
			key, popped, err := zset.MPop(t, c.DB, keys, highest, count, c.Scored[:0])
			if err != nil || key == nil {
				return false, err
			}
			reply(key, popped)
			return true, nil
		}}
}
