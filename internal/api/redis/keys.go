package redis

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/redisnum"
)

func keyCommands() []Command {
	const write = command.FlagWrite | command.FlagFast
	rows := []Command{
		{Name: "del", Summary: "Deletes one or more keys.", Since: "1.0.0", Arity: -2, Flags: command.FlagWrite, Keys: command.AllKeys, Handler: delCommand},
		{Name: "unlink", Summary: "Asynchronously deletes one or more keys.", Since: "4.0.0", Arity: -2, Flags: write, Keys: command.AllKeys, Handler: delCommand},
		{Name: "exists", Summary: "Determines whether one or more keys exist.", Since: "1.0.0", Arity: -2, Flags: command.FlagReadonly | command.FlagFast, Keys: command.AllKeys, Handler: existsCommand},
		{Name: "touch", Summary: "Returns the number of existing keys out of those specified after updating the time they were last accessed.",
			Since: "3.2.1", Arity: -2, Flags: command.FlagReadonly | command.FlagFast, Keys: command.AllKeys, Handler: existsCommand},
		{Name: "type", Summary: "Determines the type of value stored at a key.", Since: "1.0.0", Arity: 2, Flags: command.FlagReadonly | command.FlagFast, Keys: command.OneKey, Handler: typeCommand},
		{Name: "rename", Summary: "Renames a key and overwrites the destination.", Since: "1.0.0", Arity: 3, Flags: command.FlagWrite, Keys: command.TwoKeys, Handler: renameCommand},
		{Name: "renamenx", Summary: "Renames a key only when the target key name doesn't exist.", Since: "1.0.0", Arity: 3, Flags: write, Keys: command.TwoKeys, Handler: renamenxCommand},
		{Name: "copy", Summary: "Copies the value of a key to a new key.", Since: "6.2.0", Arity: -3, Flags: command.FlagWrite | command.FlagDenyOOM, Keys: command.TwoKeys, Handler: copyCommand},
		{Name: "move", Summary: "Moves a key to another database.", Since: "1.0.0", Arity: 3, Flags: write, Keys: command.OneKey, Handler: moveCommand},
		{Name: "randomkey", Summary: "Returns a random key name from the database.", Since: "1.0.0", Arity: 1, Flags: command.FlagReadonly, Handler: randomkeyCommand},
		{Name: "keys", Summary: "Returns all key names that match a pattern.", Since: "1.0.0", Arity: 2, Flags: command.FlagReadonly | command.FlagDangerous, Kind: command.KindPaged, Handler: keysCommand},
		{Name: "swapdb", Summary: "Swaps two Redis databases.", Since: "4.0.0", Arity: 3, Flags: write | command.FlagDangerous, Handler: swapdbCommand},
		{Name: "dbsize", Summary: "Returns the number of keys in the database.", Since: "1.0.0", Arity: 1, Flags: command.FlagReadonly | command.FlagFast, Handler: dbsizeCommand},
		{Name: "flushdb", Summary: "Remove all keys from the current database.", Since: "1.0.0", Arity: -1, Flags: command.FlagWrite | command.FlagDangerous, Handler: flushdbCommand},
		{Name: "flushall", Summary: "Removes all keys from all databases.", Since: "1.0.0", Arity: -1, Flags: command.FlagWrite | command.FlagDangerous, Handler: flushallCommand},
	}
	for i := range rows {
		rows[i].Group = command.GroupGeneric
		switch rows[i].Name {
		case "swapdb", "dbsize", "flushdb", "flushall":
			rows[i].Group, rows[i].Categories = command.GroupServer, []string{"keyspace"}
		}
	}
	return rows
}

func delCommand(c *Call) error    { return c.Integer(model.Del(c.Txn, c.DB, c.Args[1:])) }
func existsCommand(c *Call) error { return c.Integer(model.Exists(c.Txn, c.DB, c.Args[1:])) }

func typeCommand(c *Call) error {
	k, err := model.TypeOf(c.Txn, c.DB, c.Args[1])
	if err == nil {
		c.W.SimpleString(k.String())
	}
	return err
}

func renameCommand(c *Call) error { return c.OK(model.Rename(c.Txn, c.DB, c.Args[1], c.Args[2])) }

func renamenxCommand(c *Call) error {
	return c.Truth(model.RenameNX(c.Txn, c.DB, c.Args[1], c.Args[2]))
}

// database is another database of the session's namespace.
func (c *Call) database(arg []byte) (*model.DB, error) {
	n, err := command.ParseInt(arg)
	if err != nil {
		return nil, err
	}
	if n < 0 || n >= model.Databases {
		return nil, model.ErrDBIndex
	}
	return c.x.watch(c.s, c.s.srv.handle(c.s.ns, uint8(n))), nil
}

func copyCommand(c *Call) error {
	dst, replace := c.DB, false
	for i := 3; i < len(c.Args); i++ {
		switch {
		case command.Is(c.Args[i], "replace"):
			replace = true
		case command.Is(c.Args[i], "db") && i+1 < len(c.Args):
			i++
			var err error
			if dst, err = c.database(c.Args[i]); err != nil {
				return err
			}
		default:
			return command.ErrSyntax
		}
	}
	return c.Truth(model.Copy(c.Txn, c.DB, c.Args[1], dst, c.Args[2], replace))
}

func moveCommand(c *Call) error {
	dst, err := c.database(c.Args[2])
	if err != nil {
		return err
	}
	return c.Truth(model.Move(c.Txn, c.DB, c.Args[1], dst))
}

// swapIndex reads an argument of SWAPDB; the range is checked when both are numbers.
func swapIndex(arg []byte, mistake command.Error) (int64, error) {
	n, ok := redisnum.ParseInt(arg)
	if !ok || n != int64(int32(n)) {
		return 0, mistake
	}
	return n, nil
}

// swapdbCommand shows the databases swapped to the commands behind it in the same
// transaction. The session resolves them again for the next one, since nobody knows
// yet whether this one commits.
func swapdbCommand(c *Call) error {
	a, err := swapIndex(c.Args[1], "ERR invalid first DB index")
	if err != nil {
		return err
	}
	b, err := swapIndex(c.Args[2], "ERR invalid second DB index")
	if err != nil {
		return err
	}
	if min(a, b) < 0 || max(a, b) >= model.Databases {
		return model.ErrDBIndex
	}
	ns := c.s.ns
	if ns.databases, err = catalog.SwapDatabases(c.Txn, ns.ID, uint8(a), uint8(b)); err != nil {
		return err
	}
	ns.term = nil
	c.s.use(c.x, ns)
	c.W.OK()
	return nil
}

func randomkeyCommand(c *Call) error { return c.Value(model.RandomKey(c.Txn, c.DB, c.Rand)) }

func dbsizeCommand(c *Call) error { return c.Integer(model.DBSize(c.Txn, c.DB)) }

// flushOption accepts ASYNC and SYNC, which make no difference: a flush is the
// clearing of a range.
func flushOption(c *Call) error {
	if len(c.Args) > 2 || len(c.Args) == 2 && !command.Is(c.Args[1], "async") && !command.Is(c.Args[1], "sync") {
		return command.ErrSyntax
	}
	return nil
}

func flushdbCommand(c *Call) error {
	if err := flushOption(c); err != nil {
		return err
	}
	model.FlushDB(c.Txn, c.DB)
	c.W.OK()
	return nil
}

func flushallCommand(c *Call) error {
	if err := flushOption(c); err != nil {
		return err
	}
	model.FlushAll(c.Txn, c.s.ns.ID)
	c.W.OK()
	return nil
}

// keysPage is how many keys one transaction of KEYS looks at.
const keysPage = 1000

func keysCommand(c *Call) error {
	o := model.ScanOptions{Match: c.Args[1], Count: keysPage}
	mark := c.W.DeferArray()
	from, n, cursor := len(c.W.Buf), 0, uint64(0)
	var db *model.DB // that had the name when the first page was read: it may be swapped meanwhile
	transact := c.Transact
	for {
		var next uint64
		var keys [][]byte
		err := transact(kv.Func(func(t kv.Txn) (err error) {
			if cursor == 0 {
				db = c.DB
			}
			next, keys, err = model.Scan(t, db, cursor, o, c.Bytes[:0])
			return err
		}))
		if err != nil {
			return err
		}
		for _, k := range keys {
			c.W.Bulk(k)
		}
		n += len(keys)
		c.Bytes = keys
		if len(c.W.Buf)-from > limits.KeysReplyBytes {
			return command.ErrReplyTooBig
		}
		if next == 0 {
			break
		}
		cursor, transact = next, c.Continue
	}
	c.W.Close(mark, n)
	return nil
}
