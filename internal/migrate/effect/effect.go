// Package effect says what a write that one server has executed is on another one, so that
// both end with the same data, although they execute it at different times.
//
// Most commands are their own effect: on equal data they do the same. The others are those
// whose outcome depends on chance, on the clock, on how data lies in memory or on a
// condition that time decides. Redis's replication rewrites them in the same way:
//
//	SPOP            SREM of what it answered
//	SET EX, NX, …   SET with the time at which it expires, if it did set
//	EXPIRE          PEXPIREAT, if it answered that it did
//	INCRBYFLOAT     SET of what it answered
//	XADD *          XADD with the ID that it answered
//	BLPOP           LPOP at the key that it answered
//	XCLAIM          XCLAIM of what it answered, whatever the idle times
//
// A command that was answered with an error has no effect.
package effect

import (
	"strconv"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/wire/resp"
)

// Treatment is how a command is kept the same on both sides.
type Treatment uint8

const (
	// Same commands are their own effect.
	Same Treatment = iota
	// Local commands are for the deciding side only: they write no data.
	Local
	// Translated commands have effects that depend on the reply.
	Translated
	// Copied commands have effects that only their keys show: those are copied.
	Copied
	// Trimmed commands are Translated, and then the first entry of the stream says what
	// was trimmed.
	Trimmed
	// Script commands execute what nobody knows.
	Script
	// Everywhere commands change what is no key's: databases, functions.
	Everywhere
	// Refused commands make no sense between two servers.
	Refused
)

// Args is a command with its arguments.
type Args = [][]byte

// translator answers the effects of a command that was executed at the given time, in
// milliseconds of the Unix epoch.
type translator func(args Args, reply resp.Value, now int64) []Args

// Treat says how a command with its full name in lower case is treated.
func Treat(name string, args Args) Treatment {
	switch name {
	case "publish", "spublish":
		return Local
	case "flushdb", "flushall", "swapdb", "function|load", "function|delete", "function|flush", "function|restore", "script|load", "script|flush":
		return Everywhere
	case "eval", "evalsha", "fcall":
		return Script
	case "migrate", "replicaof", "slaveof", "psync", "sync", "replconf", "failover", "monitor", "shutdown", "restore-asking":
		return Refused
	case "set":
		if len(args) > 3 {
			return Translated
		}
		return Same
	case "xadd", "xtrim":
		return xaddTreatment(name, args)
	case "sort":
		return Copied // in which order elements without one come is nobody's promise
	}
	if _, ok := translators[name]; ok {
		return Translated
	}
	return Same
}

// Of are the effects of a Translated or Trimmed command, none for one that did nothing.
func Of(name string, args Args, reply resp.Value, now time.Time) []Args {
	if reply.Kind == resp.KindError {
		return nil
	}
	f := translators[name]
	if f == nil {
		return []Args{args}
	}
	return f(args, reply, now.UnixMilli())
}

var translators map[string]translator

func init() {
	translators = map[string]translator{
		"set": set, "setnx": setnx, "setex": setex, "psetex": setex, "getex": getex, "msetnx": msetnx,
		"incrbyfloat": incrByFloat, "hincrbyfloat": hincrByFloat,
		"expire": expire, "pexpire": expire, "expireat": expire, "pexpireat": expire, "restore": restore,
		"spop": spop, "blpop": blpop("LPOP"), "brpop": blpop("RPOP"), "blmove": blmove, "brpoplpush": brpoplpush,
		"blmpop": lmpop(2), "lmpop": lmpop(1), "bzmpop": zmpop(2), "zmpop": zmpop(1),
		"bzpopmin": bzpop, "bzpopmax": bzpop,
		"xadd": xadd, "xtrim": xtrim, "xreadgroup": xreadgroup, "xclaim": xclaim, "xautoclaim": xautoclaim,
		"hexpire": hexpire, "hpexpire": hexpire, "hsetex": absolute(2), "hgetex": absolute(2),
	}
}

func words(s ...string) Args {
	a := make(Args, len(s))
	for i := range s {
		a[i] = []byte(s[i])
	}
	return a
}

// join is a command of a name and arguments.
func join(name string, args ...[]byte) Args { return append(words(name), args...) }

func is(arg []byte, word string) bool { return command.Is(arg, word) }

func number(n int64) []byte { return strconv.AppendInt(nil, n, 10) }

// at is when a time of the given unit is over: EX, PX, EXAT or PXAT. Redis has refused what
// would overflow.
func at(unit string, arg []byte, now int64) []byte {
	n, _ := redisnum.ParseInt(arg)
	if !strings.HasPrefix(unit, "P") {
		n *= 1000
	}
	if !strings.HasSuffix(unit, "AT") {
		n += now
	}
	return number(n)
}

// expiryOption is the unit of an option that takes a time.
func expiryOption(arg []byte) string {
	for _, u := range []string{"EX", "PX", "EXAT", "PXAT"} {
		if is(arg, strings.ToLower(u)) {
			return u
		}
	}
	return ""
}

func set(args Args, reply resp.Value, now int64) []Args {
	var tail Args
	nx, xx, get := false, false, false
	for i := 3; i < len(args); i++ {
		switch unit := expiryOption(args[i]); {
		case unit != "" && i+1 < len(args):
			tail = Args{[]byte("PXAT"), at(unit, args[i+1], now)}
			i++
		case is(args[i], "keepttl"):
			tail = Args{[]byte("KEEPTTL")}
		case is(args[i], "nx"):
			nx = true
		case is(args[i], "xx"):
			xx = true
		case is(args[i], "get"):
			get = true
		default: // a condition on the value
			return []Args{args}
		}
	}
	null := reply.IsNull()
	switch {
	case get && nx && !null, get && xx && null, !get && null:
		return nil
	}
	return []Args{join("SET", append(Args{args[1], args[2]}, tail...)...)}
}

func setnx(args Args, reply resp.Value, _ int64) []Args {
	if reply.Int == 0 {
		return nil
	}
	return []Args{join("SET", args[1], args[2])}
}

func setex(args Args, _ resp.Value, now int64) []Args {
	unit := "EX"
	if is(args[0], "psetex") {
		unit = "PX"
	}
	return []Args{join("SET", args[1], args[3], []byte("PXAT"), at(unit, args[2], now))}
}

func getex(args Args, reply resp.Value, now int64) []Args {
	if reply.IsNull() || len(args) < 3 {
		return nil
	}
	if is(args[2], "persist") {
		return []Args{join("PERSIST", args[1])}
	}
	if unit := expiryOption(args[2]); unit != "" && len(args) > 3 {
		return []Args{join("PEXPIREAT", args[1], at(unit, args[3], now))}
	}
	return []Args{args}
}

func msetnx(args Args, reply resp.Value, _ int64) []Args {
	if reply.Int == 0 {
		return nil
	}
	return []Args{join("MSET", args[1:]...)}
}

func incrByFloat(args Args, reply resp.Value, _ int64) []Args {
	return []Args{join("SET", args[1], reply.Str, []byte("KEEPTTL"))}
}

func hincrByFloat(args Args, reply resp.Value, _ int64) []Args {
	return []Args{join("HSET", args[1], args[2], reply.Str)}
}

var expireUnits = map[string]string{"expire": "EX", "pexpire": "PX", "expireat": "EXAT", "pexpireat": "PXAT"}

func expire(args Args, reply resp.Value, now int64) []Args {
	if reply.Int == 0 {
		return nil
	}
	unit := expireUnits[strings.ToLower(string(args[0]))]
	return []Args{join("PEXPIREAT", args[1], at(unit, args[2], now))}
}

func restore(args Args, _ resp.Value, now int64) []Args {
	absolute := false
	out := append(Args{}, args...)
	for _, a := range args[4:] {
		absolute = absolute || is(a, "absttl")
	}
	if ttl, ok := redisnum.ParseInt(args[2]); ok && ttl > 0 && !absolute {
		out[2] = number(ttl + now)
		out = append(out, []byte("ABSTTL"))
	}
	return []Args{out}
}

func strs(vs []resp.Value) Args {
	out := make(Args, len(vs))
	for i, v := range vs {
		out[i] = v.Str
	}
	return out
}

func spop(args Args, reply resp.Value, _ int64) []Args {
	members := strs(reply.Array)
	if reply.Kind == resp.KindBulk {
		members = Args{reply.Str}
	}
	if len(members) == 0 {
		return nil
	}
	return []Args{join("SREM", append(Args{args[1]}, members...)...)}
}

func blpop(pop string) translator {
	return func(_ Args, reply resp.Value, _ int64) []Args {
		if len(reply.Array) != 2 {
			return nil
		}
		return []Args{join(pop, reply.Array[0].Str)}
	}
}

func blmove(args Args, reply resp.Value, _ int64) []Args {
	if reply.IsNull() {
		return nil
	}
	return []Args{join("LMOVE", args[1:5]...)}
}

func brpoplpush(args Args, reply resp.Value, _ int64) []Args {
	if reply.IsNull() {
		return nil
	}
	return []Args{join("RPOPLPUSH", args[1], args[2])}
}

// lmpop is LMPOP and BLMPOP; the number of keys is args[count].
func lmpop(count int) translator {
	return func(args Args, reply resp.Value, _ int64) []Args {
		if len(reply.Array) != 2 {
			return nil
		}
		pop := "LPOP"
		if n, ok := redisnum.ParseInt(args[count]); ok && is(args[count+1+int(n)], "right") {
			pop = "RPOP"
		}
		return []Args{join(pop, reply.Array[0].Str, number(int64(len(reply.Array[1].Array))))}
	}
}

func zmpop(int) translator {
	return func(_ Args, reply resp.Value, _ int64) []Args {
		if len(reply.Array) != 2 {
			return nil
		}
		rem := Args{reply.Array[0].Str}
		for _, pair := range reply.Array[1].Array {
			if len(pair.Array) > 0 {
				rem = append(rem, pair.Array[0].Str)
			}
		}
		return []Args{join("ZREM", rem...)}
	}
}

func bzpop(_ Args, reply resp.Value, _ int64) []Args {
	if len(reply.Array) != 3 {
		return nil
	}
	return []Args{join("ZREM", reply.Array[0].Str, reply.Array[1].Str)}
}

// hexpire makes the times absolute; which fields are reached both sides decide.
func hexpire(args Args, _ resp.Value, now int64) []Args {
	unit := "EX"
	if is(args[0], "hpexpire") {
		unit = "PX"
	}
	out := join("HPEXPIREAT", args[1:]...)
	out[2] = at(unit, args[2], now)
	return []Args{out}
}

// absolute replaces a time among the options from an argument on.
func absolute(from int) translator {
	return func(args Args, _ resp.Value, now int64) []Args {
		out := append(Args{}, args...)
		for i := from; i+1 < len(out) && !is(out[i], "fields"); i++ {
			if unit := expiryOption(out[i]); unit != "" {
				out[i], out[i+1] = []byte("PXAT"), at(unit, args[i+1], now)
				break
			}
		}
		return []Args{out}
	}
}
