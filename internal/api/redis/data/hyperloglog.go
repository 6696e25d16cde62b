package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/hyperloglog"
)

// HyperLogLogs are their commands.
func HyperLogLogs() []Command {
	const write = command.FlagWrite | command.FlagDenyOOM
	rows := []Command{
		{Name: "pfadd", Summary: "Adds elements to a HyperLogLog key. Creates the key if it doesn't exist.", Since: "2.8.9", Arity: -2, Flags: write | command.FlagFast, Keys: command.OneKey,
			Handler: func(c *Call) error { return c.Truth(hyperloglog.Add(c.Txn, c.DB, c.Args[1], c.Args[2:])) }},
		{Name: "pfcount", Summary: "Returns the approximated cardinality of the set(s) observed by the HyperLogLog key(s).", Since: "2.8.9", Arity: -2, Flags: command.FlagReadonly,
			Keys: command.AllKeys, Handler: func(c *Call) error { return c.Integer(hyperloglog.Count(c.Txn, c.DB, c.Args[1:])) }},
		{Name: "pfmerge", Summary: "Merges one or more HyperLogLog values into a single key.", Since: "2.8.9", Arity: -2, Flags: write, Keys: command.AllKeys,
			Handler: func(c *Call) error { return c.OK(hyperloglog.Merge(c.Txn, c.DB, c.Args[1], c.Args[2:])) }},
		{Name: "pfdebug", Summary: "Internal commands for debugging HyperLogLog values.", Since: "2.8.9", Arity: 3, Flags: write | command.FlagAdmin,
			Keys: command.SubKey, Handler: pfdebugCommand},
		{Name: "pfselftest", Summary: "An internal command for testing HyperLogLog values.", Since: "2.8.9", Arity: 1, Flags: command.FlagAdmin,
			Handler: func(c *Call) error { return c.OK(hyperloglog.SelfTest()) }},
	}
	for i := range rows {
		rows[i].Group = command.GroupHyperLogLog
	}
	return rows
}

func pfdebugCommand(c *Call) error {
	switch word, key := c.Args[1], c.Args[2]; {
	case command.Is(word, "encoding"):
		name, err := hyperloglog.Encoding(c.Txn, c.DB, key)
		if err == nil {
			c.W.SimpleString(name)
		}
		return err
	case command.Is(word, "todense"):
		return c.Truth(hyperloglog.ToDense(c.Txn, c.DB, key))
	case command.Is(word, "decode"):
		runs, err := hyperloglog.Runs(c.Txn, c.DB, key)
		if err == nil {
			c.W.Bulk(runs)
		}
		return err
	case command.Is(word, "getreg"):
		all, err := hyperloglog.Registers(c.Txn, c.DB, key)
		if err != nil {
			return err
		}
		c.W.Array(len(all))
		for _, v := range all {
			c.W.Int(int64(v))
		}
		return nil
	}
	if _, err := hyperloglog.Encoding(c.Txn, c.DB, c.Args[2]); err != nil {
		return err
	}
	return command.Error("ERR Unknown PFDEBUG subcommand '" + string(command.Truncated(c.Args[1], command.EchoedBytes)) + "'")
}
