package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/kv"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/zset"
	"github.com/stratadb/strata/internal/wire/resp"
)

// Command is a row of the table.
type Command = command.Command[*Call]

// Call is one execution of a command. It is reused; a handler keeps nothing of it.
type Call struct {
	// Args are the command's words, name first. They live until the handler returns.
	Args [][]byte
	// W receives the reply.
	W *resp.Writer
	// Txn is the transaction of a KindData command.
	Txn kv.Txn
	// DB is the session's database.
	DB *model.DB
	// SnapshotReads says that what the command reads of a ZMap is not to conflict.
	SnapshotReads bool
	// Name is the command's.
	Name string
	// ReadsAnyKey tells whether the session's user may read keys that the call does not name.
	ReadsAnyKey func() bool
	// Rand is where random choices come from.
	Rand model.Rand

	// Used is how many seconds ago a key was used, Redis's logarithmic count of its uses,
	// and whether that count is what the eviction policy goes by.
	Used func(key []byte) (idle, freq int64, lfu bool)

	// Memory that handlers use again.
	Bytes  [][]byte
	Ints   []int64
	Fields []model.FieldValue
	Scored []zset.Scored
}

// WrongArity is Redis's error for a wrong number of arguments, which handlers
// use where the arity of the table cannot tell.
func (c *Call) WrongArity() error { return command.ArityError(c.Name) }

// orNull finishes a handler whose result may be missing.
func (c *Call) orNull(found bool, err error, reply func()) error {
	switch {
	case err != nil:
		return err
	case !found:
		c.W.Null()
	default:
		reply()
	}
	return nil
}

// Families are the functions that return the rows of the table. A new family is a line
// here.
func Families() []func() []Command {
	return []func() []Command{
		Strings, Bitmaps, HyperLogLogs, Hashes, HashTimes, Lists, Sets, SortedSets, SortedSetRanges, SortedSetAlgebra, Geo, Streams, StreamGroups, StreamContainers, Expiry, Scans, Sorting, Dumps, Objects,
		ZMaps, TypedZMaps,
	}
}
