package data

import (
	"fmt"

	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/rdb"
)

// Objects is OBJECT.
func Objects() []Command {
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
				Help("object", "6.2.0", command.GroupGeneric,
					"ENCODING <key>", "    Return the kind of internal representation used in order to store the value", "    associated with a <key>.",
					"FREQ <key>", "    Return the access frequency index of the <key>. The returned integer is", "    proportional to the logarithm of the recent access frequency of the key.",
					"IDLETIME <key>", "    Return the idle time of the <key>, that is the approximated number of", "    seconds elapsed since the last access to the key.",
					"REFCOUNT <key>", "    Return the number of references of the value associated with the specified", "    <key>."),
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
	return c.present(c.Args[2], func() error {
		idle, _, lfu := c.Used(c.Args[2])
		if lfu {
			return model.ErrLFU
		}
		return c.Integer(idle, nil)
	})
}

func objectFreq(c *Call) error {
	return c.present(c.Args[2], func() error {
		_, freq, lfu := c.Used(c.Args[2])
		if !lfu {
			return model.ErrNoLFU
		}
		return c.Integer(freq, nil)
	})
}

// DebugObject is DEBUG OBJECT: what is known of how a value is stored. It has no address, and how
// long it was not used is not kept.
func DebugObject(c *Call) error {
	encoding, err := model.ObjectEncoding(c.Txn, c.DB, c.Args[2])
	if err != nil {
		return err
	}
	dump, err := rdb.Dump(c.Txn, c.DB, c.Args[2])
	if err != nil {
		return err
	}
	if encoding == "" {
		return model.ErrNoSuchKey
	}
	const frame = 11 // the type's byte, the version's two and the checksum's eight
	c.W.SimpleString(fmt.Sprintf("Value at:0x0 refcount:1 encoding:%s serializedlength:%d lru:0 lru_seconds_idle:0", encoding, max(0, len(dump)-frame)))
	return nil
}

// memoryRowsMax bounds the rows that MEMORY USAGE looks at.
const memoryRowsMax = 10_000

// MemoryUsage is MEMORY USAGE: it adds up the rows of a key; beyond memoryRowsMax it stops, so that
// for a large value the answer is a lower bound.
func MemoryUsage(c *Call) error {
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
		total, err := model.SizeOf(c.Txn, c.DB, c.Args[2], memoryRowsMax)
		return c.Integer(total, err)
	})
}
