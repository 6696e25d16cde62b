package data

import (
	"math"

	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
)

// Sets are their commands.
func Sets() []Command {
	const (
		read  = command.FlagReadonly | command.FlagFast
		write = command.FlagWrite | command.FlagDenyOOM
	)
	rows := []Command{
		{Name: "sadd", Summary: "Adds one or more members to a set. Creates the key if it doesn't exist.", Since: "1.0.0", Arity: -3, Flags: write | command.FlagFast, Element: 2, Handler: saddCommand},
		{Name: "srem", Summary: "Removes one or more members from a set. Deletes the set if the last member was removed.",
			Since: "1.0.0", Arity: -3, Flags: command.FlagWrite | command.FlagFast, Element: 2, Handler: sremCommand},
		{Name: "sismember", Summary: "Determines whether a member belongs to a set.", Since: "1.0.0", Arity: 3, Flags: read, Element: 2, Handler: sismemberCommand},
		{Name: "smismember", Summary: "Determines whether multiple members belong to a set.", Since: "6.2.0", Arity: -3, Flags: read, Element: 2, Handler: smismemberCommand},
		{Name: "scard", Summary: "Returns the number of members in a set.", Since: "1.0.0", Arity: 2, Flags: read, Handler: scardCommand},
		{Name: "smembers", Summary: "Returns all members of a set.", Since: "1.0.0", Arity: 2, Flags: command.FlagReadonly, Handler: smembersCommand},
		{Name: "spop", Summary: "Returns one or more random members from a set after removing them. Deletes the set if the last member was popped.",
			Since: "1.0.0", Arity: -2, Flags: command.FlagWrite | command.FlagFast, Handler: spopCommand},
		{Name: "srandmember", Summary: "Get one or multiple random members from a set", Since: "1.0.0", Arity: -2, Flags: command.FlagReadonly, Handler: srandmemberCommand},
		{Name: "smove", Summary: "Moves a member from one set to another.", Since: "1.0.0", Arity: 4, Flags: command.FlagWrite | command.FlagFast, Keys: command.TwoKeys, Handler: smoveCommand},
		{Name: "sscan", Summary: "Iterates over members of a set.", Since: "2.8.0", Arity: -3, Flags: command.FlagReadonly, Handler: sscanCommand},
		{Name: "sinter", Summary: "Returns the intersect of multiple sets.", Since: "1.0.0", Arity: -2, Flags: command.FlagReadonly, Keys: command.AllKeys, Handler: algebraCommand(model.SInter)},
		{Name: "sunion", Summary: "Returns the union of multiple sets.", Since: "1.0.0", Arity: -2, Flags: command.FlagReadonly, Keys: command.AllKeys, Handler: algebraCommand(model.SUnion)},
		{Name: "sdiff", Summary: "Returns the difference of multiple sets.", Since: "1.0.0", Arity: -2, Flags: command.FlagReadonly, Keys: command.AllKeys, Handler: algebraCommand(model.SDiff)},
		{Name: "sintercard", Summary: "Returns the number of members of the intersect of multiple sets.", Since: "7.0.0", Arity: -3,
			Flags: command.FlagReadonly | command.FlagMovableKeys, Keys: command.Keys{Find: command.CountedKeys(1)}, Handler: sintercardCommand},
		{Name: "sinterstore", Summary: "Stores the intersect of multiple sets in a key.", Since: "1.0.0", Arity: -3, Flags: write, Keys: command.AllKeys, Handler: storeCommand(model.SInter)},
		{Name: "sunionstore", Summary: "Stores the union of multiple sets in a key.", Since: "1.0.0", Arity: -3, Flags: write, Keys: command.AllKeys, Handler: storeCommand(model.SUnion)},
		{Name: "sdiffstore", Summary: "Stores the difference of multiple sets in a key.", Since: "1.0.0", Arity: -3, Flags: write, Keys: command.AllKeys, Handler: storeCommand(model.SDiff)},
	}
	for i := range rows {
		if rows[i].Group = command.GroupSet; rows[i].Keys.First == 0 && rows[i].Keys.Find == nil {
			rows[i].Keys = command.OneKey
		}
	}
	return rows
}

func saddCommand(c *Call) error { return c.Integer(model.SAdd(c.Txn, c.DB, c.Args[1], c.Args[2:])) }
func sremCommand(c *Call) error { return c.Integer(model.SRem(c.Txn, c.DB, c.Args[1], c.Args[2:])) }

func sismemberCommand(c *Call) error {
	return c.Truth(model.SIsMember(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func smismemberCommand(c *Call) error {
	return c.Integers(model.SMIsMember(c.Txn, c.DB, c.Args[1], c.Args[2:], c.Ints[:0]))
}

func scardCommand(c *Call) error { return c.Integer(model.SCard(c.Txn, c.DB, c.Args[1])) }

func smembersCommand(c *Call) error {
	return c.members(model.SMembers(c.Txn, c.DB, c.Args[1], c.Bytes[:0]))
}

// members finishes a handler whose result is a set.
func (c *Call) members(members [][]byte, err error) error {
	if err != nil {
		return err
	}
	c.Bytes = members
	c.W.Set(len(members))
	for _, m := range members {
		c.W.Bulk(m)
	}
	return nil
}

func spopCommand(c *Call) error {
	count := int64(1)
	switch {
	case len(c.Args) > 3:
		return command.ErrSyntax
	case len(c.Args) == 3:
		var err error
		if count, err = command.AtLeast(c.Args[2], 0, "ERR value is out of range, must be positive"); err != nil {
			return err
		}
	}
	popped, err := model.SPop(c.Txn, c.DB, c.Args[1], count, c.Rand, c.Fields[:0])
	if err != nil {
		return err
	}
	c.Fields = popped
	if len(c.Args) == 2 {
		return c.firstMember(popped)
	}
	c.W.Set(len(popped))
	for i := range popped {
		c.W.Bulk(popped[i].Field)
	}
	return nil
}

// firstMember writes the only member, or null.
func (c *Call) firstMember(found []model.FieldValue) error {
	if len(found) == 0 {
		c.W.Null()
		return nil
	}
	c.W.Bulk(found[0].Field)
	return nil
}

func srandmemberCommand(c *Call) error {
	if len(c.Args) > 3 {
		return command.ErrSyntax
	}
	count := int64(1)
	if len(c.Args) == 3 {
		var err error
		if count, err = command.ParseInt(c.Args[2]); err != nil {
			return err
		}
		if count == math.MinInt64 {
			return command.Error("ERR value is out of range, value must between -9223372036854775807 and 9223372036854775807")
		}
	}
	found, err := model.SRandMember(c.Txn, c.DB, c.Args[1], count, c.Rand, c.Fields[:0])
	if err != nil {
		return err
	}
	c.Fields = found
	if len(c.Args) == 2 {
		return c.firstMember(found)
	}
	c.fieldList(found, false)
	return nil
}

func smoveCommand(c *Call) error {
	return c.Truth(model.SMove(c.Txn, c.DB, c.Args[1], c.Args[2], c.Args[3]))
}

func sscanCommand(c *Call) error {
	cursor, o, err := memberScan(c.Args)
	if err != nil {
		return err
	}
	next, found, err := model.SScan(c.Txn, c.DB, c.Args[1], cursor, o, c.Fields[:0])
	if err != nil {
		return err
	}
	c.Fields = found
	c.W.Array(2)
	c.Cursor(next)
	c.fieldList(found, false)
	return nil
}

func algebraCommand(op model.SetOperation) func(c *Call) error {
	return func(c *Call) error { return c.members(op(c.Txn, c.DB, c.Args[1:])) }
}

func storeCommand(op model.SetOperation) func(c *Call) error {
	return func(c *Call) error {
		return c.Integer(model.SStore(c.Txn, c.DB, c.Args[1], c.Args[2:], op, c.Name))
	}
}

func sintercardCommand(c *Call) error {
	n, err := command.AtLeast(c.Args[1], 1, "ERR numkeys should be greater than 0")
	if err != nil {
		return err
	}
	if n > int64(len(c.Args)-2) {
		return command.Error("ERR Number of keys can't be greater than number of args")
	}
	keys, rest, limit := c.Args[2:2+n], c.Args[2+n:], int64(0)
	for ; len(rest) > 0; rest = rest[2:] {
		if len(rest) == 1 || !command.Is(rest[0], "limit") {
			return command.ErrSyntax
		}
		if limit, err = command.AtLeast(rest[1], 0, "ERR LIMIT can't be negative"); err != nil {
			return err
		}
	}
	return c.Integer(model.SInterCard(c.Txn, c.DB, keys, limit))
}
