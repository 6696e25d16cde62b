package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/zmap"
)

// TypedZMaps are those on its numbers.
func TypedZMaps() []Command {
	const (
		read  = command.FlagReadonly | command.FlagFast | command.FlagNoScript | command.FlagNoMulti
		write = command.FlagWrite | command.FlagDenyOOM | command.FlagFast | command.FlagNoScript | command.FlagNoMulti
	)
	rows := []Command{
		{Name: "zset.i64", Summary: "Sets a key of the ordered map to a 64-bit integer.", Arity: 3, Flags: write, Handler: typedWrite(zmap.ParseInt64, zmap.SetInt64)},
		{Name: "zinc.i64", Summary: "Adds to a 64-bit integer of the ordered map without conflicts.", Arity: 3, Flags: write, Handler: typedWrite(zmap.ParseInt64, zmap.AddInt64)},
		{Name: "zget.i64", Summary: "Returns a 64-bit integer of the ordered map.", Arity: 2, Flags: read, Handler: zgetI64Command},
		{Name: "zset.f64", Summary: "Sets a key of the ordered map to a floating point number.", Arity: 3, Flags: write, Handler: typedWrite(zmap.ParseFloat64, zmap.SetFloat64)},
		{Name: "zinc.f64", Summary: "Adds to a floating point number of the ordered map.", Arity: 3, Flags: write, Handler: typedWrite(zmap.ParseFloat64, zmap.AddFloat64)},
		{Name: "zget.f64", Summary: "Returns a floating point number of the ordered map.", Arity: 2, Flags: read, Handler: zgetF64Command},
		{Name: "zset.d128", Summary: "Sets a key of the ordered map to a decimal with 34 digits.", Arity: 3, Flags: write, Handler: typedWrite(zmap.ParseDecimal, zmap.SetDecimal)},
		{Name: "zinc.d128", Summary: "Adds to a decimal of the ordered map.", Arity: 3, Flags: write, Handler: typedWrite(zmap.ParseDecimal, zmap.AddDecimal)},
		{Name: "zget.d128", Summary: "Returns a decimal of the ordered map.", Arity: 2, Flags: read, Handler: zgetD128Command},
	}
	for i := range rows {
		rows[i].Since, rows[i].Group = "0.1.0", command.GroupZMap
	}
	return rows
}

// typedWrite is the handler of a command that parses its last argument as a
// number and applies it to its key.
func typedWrite[N any](parse func(string) (N, error), apply func(kv.Txn, zmap.Map, []byte, N) error) func(c *Call) error {
	return func(c *Call) error {
		n, err := parse(string(c.Args[2]))
		if err != nil {
			return err
		}
		return c.OK(apply(c.Txn, c.ZMap(), c.Args[1], n))
	}
}

func zgetI64Command(c *Call) error {
	n, found, err := zmap.GetInt64(c.reader(), c.ZMap(), c.Args[1])
	return c.orNull(found, err, func() { c.W.Int(n) })
}

func zgetF64Command(c *Call) error {
	return c.score(zmap.GetFloat64(c.reader(), c.ZMap(), c.Args[1]))
}

func zgetD128Command(c *Call) error {
	d, found, err := zmap.GetDecimal(c.reader(), c.ZMap(), c.Args[1])
	return c.orNull(found, err, func() { c.W.BulkString(d.String()) })
}
