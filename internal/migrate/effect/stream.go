package effect

import (
	"github.com/stratadb/strata/internal/wire/resp"
)

// trimOptions are those of XADD and XTRIM from an argument on: where they end, and whether
// what is trimmed is up to the server.
func trimOptions(args Args, i int) (end int, loose bool) {
	for i < len(args) {
		switch {
		case is(args[i], "nomkstream"):
			i++
		case is(args[i], "maxlen"), is(args[i], "minid"):
			if i++; i < len(args) && (string(args[i]) == "~" || string(args[i]) == "=") {
				loose = loose || string(args[i]) == "~"
				i++
			}
			i++
		case is(args[i], "limit"):
			i += 2
		default:
			return i, loose
		}
	}
	return i, loose
}

func xaddTreatment(name string, args Args) Treatment {
	end, loose := trimOptions(args, 2)
	switch {
	case loose:
		return Trimmed
	case name == "xtrim":
		return Same
	case end < len(args) && len(args[end]) > 0 && args[end][len(args[end])-1] != '*':
		return Same
	}
	return Translated
}

// xadd has the ID that was answered. What is trimmed loosely is left out: Trim follows.
func xadd(args Args, reply resp.Value, _ int64) []Args {
	if reply.IsNull() {
		return nil
	}
	end, loose := trimOptions(args, 2)
	if end >= len(args) {
		return nil
	}
	out := join("XADD", args[1])
	if !loose {
		out = append(out, args[2:end]...)
	}
	out = append(out, reply.Str)
	return []Args{append(out, args[end+1:]...)}
}

// xtrim is here for what is trimmed loosely only: Trim follows.
func xtrim(Args, resp.Value, int64) []Args { return nil }

// FirstEntry asks for what Trim needs to know.
func FirstEntry(key []byte) Args {
	return join("XRANGE", key, []byte("-"), []byte("+"), []byte("COUNT"), []byte("1"))
}

// Trim removes what the other side has no more: what is before its first entry.
func Trim(key []byte, first resp.Value) []Args {
	if first.Kind != resp.KindArray {
		return nil
	}
	if len(first.Array) == 0 {
		return []Args{join("XTRIM", key, []byte("MAXLEN"), []byte("0"))}
	}
	if len(first.Array[0].Array) == 0 {
		return nil
	}
	return []Args{join("XTRIM", key, []byte("MINID"), first.Array[0].Array[0].Str)}
}

// xreadgroup is the same read: on equal streams it delivers the same. It does not wait.
func xreadgroup(args Args, _ resp.Value, _ int64) []Args {
	out := join("XREADGROUP")
	for i := 1; i < len(args); i++ {
		switch {
		case is(args[i], "group") && i+2 < len(args):
			out = append(out, args[i], args[i+1], args[i+2])
			i += 2
		case is(args[i], "streams"):
			return []Args{append(out, args[i:]...)}
		case is(args[i], "block"):
			i++
		default:
			out = append(out, args[i])
		}
	}
	return []Args{out}
}

// ids are those of entries, or IDs themselves.
func ids(vs []resp.Value) (out Args) {
	for _, v := range vs {
		switch {
		case v.Kind == resp.KindBulk:
			out = append(out, v.Str)
		case len(v.Array) > 0:
			out = append(out, v.Array[0].Str)
		}
	}
	return out
}

// xclaim claims what was claimed: idle times are not the same on both sides.
func xclaim(args Args, reply resp.Value, _ int64) []Args {
	claimed := ids(reply.Array)
	if len(claimed) == 0 || len(args) < 6 {
		return nil
	}
	out := append(join("XCLAIM", args[1], args[2], args[3], []byte("0")), claimed...)
	for i := 5; i < len(args); i++ {
		switch {
		case is(args[i], "idle"), is(args[i], "time"), is(args[i], "retrycount"), is(args[i], "lastid"):
			if i+1 < len(args) {
				out = append(out, args[i], args[i+1])
				i++
			}
		case is(args[i], "force"), is(args[i], "justid"):
			out = append(out, args[i])
		}
	}
	return []Args{out}
}

func xautoclaim(args Args, reply resp.Value, _ int64) (all []Args) {
	if len(reply.Array) < 2 || len(args) < 6 {
		return nil
	}
	if claimed := ids(reply.Array[1].Array); len(claimed) > 0 {
		out := append(join("XCLAIM", args[1], args[2], args[3], []byte("0")), claimed...)
		for _, a := range args[6:] {
			if is(a, "justid") {
				out = append(out, a)
			}
		}
		all = append(all, out)
	}
	if len(reply.Array) > 2 {
		if gone := ids(reply.Array[2].Array); len(gone) > 0 {
			all = append(all, join("XACK", append(Args{args[1], args[2]}, gone...)...))
		}
	}
	return all
}
