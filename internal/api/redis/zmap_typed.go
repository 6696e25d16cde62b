package redis

import "github.com/stratadb/strata/internal/model/zmap"

func zmapTypedCommands() []Command {
	const (
		read  = FlagReadonly | FlagFast | FlagNoScript | FlagNoMulti
		write = FlagWrite | FlagDenyOOM | FlagFast | FlagNoScript | FlagNoMulti
	)
	rows := []Command{
		{Name: "zset.i64", Summary: "Sets a key of the ordered map to a 64-bit integer.", Arity: 3, Flags: write, Handler: zsetI64Command},
		{Name: "zinc.i64", Summary: "Adds to a 64-bit integer of the ordered map without conflicts.", Arity: 3, Flags: write, Handler: zincI64Command},
		{Name: "zget.i64", Summary: "Returns a 64-bit integer of the ordered map.", Arity: 2, Flags: read, Handler: zgetI64Command},
		{Name: "zset.f64", Summary: "Sets a key of the ordered map to a floating point number.", Arity: 3, Flags: write, Handler: zsetF64Command},
		{Name: "zinc.f64", Summary: "Adds to a floating point number of the ordered map.", Arity: 3, Flags: write, Handler: zincF64Command},
		{Name: "zget.f64", Summary: "Returns a floating point number of the ordered map.", Arity: 2, Flags: read, Handler: zgetF64Command},
		{Name: "zset.d128", Summary: "Sets a key of the ordered map to a decimal with 34 digits.", Arity: 3, Flags: write, Handler: zsetD128Command},
		{Name: "zinc.d128", Summary: "Adds to a decimal of the ordered map.", Arity: 3, Flags: write, Handler: zincD128Command},
		{Name: "zget.d128", Summary: "Returns a decimal of the ordered map.", Arity: 2, Flags: read, Handler: zgetD128Command},
	}
	for i := range rows {
		rows[i].Since, rows[i].Group = "0.1.0", GroupZMap
	}
	return rows
}

func zsetI64Command(c *Call) error {
	n, err := zmap.ParseInt64(string(c.Args[2]))
	if err != nil {
		return err
	}
	return c.ok(zmap.SetInt64(c.Txn, c.zmap(), c.Args[1], n))
}

func zincI64Command(c *Call) error {
	n, err := zmap.ParseInt64(string(c.Args[2]))
	if err != nil {
		return err
	}
	return c.ok(zmap.AddInt64(c.Txn, c.zmap(), c.Args[1], n))
}

func zgetI64Command(c *Call) error {
	n, found, err := zmap.GetInt64(c.reader(), c.zmap(), c.Args[1])
	if err == nil && !found {
		c.W.Null()
		return nil
	}
	return c.integer(n, err)
}

func zsetF64Command(c *Call) error {
	f, err := zmap.ParseFloat64(string(c.Args[2]))
	if err != nil {
		return err
	}
	return c.ok(zmap.SetFloat64(c.Txn, c.zmap(), c.Args[1], f))
}

func zincF64Command(c *Call) error {
	f, err := zmap.ParseFloat64(string(c.Args[2]))
	if err != nil {
		return err
	}
	return c.ok(zmap.AddFloat64(c.Txn, c.zmap(), c.Args[1], f))
}

func zgetF64Command(c *Call) error {
	f, found, err := zmap.GetFloat64(c.reader(), c.zmap(), c.Args[1])
	switch {
	case err != nil:
		return err
	case !found:
		c.W.Null()
	default:
		c.W.Double(f)
	}
	return nil
}

func zsetD128Command(c *Call) error {
	d, err := zmap.ParseDecimal(string(c.Args[2]))
	if err != nil {
		return err
	}
	return c.ok(zmap.SetDecimal(c.Txn, c.zmap(), c.Args[1], d))
}

func zincD128Command(c *Call) error {
	d, err := zmap.ParseDecimal(string(c.Args[2]))
	if err != nil {
		return err
	}
	return c.ok(zmap.AddDecimal(c.Txn, c.zmap(), c.Args[1], d))
}

func zgetD128Command(c *Call) error {
	d, found, err := zmap.GetDecimal(c.reader(), c.zmap(), c.Args[1])
	switch {
	case err != nil:
		return err
	case !found:
		c.W.Null()
	default:
		c.W.BulkString(d.String())
	}
	return nil
}
