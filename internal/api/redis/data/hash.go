package data

import (
	"slices"

	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
)

// Hashes are their commands.
func Hashes() []Command {
	const (
		read  = command.FlagReadonly | command.FlagFast
		write = command.FlagWrite | command.FlagDenyOOM | command.FlagFast
	)
	rows := []Command{
		{Name: "hset", Summary: "Creates or modifies the value of a field in a hash.", Since: "2.0.0", Arity: -4, Flags: write, Element: 2, Handler: hsetCommand},
		{Name: "hmset", Summary: "Sets the values of multiple fields.", Since: "2.0.0", Arity: -4, Flags: write, Element: 2, Handler: hmsetCommand},
		{Name: "hsetnx", Summary: "Sets the value of a field in a hash only when the field doesn't exist.", Since: "2.0.0", Arity: 4, Flags: write, Element: 2, Handler: hsetnxCommand},
		{Name: "hget", Summary: "Returns the value of a field in a hash.", Since: "2.0.0", Arity: 3, Flags: read, Element: 2, Handler: hgetCommand},
		{Name: "hmget", Summary: "Returns the values of all fields in a hash.", Since: "2.0.0", Arity: -3, Flags: read, Element: 2, Handler: hmgetCommand},
		{Name: "hgetall", Summary: "Returns all fields and values in a hash.", Since: "2.0.0", Arity: 2, Flags: command.FlagReadonly, Handler: hgetallCommand},
		{Name: "hkeys", Summary: "Returns all fields in a hash.", Since: "2.0.0", Arity: 2, Flags: command.FlagReadonly, Handler: hkeysCommand},
		{Name: "hvals", Summary: "Returns all values in a hash.", Since: "2.0.0", Arity: 2, Flags: command.FlagReadonly, Handler: hvalsCommand},
		{Name: "hlen", Summary: "Returns the number of fields in a hash.", Since: "2.0.0", Arity: 2, Flags: read, Handler: hlenCommand},
		{Name: "hstrlen", Summary: "Returns the length of the value of a field.", Since: "3.2.0", Arity: 3, Flags: read, Element: 2, Handler: hstrlenCommand},
		{Name: "hexists", Summary: "Determines whether a field exists in a hash.", Since: "2.0.0", Arity: 3, Flags: read, Element: 2, Handler: hexistsCommand},
		{Name: "hdel", Summary: "Deletes one or more fields and their values from a hash. Deletes the hash if no fields remain.",
			Since: "2.0.0", Arity: -3, Flags: command.FlagWrite | command.FlagFast, Element: 2, Handler: hdelCommand},
		{Name: "hincrby", Summary: "Increments the integer value of a field in a hash by a number. Uses 0 as initial value if the field doesn't exist.",
			Since: "2.0.0", Arity: 4, Flags: write, Element: 2, Handler: hincrbyCommand},
		{Name: "hincrbyfloat", Summary: "Increments the floating point value of a field by a number. Uses 0 as initial value if the field doesn't exist.",
			Since: "2.6.0", Arity: 4, Flags: write, Element: 2, Handler: hincrbyfloatCommand},
		{Name: "hrandfield", Summary: "Returns one or more random fields from a hash.", Since: "6.2.0", Arity: -2, Flags: command.FlagReadonly, Handler: hrandfieldCommand},
		{Name: "hscan", Summary: "Iterates over fields and values of a hash.", Since: "2.8.0", Arity: -3, Flags: command.FlagReadonly, Handler: hscanCommand},
	}
	return hashRows(rows)
}

// hashRows fills in what all commands of the family share.
func hashRows(rows []Command) []Command {
	for i := range rows {
		rows[i].Group, rows[i].Keys = command.GroupHash, command.OneKey
	}
	return rows
}

func hsetCommand(c *Call) error {
	if len(c.Args)%2 != 0 {
		return c.WrongArity()
	}
	return c.Integer(model.HSet(c.Txn, c.DB, c.Args[1], c.Args[2:]))
}

func hmsetCommand(c *Call) error {
	if len(c.Args)%2 != 0 {
		return c.WrongArity()
	}
	_, err := model.HSet(c.Txn, c.DB, c.Args[1], c.Args[2:])
	return c.OK(err)
}

func hsetnxCommand(c *Call) error {
	return c.Truth(model.HSetNX(c.Txn, c.DB, c.Args[1], c.Args[2], c.Args[3]))
}

func hgetCommand(c *Call) error { return c.Value(model.HGet(c.Txn, c.DB, c.Args[1], c.Args[2])) }

func hmgetCommand(c *Call) error {
	return c.Values(model.HMGet(c.Txn, c.DB, c.Args[1], c.Args[2:], c.Bytes[:0]))
}

// bulkFrameBytes is what a string of usual length takes in a reply beside its bytes.
const bulkFrameBytes = 9

// Values finishes a handler whose result is a list of values that may be absent.
func (c *Call) Values(values [][]byte, err error) error {
	if err != nil {
		return err
	}
	c.Bytes = values
	size := bulkFrameBytes * (1 + len(values))
	for _, v := range values {
		size += len(v)
	}
	c.W.Buf = slices.Grow(c.W.Buf, size)
	c.W.Array(len(values))
	for _, v := range values {
		c.BulkOrNull(v)
	}
	return nil
}

func (c *Call) hashFields() ([]model.FieldValue, error) {
	all, err := model.HGetAll(c.Txn, c.DB, c.Args[1], c.Fields[:0])
	c.Fields = all
	return all, err
}

func hgetallCommand(c *Call) error {
	all, err := c.hashFields()
	if err != nil {
		return err
	}
	c.W.Map(len(all))
	for i := range all {
		c.W.Bulk(all[i].Field)
		c.W.Bulk(all[i].Value)
	}
	return nil
}

func hkeysCommand(c *Call) error {
	all, err := c.hashFields()
	if err != nil {
		return err
	}
	c.W.Array(len(all))
	for i := range all {
		c.W.Bulk(all[i].Field)
	}
	return nil
}

func hvalsCommand(c *Call) error {
	all, err := c.hashFields()
	if err != nil {
		return err
	}
	c.W.Array(len(all))
	for i := range all {
		c.W.Bulk(all[i].Value)
	}
	return nil
}

func hlenCommand(c *Call) error { return c.Integer(model.HLen(c.Txn, c.DB, c.Args[1])) }

func hstrlenCommand(c *Call) error {
	return c.Integer(model.HStrLen(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func hexistsCommand(c *Call) error {
	return c.Truth(model.HExists(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

func hdelCommand(c *Call) error { return c.Integer(model.HDel(c.Txn, c.DB, c.Args[1], c.Args[2:])) }

func hincrbyCommand(c *Call) error {
	n, err := command.ParseInt(c.Args[3])
	if err != nil {
		return err
	}
	return c.Integer(model.HIncrBy(c.Txn, c.DB, c.Args[1], c.Args[2], n))
}

func hincrbyfloatCommand(c *Call) error {
	return c.Value(model.HIncrByFloat(c.Txn, c.DB, c.Args[1], c.Args[2], c.Args[3]))
}

func hrandfieldCommand(c *Call) error {
	if len(c.Args) == 2 {
		field, found, err := model.HRandFieldOne(c.Txn, c.DB, c.Args[1], c.Rand)
		if err != nil {
			return err
		}
		if !found {
			c.W.Null()
			return nil
		}
		c.W.Bulk(field)
		return nil
	}
	count, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	withValues := len(c.Args) == 4
	if len(c.Args) > 4 || withValues && !command.Is(c.Args[3], "withvalues") {
		return command.ErrSyntax
	}
	found, err := model.HRandField(c.Txn, c.DB, c.Args[1], count, c.Rand, c.Fields[:0])
	if err != nil {
		return err
	}
	c.Fields = found
	c.fieldList(found, withValues)
	return nil
}

// fieldList writes fields, with values in pairs of their own in RESP3 and in one
// flat array in RESP2.
func (c *Call) fieldList(found []model.FieldValue, withValues bool) {
	nested := withValues && c.W.Proto >= 3
	n := len(found)
	if withValues && !nested {
		n *= 2
	}
	c.W.Array(n)
	for i := range found {
		if nested {
			c.W.Array(2)
		}
		c.W.Bulk(found[i].Field)
		if withValues {
			c.W.Bulk(found[i].Value)
		}
	}
}

func hscanCommand(c *Call) error {
	cursor, o, err := parseScan(c.Args, 2)
	if err != nil {
		return err
	}
	if o.withType {
		return command.ErrSyntax
	}
	next, found, err := model.HScan(c.Txn, c.DB, c.Args[1], cursor, o.ScanOptions, c.Fields[:0])
	if err != nil {
		return err
	}
	c.Fields = found
	c.W.Array(2)
	c.Cursor(next)
	n := len(found)
	if !o.noValues {
		n *= 2
	}
	c.W.Array(n)
	for i := range found {
		c.W.Bulk(found[i].Field)
		if !o.noValues {
			c.W.Bulk(found[i].Value)
		}
	}
	return nil
}
