package rdb

import (
	"slices"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/internal/model/redis/list"
	"github.com/stratadb/strata/internal/model/redis/stream"
	"github.com/stratadb/strata/internal/model/redis/zset"
)

// The caller's errors.
var (
	ErrBusyKey = redis.NewError("BUSYKEY Target key name already exists.")
	ErrPayload = redis.NewError("ERR DUMP payload version or checksum are wrong")
	ErrFormat  = redis.NewError("ERR Bad data format")
)

// Dump is DUMP; nil for an absent key.
func Dump(t kv.Txn, db *redis.DB, key []byte) ([]byte, error) {
	kind, err := redis.TypeOf(t, db, key)
	if err != nil || kind == redis.TypeNone {
		return nil, err
	}
	v := Value{Kind: kind}
	switch kind {
	case redis.TypeString:
		v.Text, err = redis.Get(t, db, key)
	case redis.TypeList:
		v.Elements, err = list.Range(t, db, key, 0, -1, nil)
	case redis.TypeSet:
		v.Elements, err = redis.SMembers(t, db, key, nil)
	case redis.TypeHash:
		v.Fields, err = redis.TimedFields(t, db, key, nil)
	case redis.TypeZSet:
		v.Scored, err = zset.Range(t, db, key, zset.RangeOptions{Stop: -1}, nil)
	case redis.TypeStream:
		var snap stream.Snapshot
		snap, err = stream.SnapshotOf(t, db, key)
		v.Stream = &snap
	}
	if err != nil {
		return nil, err
	}
	return Marshal(&v), nil
}

// RestoreOptions are those of RESTORE.
type RestoreOptions struct {
	Replace bool
	// TTL is in ms from now, or with Absolute of the Unix epoch; 0 is none.
	TTL      int64
	Absolute bool
}

// Restore is RESTORE.
func Restore(t kv.Txn, db *redis.DB, key, payload []byte, o RestoreOptions) error {
	v, sound, err := Unmarshal(payload)
	switch {
	case !sound:
		return ErrPayload
	case err != nil:
		return ErrFormat
	}
	var e redis.Entry
	if err := e.Lookup(t, db, key); err != nil {
		return err
	}
	if err := v.fits(&e); err != nil {
		return err
	}
	if e.Found && !o.Replace {
		return ErrBusyKey
	}
	at := o.TTL
	if at != 0 && !o.Absolute {
		at += t.NowMillis()
	}
	over := at != 0 && at <= t.NowMillis()
	if e.Found {
		e.Remove(t)
		if over {
			e.Event(redis.EventGeneric, "del")
		}
	}
	if over {
		return nil
	}
	quiet := db.WithEvents(nil) // one event tells of all
	if err := v.store(t, quiet, key); err != nil {
		return err
	}
	if at != 0 {
		expiry := redis.ExpireOptions{Expiry: redis.Expiry{Kind: redis.ExpiryAtMilli, N: at}}
		if _, err := redis.Expire(t, quiet, key, expiry); err != nil {
			return err
		}
	}
	e.Event(redis.EventGeneric, "restore")
	return nil
}

// Check is what of Restore's errors does not depend on the payload.
func Check(t kv.Txn, db *redis.DB, key []byte, o RestoreOptions) error {
	kind, err := redis.TypeOf(t, db, key)
	if err == nil && kind != redis.TypeNone && !o.Replace {
		err = ErrBusyKey
	}
	return err
}

// fits is the error of a value of which a part is longer than a row can be.
func (v *Value) fits(e *redis.Entry) error {
	var names [][]byte
	if v.Kind == redis.TypeSet {
		names = v.Elements
	}
	for _, x := range v.Elements {
		if len(x) > redis.MaxFieldValueBytes {
			return redis.ErrFieldValueTooLong
		}
	}
	for i := range v.Fields {
		names = append(names, v.Fields[i].Field)
		if len(v.Fields[i].Value) > redis.MaxFieldValueBytes {
			return redis.ErrFieldValueTooLong
		}
	}
	for i := range v.Scored {
		names = append(names, v.Scored[i].Member)
	}
	if v.Stream != nil {
		if err := v.Stream.Fits(); err != nil {
			return err
		}
		names = append(names, v.Stream.Names()...)
	}
	if slices.ContainsFunc(names, e.FieldTooLong) {
		return redis.ErrKeyTooLong
	}
	return nil
}

// store makes the value that of a key that is absent.
func (v *Value) store(t kv.Txn, db *redis.DB, key []byte) (err error) {
	switch v.Kind {
	case redis.TypeString:
		_, err = redis.Set(t, db, key, v.Text, redis.SetOptions{})
	case redis.TypeList:
		_, err = list.Push(t, db, key, v.Elements, list.Right, false)
	case redis.TypeSet:
		_, err = redis.SAdd(t, db, key, v.Elements)
	case redis.TypeZSet:
		_, err = zset.Add(t, db, key, v.Scored, zset.AddOptions{})
	case redis.TypeStream:
		err = stream.Restore(t, db, key, v.Stream)
	case redis.TypeHash:
		pairs := make([][]byte, 0, 2*len(v.Fields))
		for i := range v.Fields {
			pairs = append(pairs, v.Fields[i].Field, v.Fields[i].Value)
		}
		_, err = redis.HSet(t, db, key, pairs)
		for i := 0; i < len(v.Fields) && err == nil; i++ {
			f := &v.Fields[i]
			if f.ExpireAt == 0 {
				continue
			}
			_, err = redis.HExpire(t, db, key, [][]byte{f.Field}, redis.ExpireOptions{Expiry: redis.Expiry{Kind: redis.ExpiryAtMilli, N: f.ExpireAt}}, nil)
		}
	}
	return err
}
