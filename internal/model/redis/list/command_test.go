package list

import (
	"fmt"
	"strings"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

func sideOf(word string) Side { return Side(strings.HasPrefix(word, "R")) }

func push(name string) redistest.CommandFunc {
	return func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Push(t, w.At, []byte(a[0]), redistest.Bytes(a[1:]...), sideOf(name), strings.HasSuffix(name, "X")))
	}
}

func pop(name string) redistest.CommandFunc {
	return func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		count := int64(1)
		if len(a) > 1 {
			count = redistest.Number(a[1])
		}
		vs, found, err := Pop(t, w.At, []byte(a[0]), sideOf(name), count, nil)
		switch {
		case err != nil || !found:
			return "(nil)", err
		case len(a) > 1:
			return redistest.ShowList(vs, nil)
		}
		return redistest.Quote(vs[0]), nil
	}
}

var listCommands = map[string]redistest.CommandFunc{
	"LPUSH": push("L"), "RPUSH": push("R"), "LPUSHX": push("LX"), "RPUSHX": push("RX"), "LPOP": pop("L"), "RPOP": pop("R"),
	"LLEN": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Len(t, w.At, []byte(a[0])))
	},
	"LRANGE": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowList(Range(t, w.At, []byte(a[0]), redistest.Number(a[1]), redistest.Number(a[2]), nil))
	},
	"LINDEX": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowBytes(Index(t, w.At, []byte(a[0]), redistest.Number(a[1])))
	},
	"LSET": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowOK(Set(t, w.At, []byte(a[0]), redistest.Number(a[1]), []byte(a[2])))
	},
	"LINSERT": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Insert(t, w.At, []byte(a[0]), a[1] == "AFTER", []byte(a[2]), []byte(a[3])))
	},
	"LREM": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowInt(Rem(t, w.At, []byte(a[0]), redistest.Number(a[1]), []byte(a[2])))
	},
	"LTRIM": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowOK(Trim(t, w.At, []byte(a[0]), redistest.Number(a[1]), redistest.Number(a[2])))
	},
	"LPOS": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		o, all := PosOptions{Rank: 1, Count: 1}, false
		for i := 2; i+1 < len(a); i += 2 {
			switch a[i] {
			case "RANK":
				o.Rank = redistest.Number(a[i+1])
			case "COUNT":
				o.Count, all = redistest.Number(a[i+1]), true
			case "MAXLEN":
				o.MaxLen = redistest.Number(a[i+1])
			}
		}
		at, err := Pos(t, w.At, []byte(a[0]), []byte(a[1]), o, nil)
		parts := make([]string, len(at))
		for i, n := range at {
			parts[i] = fmt.Sprintf("(integer) %d", n)
		}
		switch {
		case all:
			return "[" + strings.Join(parts, " ") + "]", err
		case len(at) == 0:
			return "(nil)", err
		}
		return parts[0], err
	},
	"LMOVE": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowBytes(Move(t, w.At, []byte(a[0]), []byte(a[1]), sideOf(a[2]), sideOf(a[3])))
	},
	"RPOPLPUSH": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		return redistest.ShowBytes(Move(t, w.At, []byte(a[0]), []byte(a[1]), Right, Left))
	},
	"LMPOP": func(w *redistest.World, t kv.Txn, a []string) (string, error) {
		n, count := int(redistest.Number(a[0])), int64(1)
		if len(a) > n+2 {
			count = redistest.Number(a[n+3])
		}
		key, vs, err := MPop(t, w.At, redistest.Bytes(a[1:1+n]...), sideOf(a[n+1]), count, nil)
		if err != nil || key == nil {
			return "(nil)", err
		}
		list, err := redistest.ShowList(vs, nil)
		return "[" + redistest.Quote(key) + " " + list + "]", err
	},
}

var listType = redistest.ValueType{Kind: redis.TypeList, Commands: listCommands, Check: Check}
