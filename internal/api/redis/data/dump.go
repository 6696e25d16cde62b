package data

import (
	"math"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/model/redis/rdb"
	"github.com/stratadb/strata/internal/redisnum"
)

// Dumps are DUMP and RESTORE.
func Dumps() []Command {
	return []Command{
		{Name: "dump", Summary: "Returns a serialized representation of the value stored at a key.", Since: "2.6.0", Group: command.GroupGeneric, Arity: 2,
			Flags: command.FlagReadonly, Keys: command.OneKey, Handler: func(c *Call) error { return c.Value(rdb.Dump(c.Txn, c.DB, c.Args[1])) }},
		{Name: "restore", Summary: "Creates a key from the serialized representation of a value.", Since: "2.6.0", Group: command.GroupGeneric, Arity: -4,
			Flags: command.FlagWrite | command.FlagDenyOOM | command.FlagDangerous, Keys: command.OneKey, Handler: restoreCommand},
	}
}

// restoreOptions reads the options of RESTORE. How often or how long ago a key was used is
// not kept.
func restoreOptions(args [][]byte) (o rdb.RestoreOptions, err error) {
	idle, freq := false, false
	for i := 0; i < len(args); i++ {
		more := i+1 < len(args)
		switch {
		case command.Is(args[i], "replace"):
			o.Replace = true
		case command.Is(args[i], "absttl"):
			o.Absolute = true
		case command.Is(args[i], "idletime") && more && !freq:
			i++
			n, err := command.ParseInt(args[i])
			if err != nil {
				return o, err
			}
			if n < 0 {
				return o, command.Error("ERR Invalid IDLETIME value, must be >= 0")
			}
			idle = true
		case command.Is(args[i], "freq") && more && !idle:
			i++
			n, err := command.ParseInt(args[i])
			if err != nil {
				return o, err
			}
			if n < 0 || n > 255 {
				return o, command.Error("ERR Invalid FREQ value, must be >= 0 and <= 255")
			}
			freq = true
		default:
			return o, command.ErrSyntax
		}
	}
	return o, nil
}

func restoreCommand(c *Call) error {
	o, err := restoreOptions(c.Args[4:])
	if err != nil {
		return err
	}
	if err := rdb.Check(c.Txn, c.DB, c.Args[1], o); err != nil {
		return err
	}
	ttl, ok := redisnum.ParseInt(c.Args[2])
	if !ok {
		return command.ErrNotInteger
	}
	if ttl < 0 || !o.Absolute && ttl > math.MaxInt64-c.Txn.NowMillis() {
		return command.Error("ERR Invalid TTL value, must be >= 0")
	}
	o.TTL = ttl
	return c.OK(rdb.Restore(c.Txn, c.DB, c.Args[1], c.Args[3], o))
}
