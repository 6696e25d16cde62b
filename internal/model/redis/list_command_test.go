package redis

import (
	"fmt"
	"strings"

	"github.com/stratadb/strata/internal/kv"
)

func sideOf(word string) Side { return Side(strings.HasPrefix(word, "R")) }

func push(name string) commandFunc {
	return func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(Push(t, w.at, []byte(a[0]), bs(a[1:]...), sideOf(name), strings.HasSuffix(name, "X")))
	}
}

func pop(name string) commandFunc {
	return func(w *world, t kv.Txn, a []string) (string, error) {
		count := int64(1)
		if len(a) > 1 {
			count = num(a[1])
		}
		vs, found, err := Pop(t, w.at, []byte(a[0]), sideOf(name), count, nil)
		switch {
		case err != nil || !found:
			return "(nil)", err
		case len(a) > 1:
			return showList(vs, nil)
		}
		return quote(vs[0]), nil
	}
}

var listCommands = map[string]commandFunc{
	"LPUSH": push("L"), "RPUSH": push("R"), "LPUSHX": push("LX"), "RPUSHX": push("RX"), "LPOP": pop("L"), "RPOP": pop("R"),
	"LLEN": func(w *world, t kv.Txn, a []string) (string, error) { return showInt(LLen(t, w.at, []byte(a[0]))) },
	"LRANGE": func(w *world, t kv.Txn, a []string) (string, error) {
		return showList(LRange(t, w.at, []byte(a[0]), num(a[1]), num(a[2]), nil))
	},
	"LINDEX": func(w *world, t kv.Txn, a []string) (string, error) {
		return show(LIndex(t, w.at, []byte(a[0]), num(a[1])))
	},
	"LSET": func(w *world, t kv.Txn, a []string) (string, error) {
		return showOK(LSet(t, w.at, []byte(a[0]), num(a[1]), []byte(a[2])))
	},
	"LINSERT": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(LInsert(t, w.at, []byte(a[0]), a[1] == "AFTER", []byte(a[2]), []byte(a[3])))
	},
	"LREM": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(LRem(t, w.at, []byte(a[0]), num(a[1]), []byte(a[2])))
	},
	"LTRIM": func(w *world, t kv.Txn, a []string) (string, error) {
		return showOK(LTrim(t, w.at, []byte(a[0]), num(a[1]), num(a[2])))
	},
	"LPOS": func(w *world, t kv.Txn, a []string) (string, error) {
		o, all := LPosOptions{Rank: 1, Count: 1}, false
		for i := 2; i+1 < len(a); i += 2 {
			switch a[i] {
			case "RANK":
				o.Rank = num(a[i+1])
			case "COUNT":
				o.Count, all = num(a[i+1]), true
			case "MAXLEN":
				o.MaxLen = num(a[i+1])
			}
		}
		at, err := LPos(t, w.at, []byte(a[0]), []byte(a[1]), o, nil)
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
	"LMOVE": func(w *world, t kv.Txn, a []string) (string, error) {
		return show(LMove(t, w.at, []byte(a[0]), []byte(a[1]), sideOf(a[2]), sideOf(a[3])))
	},
	"RPOPLPUSH": func(w *world, t kv.Txn, a []string) (string, error) {
		return show(LMove(t, w.at, []byte(a[0]), []byte(a[1]), Right, Left))
	},
	"LMPOP": func(w *world, t kv.Txn, a []string) (string, error) {
		n, count := int(num(a[0])), int64(1)
		if len(a) > n+2 {
			count = num(a[n+3])
		}
		key, vs, err := MPop(t, w.at, bs(a[1:1+n]...), sideOf(a[n+1]), count, nil)
		if err != nil || key == nil {
			return "(nil)", err
		}
		list, err := showList(vs, nil)
		return "[" + quote(key) + " " + list + "]", err
	},
}
