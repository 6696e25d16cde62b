package redis

import (
	"strings"

	"github.com/stratadb/strata/internal/kv"
)

func algebra(op SetOperation) commandFunc {
	return func(w *world, t kv.Txn, a []string) (string, error) { return showSorted(op(t, w.at, bs(a...))) }
}

func algebraStore(name string, op SetOperation) commandFunc {
	return func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(SStore(t, w.at, []byte(a[0]), bs(a[1:]...), op, strings.ToLower(name)))
	}
}

var setCommands = map[string]commandFunc{
	"SADD": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(SAdd(t, w.at, []byte(a[0]), bs(a[1:]...)))
	},
	"SREM": func(w *world, t kv.Txn, a []string) (string, error) {
		return showInt(SRem(t, w.at, []byte(a[0]), bs(a[1:]...)))
	},
	"SCARD": func(w *world, t kv.Txn, a []string) (string, error) { return showInt(SCard(t, w.at, []byte(a[0]))) },
	"SMOVE": func(w *world, t kv.Txn, a []string) (string, error) {
		return showBool(SMove(t, w.at, []byte(a[0]), []byte(a[1]), []byte(a[2])))
	},
	"SISMEMBER": func(w *world, t kv.Txn, a []string) (string, error) {
		return showBool(SIsMember(t, w.at, []byte(a[0]), []byte(a[1])))
	},
	"SMISMEMBER": func(w *world, t kv.Txn, a []string) (string, error) {
		ns, err := SMIsMember(t, w.at, []byte(a[0]), bs(a[1:]...), nil)
		parts := make([]string, len(ns))
		for i, n := range ns {
			parts[i] = integer(n)
		}
		return "[" + strings.Join(parts, " ") + "]", err
	},
	"SMEMBERS": func(w *world, t kv.Txn, a []string) (string, error) {
		return showSorted(SMembers(t, w.at, []byte(a[0]), nil))
	},
	"SSCANALL": func(w *world, t kv.Txn, a []string) (string, error) {
		var fs []FieldValue
		for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
			var err error
			if cursor, fs, err = SScan(t, w.at, []byte(a[0]), cursor, ScanOptions{Count: 2}, fs); err != nil {
				return "", err
			}
		}
		return showList(flat(fs, true, false), nil)
	},
	"SRANDMEMBER": func(w *world, t kv.Txn, a []string) (string, error) {
		fs, err := SRandMember(t, w.at, []byte(a[0]), num(a[1]), w.rnd, nil)
		return showInt(len(fs), err)
	},
	"SPOP": func(w *world, t kv.Txn, a []string) (string, error) {
		fs, err := SPop(t, w.at, []byte(a[0]), num(a[1]), w.rnd, nil)
		return showList(flat(fs, true, false), err)
	},
	"SINTER": algebra(SInter), "SUNION": algebra(SUnion), "SDIFF": algebra(SDiff),
	"SINTERSTORE": algebraStore("SINTERSTORE", SInter), "SUNIONSTORE": algebraStore("SUNIONSTORE", SUnion),
	"SDIFFSTORE": algebraStore("SDIFFSTORE", SDiff),
	"SINTERCARD": func(w *world, t kv.Txn, a []string) (string, error) {
		n, limit := num(a[0]), int64(0)
		if int64(len(a)) > n+1 {
			limit = num(a[n+2])
		}
		return showInt(SInterCard(t, w.at, bs(a[1:n+1]...), limit))
	},
}
