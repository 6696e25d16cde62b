package data

import (
	"github.com/stratadb/strata/internal/api/redis/command"
	model "github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/redisnum"
)

// HashTimes are their commands.
func HashTimes() []Command {
	const (
		read  = command.FlagReadonly | command.FlagFast
		write = command.FlagWrite | command.FlagDenyOOM | command.FlagFast
	)
	return hashRows([]Command{
		{Name: "hexpire", Summary: "Set expiry for hash field using relative time to expire (seconds)", Since: "7.4.0", Arity: -6, Flags: write, Handler: hexpireCommand},
		{Name: "hpexpire", Summary: "Set expiry for hash field using relative time to expire (milliseconds)", Since: "7.4.0", Arity: -6, Flags: write, Handler: hpexpireCommand},
		{Name: "hexpireat", Summary: "Set expiry for hash field using an absolute Unix timestamp (seconds)", Since: "7.4.0", Arity: -6, Flags: write, Handler: hexpireatCommand},
		{Name: "hpexpireat", Summary: "Set expiry for hash field using an absolute Unix timestamp (milliseconds)", Since: "7.4.0", Arity: -6, Flags: write, Handler: hpexpireatCommand},
		{Name: "httl", Summary: "Returns the TTL in seconds of a hash field.", Since: "7.4.0", Arity: -5, Flags: read, Handler: httlCommand},
		{Name: "hpttl", Summary: "Returns the TTL in milliseconds of a hash field.", Since: "7.4.0", Arity: -5, Flags: read, Handler: hpttlCommand},
		{Name: "hexpiretime", Summary: "Returns the expiration time of a hash field as a Unix timestamp, in seconds.", Since: "7.4.0", Arity: -5, Flags: read, Handler: hexpiretimeCommand},
		{Name: "hpexpiretime", Summary: "Returns the expiration time of a hash field as a Unix timestamp, in msec.", Since: "7.4.0", Arity: -5, Flags: read, Handler: hpexpiretimeCommand},
		{Name: "hpersist", Summary: "Removes the expiration time for each specified field", Since: "7.4.0", Arity: -5, Flags: command.FlagWrite | command.FlagFast, Handler: hpersistCommand},
		{Name: "hgetdel", Summary: "Returns the value of a field and deletes it from the hash.", Since: "8.0.0", Arity: -5, Flags: command.FlagWrite | command.FlagFast, Handler: hgetdelCommand},
		{Name: "hgetex", Summary: "Get the value of one or more fields of a given hash key, and optionally set their expiration.", Since: "8.0.0",
			Arity: -5, Flags: command.FlagWrite | command.FlagFast, Handler: hgetexCommand},
		{Name: "hsetex", Summary: "Set the value of one or more fields of a given hash key, and optionally set their expiration.", Since: "8.0.0",
			Arity: -6, Flags: write, Handler: hsetexCommand},
	})
}

const (
	errFieldsMissing command.Error = "ERR Mandatory argument FIELDS is missing or not at the right position"
	errFieldsCount   command.Error = "ERR Number of fields must be a positive integer"
	errExpireCount   command.Error = "ERR Parameter `numFields` should be greater than 0"
	errFieldsNumber  command.Error = "ERR The `numfields` parameter must match the number of arguments"
)

// fieldsAt reads FIELDS n field … from args[at] to the end.
func fieldsAt(args [][]byte, at int, count error) ([][]byte, error) {
	if at >= len(args) || !command.Is(args[at], "fields") {
		return nil, errFieldsMissing
	}
	if at+1 == len(args) {
		return nil, errFieldsNumber
	}
	n, ok := redisnum.ParseInt(args[at+1])
	if !ok || n < 1 {
		return nil, count
	}
	fields := args[at+2:]
	if n != int64(len(fields)) {
		return nil, errFieldsNumber
	}
	return fields, nil
}

// Integers finishes a handler whose result is a list of numbers.
func (c *Call) Integers(list []int64, err error) error {
	if err != nil {
		return err
	}
	c.Ints = list
	c.W.Array(len(list))
	for _, n := range list {
		c.W.Int(n)
	}
	return nil
}

func (c *Call) expireFields(kind model.ExpiryKind) error {
	n, err := command.ParseInt(c.Args[2])
	if err != nil {
		return err
	}
	o := model.ExpireOptions{Expiry: model.Expiry{Kind: kind, N: n}, Command: c.Name}
	at := 3
	if when := expireCondition(c.Args[at]); when != 0 {
		o.When = when
		at++
	}
	fields, err := fieldsAt(c.Args, at, errExpireCount)
	if err != nil {
		return err
	}
	return c.Integers(model.HExpire(c.Txn, c.DB, c.Args[1], fields, o, c.Ints[:0]))
}

func hexpireCommand(c *Call) error    { return c.expireFields(model.ExpirySeconds) }
func hpexpireCommand(c *Call) error   { return c.expireFields(model.ExpiryMillis) }
func hexpireatCommand(c *Call) error  { return c.expireFields(model.ExpiryAt) }
func hpexpireatCommand(c *Call) error { return c.expireFields(model.ExpiryAtMilli) }

func (c *Call) fieldTTL(u model.TimeUnit) error {
	fields, err := fieldsAt(c.Args, 2, errFieldsCount)
	if err != nil {
		return err
	}
	return c.Integers(model.HTTL(c.Txn, c.DB, c.Args[1], fields, u, c.Ints[:0]))
}

func httlCommand(c *Call) error  { return c.fieldTTL(model.UnitSeconds) }
func hpttlCommand(c *Call) error { return c.fieldTTL(model.UnitMillis) }

func (c *Call) fieldExpireTime(u model.TimeUnit) error {
	fields, err := fieldsAt(c.Args, 2, errFieldsCount)
	if err != nil {
		return err
	}
	return c.Integers(model.HExpireTime(c.Txn, c.DB, c.Args[1], fields, u, c.Ints[:0]))
}

func hexpiretimeCommand(c *Call) error  { return c.fieldExpireTime(model.UnitSeconds) }
func hpexpiretimeCommand(c *Call) error { return c.fieldExpireTime(model.UnitMillis) }

func hpersistCommand(c *Call) error {
	fields, err := fieldsAt(c.Args, 2, errFieldsCount)
	if err != nil {
		return err
	}
	return c.Integers(model.HPersist(c.Txn, c.DB, c.Args[1], fields, c.Ints[:0]))
}

func hgetdelCommand(c *Call) error {
	fields, err := fieldsAt(c.Args, 2, errFieldsCount)
	if err != nil {
		return err
	}
	return c.Values(model.HGetDel(c.Txn, c.DB, c.Args[1], fields, c.Bytes[:0]))
}

// hashExOptions are the arguments of HGETEX and HSETEX.
type hashExOptions struct {
	expiry    model.Expiry
	condition model.Condition
	fields    [][]byte // with values in turn for HSETEX
}

// parseHashEx reads the options in front of FIELDS; perField is how many
// arguments belong to each field.
func parseHashEx(args [][]byte, perField int) (o hashExOptions, err error) {
	set := perField == 2
	for i := 2; i < len(args); i++ {
		a := args[i]
		condition := model.Always
		switch {
		case command.Is(a, "fields"):
			o.fields, err = exFields(args, i, perField)
			return o, err
		case set && command.Is(a, "fnx"):
			condition = model.IfAbsent
		case set && command.Is(a, "fxx"):
			condition = model.IfPresent
		case (set && command.Is(a, "keepttl") || !set && command.Is(a, "persist")) && o.expiry.Kind == model.ExpiryNone:
			o.expiry.Kind = model.ExpiryKeep
			if !set {
				o.expiry.Kind = model.ExpiryPersist
			}
		default:
			used, err := expiryOption(args, i, &o.expiry)
			if err != nil {
				return o, err
			}
			if used == 0 {
				return o, command.Error("ERR unknown argument: " + string(command.Truncated(a, command.EchoedBytes)))
			}
			i += used - 1
		}
		if condition == model.Always {
			continue
		}
		if o.condition != model.Always {
			return o, command.Error("ERR Only one of FXX or FNX arguments can be specified")
		}
		o.condition = condition
	}
	return o, errFieldsMissing
}

func exFields(args [][]byte, at, perField int) ([][]byte, error) {
	if at+1 == len(args) {
		return nil, command.Error("ERR wrong number of arguments")
	}
	n, ok := redisnum.ParseInt(args[at+1])
	if !ok || n < 1 || n > int64(len(args)) {
		return nil, command.Error("ERR invalid number of fields")
	}
	fields := args[at+2:]
	if int(n)*perField != len(fields) {
		return nil, command.Error("ERR wrong number of arguments")
	}
	return fields, nil
}

func hgetexCommand(c *Call) error {
	o, err := parseHashEx(c.Args, 1)
	if err != nil {
		return err
	}
	return c.Values(model.HGetEx(c.Txn, c.DB, c.Args[1], o.fields, o.expiry, c.Bytes[:0]))
}

func hsetexCommand(c *Call) error {
	o, err := parseHashEx(c.Args, 2)
	if err != nil {
		return err
	}
	return c.Truth(model.HSetEx(c.Txn, c.DB, c.Args[1], o.fields, o.condition, o.expiry))
}
