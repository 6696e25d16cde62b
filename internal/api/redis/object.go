package redis

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
)

func objectCommands() []Command {
	sub := func(name, summary, since string, h func(c *Call) error) Command {
		return Command{Name: name, Summary: summary, Since: since, Group: command.GroupGeneric, Arity: 3, Flags: command.FlagReadonly, Keys: command.SubKey, Handler: h}
	}
	return []Command{
		{Name: "object", Summary: "A container for object introspection commands.", Since: "2.2.3", Group: command.GroupGeneric, Arity: -2,
			Subcommands: []Command{
				sub("encoding", "Returns the internal encoding of a Redis object.", "2.2.3", objectEncoding),
				sub("refcount", "Returns the reference count of a value of a key.", "2.2.3", objectRefcount),
				sub("idletime", "Returns the time since the last access to a Redis object.", "2.2.3", objectIdletime),
				sub("freq", "Returns the logarithmic access frequency counter of a Redis object.", "4.0.0", objectFreq),
				helpFor("object", "6.2.0", command.GroupGeneric,
					"ENCODING <key>", "    Return the kind of internal representation used in order to store the value", "    associated with a <key>.",
					"FREQ <key>", "    Return the access frequency index of the <key>. The returned integer is", "    proportional to the logarithm of the recent access frequency of the key.",
					"IDLETIME <key>", "    Return the idle time of the <key>, that is the approximated number of", "    seconds elapsed since the last access to the key.",
					"REFCOUNT <key>", "    Return the number of references of the value associated with the specified", "    <key>."),
			}},
		{Name: "memory", Summary: "A container for memory diagnostics commands.", Since: "4.0.0", Group: command.GroupServer, Arity: -2,
			Subcommands: []Command{
				{Name: "usage", Summary: "Estimates the memory usage of a key.", Since: "4.0.0", Group: command.GroupServer, Arity: -3,
					Flags: command.FlagReadonly, Keys: command.SubKey, Handler: memoryUsage},
				{Name: "doctor", Summary: "Outputs a memory problems report.", Since: "4.0.0", Group: command.GroupServer, Arity: 2,
					Kind: command.KindConnection, Handler: memoryDoctor},
				helpFor("memory", "4.0.0", command.GroupServer,
					"DOCTOR", "    Return memory problems reports.",
					"USAGE <key> [SAMPLES <count>]", "    Return memory in bytes used by <key> and its value."),
			}},
	}
}

// present runs fn if the key exists and answers null otherwise.
func (c *Call) present(key []byte, fn func() error) error {
	n, err := model.Exists(c.Txn, c.DB, [][]byte{key})
	if err != nil {
		return err
	}
	if n == 0 {
		c.W.Null()
		return nil
	}
	return fn()
}

func objectEncoding(c *Call) error {
	name, err := model.ObjectEncoding(c.Txn, c.DB, c.Args[2])
	switch {
	case err != nil:
		return err
	case name == "":
		c.W.Null()
	default:
		c.W.BulkString(name)
	}
	return nil
}

func objectRefcount(c *Call) error {
	return c.present(c.Args[2], func() error { return c.Integer(1, nil) })
}

func objectIdletime(c *Call) error {
	return c.present(c.Args[2], func() error { return c.Integer(0, nil) })
}

func objectFreq(c *Call) error {
	return c.present(c.Args[2], func() error { return model.ErrNoLFU })
}

// memoryRowsMax bounds the rows that MEMORY USAGE looks at.
const memoryRowsMax = 10_000

// rowOverheadBytes is about what a row costs beside its key and value.
const rowOverheadBytes = 32

// memoryUsage adds up the rows of a key; beyond memoryRowsMax it stops, so that
// for a large value the answer is a lower bound.
func memoryUsage(c *Call) error {
	if len(c.Args) != 3 && (len(c.Args) != 5 || !command.Is(c.Args[3], "samples")) {
		return command.ErrSyntax
	}
	if len(c.Args) == 5 {
		if n, err := command.ParseInt(c.Args[4]); err != nil {
			return err
		} else if n < 0 {
			return command.ErrSyntax
		}
	}
	return c.present(c.Args[2], func() error {
		total := int64(0)
		span := base.PrefixSpan(c.DB.AppendHeaderKey(nil, c.Args[2]))
		err := c.Txn.Snapshot().Scan(span, kv.ScanOptions{Limit: memoryRowsMax}, func(k, v []byte) bool {
			total += int64(len(k) + len(v) + rowOverheadBytes)
			return true
		})
		return c.Integer(total, err)
	})
}

func memoryDoctor(c *Call) error {
	c.W.Verbatim("txt", []byte("No memory problem was found.\n"))
	return nil
}
