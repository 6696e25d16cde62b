package command

import (
	"bytes"
	"slices"
	"strings"

	"github.com/stratadb/strata/internal/auth"
	"github.com/stratadb/strata/internal/redisnum"
)

// Spec says where some of a command's keys are, and what it does to them, as COMMAND tells
// it. Positions among arguments count from the command's name.
type Spec struct {
	// Access are Redis's flags: RO, RW, OW or RM, and what else.
	Access []string
	// At is where the first key is or, with Counted, its number; with Keyword, where that is
	// looked for which stands before the key. Unknown says that only the command's own code knows.
	At      int
	Keyword string
	Unknown bool
	// Last is the last key, counted from the first one, or from the end if it is negative, Step
	// how far one is from the next. With a Limit above 1 only the first of so many parts of what
	// follows are keys.
	Last, Step, Limit int
	// Counted says that keys follow their number.
	Counted bool
}

func access(words string) []string { return strings.Fields(words) }

func keyAt(at int, words string) Spec { return Spec{Access: access(words), At: at, Step: 1} }

func keysFrom(at int, words string) Spec {
	return Spec{Access: access(words), At: at, Last: -1, Step: 1}
}

func countedAt(at int, words string) Spec {
	return Spec{Access: access(words), At: at, Step: 1, Counted: true}
}

func keyBehind(keyword string, from int, words string) Spec {
	return Spec{Access: access(words), At: from, Keyword: keyword, Step: 1}
}

func unknownKeys(words string) Spec { return Spec{Access: access(words), Unknown: true} }

// streamsFrom are the keys behind STREAMS: the first half of what follows.
func streamsFrom(from int) Spec {
	return Spec{Access: access("RO access"), At: from, Keyword: "STREAMS", Last: -1, Step: 1, Limit: 2}
}

// stored are what a command reads, behind what it stores to.
func stored(from Spec) []Spec { return []Spec{keyAt(1, "OW update"), from} }

var (
	moved = []Spec{keyAt(1, "RW access delete"), keyAt(2, "RW insert")}
	read  = []Spec{countedAt(1, "RO access")}
	some  = []Spec{keyAt(2, "RO")}
)

// specs are those of the commands whose keys are not all alike.
var specs = map[string][]Spec{
	"bitfield": {keyAt(1, "RW access update variable_flags")}, "set": {keyAt(1, "RW access update variable_flags")},
	"bitop":  {keyAt(2, "OW update"), keysFrom(3, "RO access")},
	"blmove": moved, "lmove": moved, "brpoplpush": moved, "rpoplpush": moved, "smove": moved,
	"blmpop": {countedAt(2, "RW access delete")}, "bzmpop": {countedAt(2, "RW access delete")},
	"lmpop": {countedAt(1, "RW access delete")}, "zmpop": {countedAt(1, "RW access delete")},
	"copy": {keyAt(1, "RO access"), keyAt(2, "OW update")}, "rename": {keyAt(1, "RW access delete"), keyAt(2, "OW update")},
	"renamenx":          {keyAt(1, "RW access delete"), keyAt(2, "OW insert")},
	"georadius":         {keyAt(1, "RO access"), keyBehind("STORE", 6, "OW update"), keyBehind("STOREDIST", 6, "OW update")},
	"georadiusbymember": {keyAt(1, "RO access"), keyBehind("STORE", 5, "OW update"), keyBehind("STOREDIST", 5, "OW update")},
	"geosearchstore":    stored(keyAt(2, "RO access")), "zrangestore": stored(keyAt(2, "RO access")),
	"sdiffstore": stored(keysFrom(2, "RO access")), "sunionstore": stored(keysFrom(2, "RO access")), "sinterstore": {keyAt(1, "RW update"), keysFrom(2, "RO access")},
	"zdiffstore": stored(countedAt(2, "RO access")), "zinterstore": stored(countedAt(2, "RO access")), "zunionstore": stored(countedAt(2, "RO access")),
	"zdiff": read, "zinter": read, "zintercard": read, "zunion": read, "sintercard": read,
	"pfmerge": {keyAt(1, "RW access insert"), keysFrom(2, "RO access")}, "pfdebug": {keyAt(2, "RW access")}, "pfcount": {keysFrom(1, "RW access")},
	"sort":     {keyAt(1, "RO access"), unknownKeys("RO access"), unknownKeys("OW update")},
	"sort_ro":  {keyAt(1, "RO access"), unknownKeys("RO access")},
	"spublish": {keyAt(1, "not_key")}, "ssubscribe": {keysFrom(1, "not_key")}, "sunsubscribe": {keysFrom(1, "not_key")},
	"eval": {countedAt(2, "RW access update")}, "evalsha": {countedAt(2, "RW access update")}, "fcall": {countedAt(2, "RW access update")},
	"eval_ro": {countedAt(2, "RO access")}, "evalsha_ro": {countedAt(2, "RO access")}, "fcall_ro": {countedAt(2, "RO access")},
	"xread": {streamsFrom(1)}, "xreadgroup": {streamsFrom(4)},
	"memory|usage": some, "object|encoding": some, "object|refcount": some, "object|idletime": some, "object|freq": some,
	"xgroup|create": {keyAt(2, "RW insert")}, "xgroup|createconsumer": {keyAt(2, "RW insert")},
	"xgroup|destroy": {keyAt(2, "RW delete")}, "xgroup|delconsumer": {keyAt(2, "RW delete")},
}

// Specs are those of the command.
func (cmd *Command[C]) Specs() []Spec { return cmd.specs }

func (cmd *Command[C]) makeSpecs() []Spec {
	if all, ok := specs[cmd.full]; ok {
		return all
	}
	if cmd.Keys.First == 0 {
		return nil
	}
	last := cmd.Keys.Last
	if last > 0 {
		last -= cmd.Keys.First
	}
	return []Spec{{Access: cmd.access(), At: cmd.Keys.First, Last: last, Step: cmd.Keys.Step}}
}

// positions appends the indexes of the keys among args.
func (s *Spec) positions(args [][]byte, at []int) []int {
	first := s.At
	if s.Keyword != "" {
		for first < len(args) && !strings.EqualFold(string(Truncated(args[first], NameMaxBytes)), s.Keyword) {
			first++
		}
		first++
	}
	last := first + s.Last
	switch {
	case s.Unknown || first >= len(args):
		return at
	case s.Counted:
		n, ok := redisnum.ParseInt(args[first])
		if !ok || n < 1 || n > int64(len(args)-first-1) {
			return at
		}
		first++
		last = first + int(n) - 1
	case s.Limit > 1:
		last = first + (len(args)-first)/s.Limit - 1
	case s.Last < 0:
		last = len(args) + s.Last
	}
	for i := first; i <= last && i < len(args); i += s.Step {
		at = append(at, i)
	}
	return at
}

// AccessAt are the flags of the key that is args[i]. What no spec knows is what the last one
// says.
func (cmd *Command[C]) AccessAt(args [][]byte, i int) (flags []string) {
	for _, s := range cmd.Specs() {
		flags = s.Access
		if slices.Contains(s.positions(args, nil), i) {
			break
		}
	}
	if slices.Contains(flags, "variable_flags") {
		return variable(cmd.full, args)
	}
	return flags
}

var (
	onlyRead    = access("RO access")
	onlyWritten = access("OW update")
	readWritten = access("RW access update")
)

// variable are the flags of the key of a command whose other arguments decide.
func variable(name string, args [][]byte) []string {
	if name == "set" {
		for i := 3; i < len(args); i++ {
			if Is(args[i], "get") || len(args[i]) > 2 && Is(args[i][:2], "if") { // what it is compared with can be found out
				return readWritten
			}
		}
		return onlyWritten
	}
	for i := 2; i < len(args); { // BITFIELD
		switch left := len(args) - i - 1; {
		case Is(args[i], "get") && left >= 2:
			i += 3
		case Is(args[i], "overflow") && left >= 1:
			i += 2
		default:
			return readWritten
		}
	}
	return onlyRead
}

// Uses appends the keys of a call: all that a spec knows, and those that only the command's own
// code finds.
func (cmd *Command[C]) Uses(args [][]byte, to []auth.Use) []auth.Use {
	first := len(to)
	for i := range cmd.specs {
		s := &cmd.specs[i]
		if slices.Contains(s.Access, "not_key") {
			return to
		}
		flags := s.Access
		if slices.Contains(flags, "variable_flags") {
			flags = variable(cmd.full, args)
		}
		var few [16]int
		for _, at := range s.positions(args, few[:0]) {
			to = append(to, use(at, flags))
		}
	}
	var few [16]int
	for _, at := range cmd.Keys.Positions(args, few[:0]) {
		if !slices.ContainsFunc(to[first:], func(u auth.Use) bool { return u.At == at }) {
			to = append(to, use(at, cmd.AccessAt(args, at)))
		}
	}
	return to
}

func use(at int, flags []string) (u auth.Use) {
	u.At = at
	for _, f := range flags {
		switch f {
		case "access":
			u.Read = true
		case "update", "insert", "delete":
			u.Write = true
		}
	}
	return u
}

// access are the flags of the keys of a command whose keys are all alike.
func (cmd *Command[C]) access() []string {
	if cmd.Flags&FlagWrite == 0 {
		switch {
		case cmd.Group == GroupTransactions,
			slices.Contains([]string{"exists", "touch", "type", "strlen", "hlen", "hexists", "hstrlen", "llen", "scard", "sismember", "zcard", "xlen"}, cmd.Name):
			return access("RO")
		}
		return access("RO access")
	}
	switch cmd.Name {
	case "del", "unlink":
		return access("RM delete")
	case "hdel", "lrem", "ltrim", "srem", "zrem", "zremrangebyrank", "zremrangebyscore", "zremrangebylex", "xdel", "xtrim", "xautoclaim":
		return access("RW delete")
	case "getdel", "delex", "hgetdel", "lpop", "rpop", "blpop", "brpop", "spop", "zpopmin", "zpopmax", "bzpopmin", "bzpopmax":
		return access("RW access delete")
	case "mset", "setex", "psetex", "restore":
		return access("OW update")
	case "setnx", "msetnx":
		return access("OW insert")
	case "append", "hsetnx", "lpush", "rpush", "lpushx", "rpushx", "linsert", "sadd", "pfadd":
		return access("RW insert")
	case "getset", "getex", "incr", "decr", "incrby", "decrby", "incrbyfloat", "hincrby", "hincrbyfloat", "hgetex", "zincrby", "setbit", "move":
		return access("RW access update")
	}
	return access("RW update")
}

// Elsewhere reports whether a call may read keys that are none of its arguments: those that
// a pattern names.
func (cmd *Command[C]) Elsewhere(args [][]byte) bool {
	unknown := slices.ContainsFunc(cmd.Specs(), func(s Spec) bool { return s.Unknown })
	return unknown && slices.ContainsFunc(args, func(arg []byte) bool { return bytes.IndexByte(arg, '*') >= 0 })
}
