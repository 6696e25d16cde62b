package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
)

// Expiry are their commands.
func Expiry() []Command {
	const (
		read  = command.FlagReadonly | command.FlagFast
		write = command.FlagWrite | command.FlagFast
	)
	rows := []Command{
		{Name: "expire", Summary: "Sets the expiration time of a key in seconds.", Since: "1.0.0", Arity: -3, Flags: write, Handler: expireCommand},
		{Name: "pexpire", Summary: "Sets the expiration time of a key in milliseconds.", Since: "2.6.0", Arity: -3, Flags: write, Handler: pexpireCommand},
		{Name: "expireat", Summary: "Sets the expiration time of a key to a Unix timestamp.", Since: "1.2.0", Arity: -3, Flags: write, Handler: expireatCommand},
		{Name: "pexpireat", Summary: "Sets the expiration time of a key to a Unix milliseconds timestamp.", Since: "2.6.0", Arity: -3, Flags: write, Handler: pexpireatCommand},
		{Name: "persist", Summary: "Removes the expiration time of a key.", Since: "2.2.0", Arity: 2, Flags: write, Handler: persistCommand},
		{Name: "ttl", Summary: "Returns the expiration time in seconds of a key.", Since: "1.0.0", Arity: 2, Flags: read, Handler: ttlCommand},
		{Name: "pttl", Summary: "Returns the expiration time in milliseconds of a key.", Since: "2.6.0", Arity: 2, Flags: read, Handler: pttlCommand},
		{Name: "expiretime", Summary: "Returns the expiration time of a key as a Unix timestamp.", Since: "7.0.0", Arity: 2, Flags: read, Handler: expiretimeCommand},
		{Name: "pexpiretime", Summary: "Returns the expiration time of a key as a Unix milliseconds timestamp.", Since: "7.0.0", Arity: 2, Flags: read, Handler: pexpiretimeCommand},
	}
	for i := range rows {
		rows[i].Group, rows[i].Keys = command.GroupGeneric, command.OneKey
	}
	return rows
}

// expireCondition reads NX, XX, GT or LT; 0 if it is none of them.
func expireCondition(arg []byte) model.ExpireCondition {
	switch {
	case command.Is(arg, "nx"):
		return model.ExpireNX
	case command.Is(arg, "xx"):
		return model.ExpireXX
	case command.Is(arg, "gt"):
		return model.ExpireGT
	case command.Is(arg, "lt"):
		return model.ExpireLT
	}
	return 0
}

func (c *Call) expire(kind model.ExpiryKind) error {
	o := model.ExpireOptions{Command: c.Name}
	for _, a := range c.Args[3:] {
		when := expireCondition(a)
		if when == 0 {
			return command.Error("ERR Unsupported option " + string(command.Truncated(a, command.EchoedBytes)))
		}
		o.When |= when
	}
	n, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	o.Expiry = model.Expiry{Kind: kind, N: n}
	return c.Truth(model.Expire(c.Txn, c.DB, c.Args[1], o))
}

func expireCommand(c *Call) error    { return c.expire(model.ExpirySeconds) }
func pexpireCommand(c *Call) error   { return c.expire(model.ExpiryMillis) }
func expireatCommand(c *Call) error  { return c.expire(model.ExpiryAt) }
func pexpireatCommand(c *Call) error { return c.expire(model.ExpiryAtMilli) }

func persistCommand(c *Call) error { return c.Truth(model.Persist(c.Txn, c.DB, c.Args[1])) }

func ttlCommand(c *Call) error {
	return c.Integer(model.TTL(c.Txn, c.DB, c.Args[1], model.UnitSeconds))
}

func pttlCommand(c *Call) error {
	return c.Integer(model.TTL(c.Txn, c.DB, c.Args[1], model.UnitMillis))
}

func expiretimeCommand(c *Call) error {
	return c.Integer(model.ExpireTime(c.Txn, c.DB, c.Args[1], model.UnitSeconds))
}

func pexpiretimeCommand(c *Call) error {
	return c.Integer(model.ExpireTime(c.Txn, c.DB, c.Args[1], model.UnitMillis))
}
