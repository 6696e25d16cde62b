package redistest

import (
	"fmt"
	"sort"
	"strings"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
)

func flat(fs []redis.FieldValue, fields, values bool) (out [][]byte) {
	sort.Slice(fs, func(i, j int) bool { return string(fs[i].Field) < string(fs[j].Field) })
	for _, f := range fs {
		if fields {
			out = append(out, f.Field)
		}
		if values {
			out = append(out, f.Value)
		}
	}
	return out
}

// fieldArgs is what follows FIELDS numfields.
func FieldArgs(a []string) [][]byte {
	for i, s := range a {
		if s == "FIELDS" {
			return Bytes(a[i+2:]...)
		}
	}
	return nil
}

func (w *World) hashCommand(t kv.Txn, name string, a []string) (string, error) {
	key, db := []byte(a[0]), w.At
	switch name {
	case "HSET":
		return ShowInt(redis.HSet(t, db, key, Bytes(a[1:]...)))
	case "HSETNX":
		return showBool(redis.HSetNX(t, db, key, []byte(a[1]), []byte(a[2])))
	case "HGET":
		return ShowBytes(redis.HGet(t, db, key, []byte(a[1])))
	case "HMGET":
		return ShowList(redis.HMGet(t, db, key, Bytes(a[1:]...), nil))
	case "HGETALL", "HKEYS", "HVALS":
		fs, err := redis.HGetAll(t, db, key, nil)
		out := flat(fs, name != "HVALS", name != "HKEYS")
		if name == "HVALS" {
			return showSorted(out, err)
		}
		return ShowList(out, err)
	case "HLEN":
		return ShowInt(redis.HLen(t, db, key))
	case "HSTRLEN":
		return ShowInt(redis.HStrLen(t, db, key, []byte(a[1])))
	case "HEXISTS":
		return showBool(redis.HExists(t, db, key, []byte(a[1])))
	case "HDEL":
		return ShowInt(redis.HDel(t, db, key, Bytes(a[1:]...)))
	case "HINCRBY":
		return ShowInt(redis.HIncrBy(t, db, key, []byte(a[1]), Number(a[2])))
	case "HINCRBYFLOAT":
		return ShowBytes(redis.HIncrByFloat(t, db, key, []byte(a[1]), []byte(a[2])))
	case "HSCANALL":
		var fs []redis.FieldValue
		for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
			var err error
			if cursor, fs, err = redis.HScan(t, db, key, cursor, redis.ScanOptions{Match: []byte(a[1]), Count: 2}, fs); err != nil {
				return "", err
			}
		}
		return ShowList(flat(fs, true, true), nil)
	}
	return w.hashTTLCommand(t, name, key, a[1:])
}

func (w *World) hashTTLCommand(t kv.Txn, name string, key []byte, a []string) (string, error) {
	db := w.At
	switch name {
	case "HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT":
		c, _ := expireConditions(a[1:])
		o := redis.ExpireOptions{Expiry: redis.Expiry{Kind: expireKinds[name[1:]], N: Number(a[0])}, When: c, Command: strings.ToLower(name)}
		return showInts(redis.HExpire(t, db, key, FieldArgs(a), o, nil))
	case "HTTL", "HPTTL":
		return showInts(redis.HTTL(t, db, key, FieldArgs(a), unitOf(name), nil))
	case "HEXPIRETIME", "HPEXPIRETIME":
		return showInts(redis.HExpireTime(t, db, key, FieldArgs(a), unitOf(name), nil))
	case "HPERSIST":
		return showInts(redis.HPersist(t, db, key, FieldArgs(a), nil))
	case "HGETDEL":
		return ShowList(redis.HGetDel(t, db, key, FieldArgs(a), nil))
	case "HGETEX":
		x, _ := expiryOptions(a)
		return ShowList(redis.HGetEx(t, db, key, FieldArgs(a), x, nil))
	case "HSETEX":
		c := redis.Always
		if a[0] == "FNX" || a[0] == "FXX" {
			c = map[string]redis.Condition{"FNX": redis.IfAbsent, "FXX": redis.IfPresent}[a[0]]
			a = a[1:]
		}
		x, _ := expiryOptions(a)
		return showBool(redis.HSetEx(t, db, key, FieldArgs(a), c, x))
	case "HRANDFIELD":
		fs, err := redis.HRandField(t, db, key, Number(a[0]), w.Rand, nil)
		return ShowInt(len(fs), err)
	}
	return "", fmt.Errorf("no command %s", name)
}
