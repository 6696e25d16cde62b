// Package compare says whether two servers answered the same. What may differ for good
// reasons does not count: the order of what has none, a time to live within a tolerance,
// the words of an error behind its code. What says nothing about data, or is chance, is
// not compared at all.
package compare

import (
	"bytes"
	"math"
	"slices"
	"sort"
	"strings"
	"time"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/wire/resp"
)

// ignored commands are not compared: chance, cursors, and what servers say of themselves.
var ignored = map[string]bool{
	"scan": true, "hscan": true, "sscan": true, "zscan": true, "randomkey": true, "srandmember": true, "hrandfield": true,
	"zrandmember": true, "time": true, "dump": true, "dbsize": true, "info": true, "lastsave": true, "lolwut": true, "role": true,
	"xpending": true, "echo": true, "ping": true, "sort": true, "sort_ro": true, "wait": true, "waitaof": true,
}

// ignoredPrefixes are containers whose subcommands are ignored.
var ignoredPrefixes = []string{"object|", "memory|", "debug", "client|", "command", "config|", "xinfo|", "pubsub|", "slowlog|", "latency|",
	"cluster|", "acl|", "module|", "function|", "script|", "namespace", "zmap", "z.", "session"}

// unordered replies are sets, or maps where pairs is set.
var unordered = map[string]struct{ pairs bool }{
	"smembers": {}, "sunion": {}, "sinter": {}, "sdiff": {}, "keys": {}, "hkeys": {}, "hvals": {}, "hgetall": {true},
}

// tolerant replies are times in units of so many milliseconds.
var tolerant = map[string]int64{
	"ttl": 1000, "pttl": 1, "expiretime": 1000, "pexpiretime": 1, "httl": 1000, "hpttl": 1, "hexpiretime": 1000, "hpexpiretime": 1,
}

// rough replies hold floats that are computed.
var rough = map[string]bool{"geopos": true, "geodist": true, "georadius": true, "georadius_ro": true, "georadiusbymember": true,
	"georadiusbymember_ro": true, "geosearch": true}

// Ignored reports whether replies of a command with its full name in lower case are not
// compared.
func Ignored(name string) bool {
	return ignored[name] || slices.ContainsFunc(ignoredPrefixes, func(p string) bool { return strings.HasPrefix(name, p) })
}

// Rules are what may be chosen.
type Rules struct {
	// Tolerance is by how much times to live may differ.
	Tolerance time.Duration
}

// Equal compares two replies to a command, given as their bytes.
func (r Rules) Equal(name string, a, b []byte) bool {
	if bytes.Equal(a, b) || Ignored(name) {
		return true
	}
	x, err := peer.Decode(a)
	if err != nil {
		return false
	}
	y, err := peer.Decode(b)
	return err == nil && r.Values(name, x, y)
}

// Values is Equal for decoded replies.
func (r Rules) Values(name string, x, y resp.Value) bool {
	if x.Kind == resp.KindError && y.Kind == resp.KindError {
		return code(x) == code(y)
	}
	if unit, ok := tolerant[name]; ok {
		return r.near(x, y, unit)
	}
	if u, ok := unordered[name]; ok {
		x, y = sorted(x, u.pairs), sorted(y, u.pairs)
	}
	return same(x, y, rough[name])
}

func code(v resp.Value) string {
	word, _, _ := strings.Cut(string(v.Str), " ")
	return word
}

// near compares times, alone or in a list; what is negative is none.
func (r Rules) near(x, y resp.Value, unit int64) bool {
	if len(x.Array) != len(y.Array) || x.Kind != y.Kind {
		return false
	}
	for i := range x.Array {
		if !r.near(x.Array[i], y.Array[i], unit) {
			return false
		}
	}
	d := x.Int - y.Int
	if x.Int < 0 || y.Int < 0 {
		// One that has run out a moment before it does on the other side is gone there already.
		left := max(x.Int, y.Int)
		return d == 0 || min(x.Int, y.Int) == -2 && left >= 0 && left*unit <= r.Tolerance.Milliseconds()
	}
	limit := (r.Tolerance.Milliseconds() + unit - 1) / unit
	return -limit <= d && d <= limit
}

// sorted is an aggregate with its elements, or its pairs, in an order that they have
// themselves.
func sorted(v resp.Value, pairs bool) resp.Value {
	per := 1
	if pairs {
		per = 2
	}
	if len(v.Array)%per != 0 {
		return v
	}
	chunks := slices.Collect(slices.Chunk(v.Array, per))
	sort.Slice(chunks, func(i, j int) bool {
		for k := range per {
			if c := bytes.Compare(chunks[i][k].Str, chunks[j][k].Str); c != 0 {
				return c < 0
			}
		}
		return false
	})
	v.Array = slices.Concat(chunks...)
	return v
}

func same(x, y resp.Value, rough bool) bool {
	if x.Kind != y.Kind || x.Int != y.Int || len(x.Array) != len(y.Array) {
		return false
	}
	if !bytes.Equal(x.Str, y.Str) && !close(x, y, rough) {
		return false
	}
	for i := range x.Array {
		if !same(x.Array[i], y.Array[i], rough) {
			return false
		}
	}
	return true
}

// close reports whether two texts are numbers that are the same, or nearly so.
func close(x, y resp.Value, rough bool) bool {
	if x.Kind != resp.KindDouble && !rough {
		return false
	}
	a, ok := redisnum.ParseFloat(x.Str)
	b, ok2 := redisnum.ParseFloat(y.Str)
	if !ok || !ok2 {
		return false
	}
	return a == b || rough && math.Abs(a-b) <= 1e-4*math.Max(1, math.Abs(a))
}
