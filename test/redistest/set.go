package redistest

import (
	"strings"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

func algebra(op redis.SetOperation) CommandFunc {
	return func(w *World, t kv.Txn, a []string) (string, error) { return showSorted(op(t, w.At, Bytes(a...))) }
}

func algebraStore(name string, op redis.SetOperation) CommandFunc {
	return func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.SStore(t, w.At, []byte(a[0]), Bytes(a[1:]...), op, strings.ToLower(name)))
	}
}

var setCommands = map[string]CommandFunc{
	"SADD": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.SAdd(t, w.At, []byte(a[0]), Bytes(a[1:]...)))
	},
	"SREM": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.SRem(t, w.At, []byte(a[0]), Bytes(a[1:]...)))
	},
	"SCARD": func(w *World, t kv.Txn, a []string) (string, error) {
		return ShowInt(redis.SCard(t, w.At, []byte(a[0])))
	},
	"SMOVE": func(w *World, t kv.Txn, a []string) (string, error) {
		return showBool(redis.SMove(t, w.At, []byte(a[0]), []byte(a[1]), []byte(a[2])))
	},
	"SISMEMBER": func(w *World, t kv.Txn, a []string) (string, error) {
		return showBool(redis.SIsMember(t, w.At, []byte(a[0]), []byte(a[1])))
	},
	"SMISMEMBER": func(w *World, t kv.Txn, a []string) (string, error) {
		ns, err := redis.SMIsMember(t, w.At, []byte(a[0]), Bytes(a[1:]...), nil)
		parts := make([]string, len(ns))
		for i, n := range ns {
			parts[i] = Integer(n)
		}
		return "[" + strings.Join(parts, " ") + "]", err
	},
	"SMEMBERS": func(w *World, t kv.Txn, a []string) (string, error) {
		return showSorted(redis.SMembers(t, w.At, []byte(a[0]), nil))
	},
	"SSCANALL": func(w *World, t kv.Txn, a []string) (string, error) {
		var fs []redis.FieldValue
		for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
			var err error
			if cursor, fs, err = redis.SScan(t, w.At, []byte(a[0]), cursor, redis.ScanOptions{Count: 2}, fs); err != nil {
				return "", err
			}
		}
		return ShowList(flat(fs, true, false), nil)
	},
	"SRANDMEMBER": func(w *World, t kv.Txn, a []string) (string, error) {
		fs, err := redis.SRandMember(t, w.At, []byte(a[0]), Number(a[1]), w.Rand, nil)
		return ShowInt(len(fs), err)
	},
	"SPOP": func(w *World, t kv.Txn, a []string) (string, error) {
		fs, err := redis.SPop(t, w.At, []byte(a[0]), Number(a[1]), w.Rand, nil)
		return ShowList(flat(fs, true, false), err)
	},
	"SINTER": algebra(redis.SInter), "SUNION": algebra(redis.SUnion), "SDIFF": algebra(redis.SDiff),
	"SINTERSTORE": algebraStore("SINTERSTORE", redis.SInter), "SUNIONSTORE": algebraStore("SUNIONSTORE", redis.SUnion),
	"SDIFFSTORE": algebraStore("SDIFFSTORE", redis.SDiff),
	"SINTERCARD": func(w *World, t kv.Txn, a []string) (string, error) {
		n, limit := Number(a[0]), int64(0)
		if int64(len(a)) > n+1 {
			limit = Number(a[n+2])
		}
		return ShowInt(redis.SInterCard(t, w.At, Bytes(a[1:n+1]...), limit))
	},
}
