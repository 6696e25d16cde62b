package redis

import (
	"fmt"
	"sort"
	"strings"

	"github.com/stratadb/strata/internal/kv"
)

func flat(fs []FieldValue, fields, values bool) (out [][]byte) {
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
func fieldArgs(a []string) [][]byte {
	for i, s := range a {
		if s == "FIELDS" {
			return bs(a[i+2:]...)
		}
	}
	return nil
}

func (w *world) hashCommand(t kv.Txn, name string, a []string) (string, error) {
	key, db := []byte(a[0]), w.at
	switch name {
	case "HSET":
		return showInt(HSet(t, db, key, bs(a[1:]...)))
	case "HSETNX":
		return showBool(HSetNX(t, db, key, []byte(a[1]), []byte(a[2])))
	case "HGET":
		return show(HGet(t, db, key, []byte(a[1])))
	case "HMGET":
		return showList(HMGet(t, db, key, bs(a[1:]...), nil))
	case "HGETALL", "HKEYS", "HVALS":
		fs, err := HGetAll(t, db, key, nil)
		out := flat(fs, name != "HVALS", name != "HKEYS")
		if name == "HVALS" {
			return showSorted(out, err)
		}
		return showList(out, err)
	case "HLEN":
		return showInt(HLen(t, db, key))
	case "HSTRLEN":
		return showInt(HStrLen(t, db, key, []byte(a[1])))
	case "HEXISTS":
		return showBool(HExists(t, db, key, []byte(a[1])))
	case "HDEL":
		return showInt(HDel(t, db, key, bs(a[1:]...)))
	case "HINCRBY":
		return showInt(HIncrBy(t, db, key, []byte(a[1]), num(a[2])))
	case "HINCRBYFLOAT":
		return show(HIncrByFloat(t, db, key, []byte(a[1]), []byte(a[2])))
	case "HSCANALL":
		var fs []FieldValue
		for cursor, first := uint64(0), true; cursor != 0 || first; first = false {
			var err error
			if cursor, fs, err = HScan(t, db, key, cursor, ScanOptions{Match: []byte(a[1]), Count: 2}, fs); err != nil {
				return "", err
			}
		}
		return showList(flat(fs, true, true), nil)
	}
	return w.hashTTLCommand(t, name, key, a[1:])
}

func (w *world) hashTTLCommand(t kv.Txn, name string, key []byte, a []string) (string, error) {
	db := w.at
	switch name {
	case "HEXPIRE", "HPEXPIRE", "HEXPIREAT", "HPEXPIREAT":
		c, _ := expireConditions(a[1:])
		o := ExpireOptions{Expiry{expireKinds[name[1:]], num(a[0])}, c, strings.ToLower(name)}
		return showInts(HExpire(t, db, key, fieldArgs(a), o, nil))
	case "HTTL", "HPTTL":
		return showInts(HTTL(t, db, key, fieldArgs(a), unitOf(name), nil))
	case "HEXPIRETIME", "HPEXPIRETIME":
		return showInts(HExpireTime(t, db, key, fieldArgs(a), unitOf(name), nil))
	case "HPERSIST":
		return showInts(HPersist(t, db, key, fieldArgs(a), nil))
	case "HGETDEL":
		return showList(HGetDel(t, db, key, fieldArgs(a), nil))
	case "HGETEX":
		x, _ := expiryOptions(a)
		return showList(HGetEx(t, db, key, fieldArgs(a), x, nil))
	case "HSETEX":
		c := Always
		if a[0] == "FNX" || a[0] == "FXX" {
			c = map[string]Condition{"FNX": IfAbsent, "FXX": IfPresent}[a[0]]
			a = a[1:]
		}
		x, _ := expiryOptions(a)
		return showBool(HSetEx(t, db, key, fieldArgs(a), c, x))
	case "HRANDFIELD":
		fs, err := HRandField(t, db, key, num(a[0]), w.rnd, nil)
		return showInt(len(fs), err)
	}
	return "", fmt.Errorf("no command %s", name)
}
