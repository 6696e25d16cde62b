package redis

import "github.com/stratadb/strata/internal/kv"

// What the commands of this file answer for a field.
const (
	FieldAbsent       int64 = -2
	FieldNoExpiry     int64 = -1
	FieldConditionOff int64 = 0
	FieldExpirySet    int64 = 1
	FieldDeleted      int64 = 2
)

// fieldExpireMaxMillis is the last time that Redis accepts for a field.
const fieldExpireMaxMillis = 1<<46 - 1

// ExpireOptions are the arguments of EXPIRE, HEXPIRE and their kin.
type ExpireOptions struct {
	Expiry Expiry
	When   ExpireCondition
	// Command names the command in an error.
	Command string
}

// HExpire is HEXPIRE, HPEXPIRE, HEXPIREAT and HPEXPIREAT: a code for each field
// is appended to dst.
func HExpire(t kv.Txn, db *DB, key []byte, fields [][]byte, o ExpireOptions, dst []int64) ([]int64, error) {
	if err := o.When.validate(); err != nil {
		return nil, err
	}
	now := t.NowMillis()
	at, err := o.fieldTime(now)
	if err != nil {
		return nil, err
	}
	var x hashEdit
	if err := x.open(t, db, key); err != nil {
		return nil, err
	}
	set, deleted := false, false
	for _, field := range fields {
		code, err := x.expireField(field, at, o.When)
		if err != nil {
			return nil, err
		}
		set, deleted = set || code == FieldExpirySet, deleted || code == FieldDeleted
		dst = append(dst, code)
	}
	if set {
		x.Event(EventHash, "hexpire")
	}
	if deleted {
		x.Event(EventHash, "hdel")
	}
	return dst, x.finish()
}

func (o *ExpireOptions) fieldTime(now int64) (int64, error) {
	if o.Expiry.N < 0 {
		return 0, ErrFieldExpireNegative
	}
	at, ok := o.Expiry.millis(now)
	if !ok || at > fieldExpireMaxMillis {
		return 0, InvalidExpire(o.Command)
	}
	return at, nil
}

func (x *hashEdit) expireField(field []byte, at int64, when ExpireCondition) (int64, error) {
	if !x.Found || x.FieldTooLong(field) {
		return FieldAbsent, nil
	}
	f, found, err := x.get(field)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return FieldAbsent, nil
	case !when.met(f.expireAt, at):
		return FieldConditionOff, nil
	case at <= x.now:
		_, err := x.del(field)
		return FieldDeleted, err
	}
	_, err = x.set(field, f.value, at)
	return FieldExpirySet, err
}

// HPersist is HPERSIST: a code for each field is appended to dst.
func HPersist(t kv.Txn, db *DB, key []byte, fields [][]byte, dst []int64) ([]int64, error) {
	var x hashEdit
	if err := x.open(t, db, key); err != nil {
		return nil, err
	}
	for _, field := range fields {
		code, err := x.persistField(field)
		if err != nil {
			return nil, err
		}
		dst = append(dst, code)
	}
	if x.dirty {
		x.Event(EventHash, "hpersist")
	}
	return dst, x.finish()
}

func (x *hashEdit) persistField(field []byte) (int64, error) {
	if !x.Found || x.FieldTooLong(field) {
		return FieldAbsent, nil
	}
	f, found, err := x.get(field)
	switch {
	case err != nil:
		return 0, err
	case !found:
		return FieldAbsent, nil
	case f.expireAt == 0:
		return FieldNoExpiry, nil
	}
	_, err = x.set(field, f.value, 0)
	return FieldExpirySet, err
}

// HExpireTime is HPEXPIRETIME and HEXPIRETIME: for each field its expiry in the
// Unix epoch, FieldNoExpiry or FieldAbsent is appended to dst. Seconds are
// rounded up.
func HExpireTime(t kv.Txn, db *DB, key []byte, fields [][]byte, u TimeUnit, dst []int64) ([]int64, error) {
	return fieldTimes(t, db, key, fields, u, 0, dst)
}

// HTTL is HPTTL and HTTL: the time to live of each field, in the same way.
func HTTL(t kv.Txn, db *DB, key []byte, fields [][]byte, u TimeUnit, dst []int64) ([]int64, error) {
	return fieldTimes(t, db, key, fields, u, t.NowMillis(), dst)
}

func fieldTimes(t kv.Txn, db *DB, key []byte, fields [][]byte, u TimeUnit, since int64, dst []int64) ([]int64, error) {
	var e Entry
	if err := e.ReadAs(t, db, key, TypeHash); err != nil {
		return nil, err
	}
	for _, field := range fields {
		f, found, err := e.Field(t, field)
		at := f.expireAt - since
		switch {
		case err != nil:
			return nil, err
		case !found:
			at = FieldAbsent
		case f.expireAt == 0:
			at = FieldNoExpiry
		case u == UnitSeconds:
			at = (at + 999) / 1000
		}
		dst = append(dst, at)
	}
	return dst, nil
}

// HGetDel is HGETDEL: the values of the fields, which it deletes, appended to
// dst, nil for an absent one.
func HGetDel(t kv.Txn, db *DB, key []byte, fields, dst [][]byte) ([][]byte, error) {
	var x hashEdit
	if err := x.open(t, db, key); err != nil {
		return nil, err
	}
	for _, field := range fields {
		v, err := x.take(field)
		if err != nil {
			return nil, err
		}
		dst = append(dst, v)
	}
	if x.dirty {
		x.Event(EventHash, "hdel")
	}
	return dst, x.finish()
}

// take deletes a field and returns a copy of its value.
func (x *hashEdit) take(field []byte) ([]byte, error) {
	v, err := x.copyValue(field)
	if err != nil || v == nil {
		return nil, err
	}
	_, err = x.del(field)
	return v, err
}

// copyValue is a field's value, safe from later edits; nil if it is absent.
func (x *hashEdit) copyValue(field []byte) ([]byte, error) {
	if !x.Found || x.FieldTooLong(field) {
		return nil, nil
	}
	f, found, err := x.get(field)
	if err != nil || !found {
		return nil, err
	}
	return append(make([]byte, 0, len(f.value)), f.value...), nil
}

// HGetEx is HGETEX: the values of the fields, whose expiry it changes, appended
// to dst. A time that is over deletes them.
func HGetEx(t kv.Txn, db *DB, key []byte, fields [][]byte, expiry Expiry, dst [][]byte) ([][]byte, error) {
	at, err := fieldExpiry(t, expiry, "hgetex")
	if err != nil {
		return nil, err
	}
	var x hashEdit
	if err := x.open(t, db, key); err != nil {
		return nil, err
	}
	for _, field := range fields {
		v, err := x.copyValue(field)
		if err != nil {
			return nil, err
		}
		dst = append(dst, v)
		switch {
		case v == nil:
		case expiry.Kind == ExpiryPersist:
			_, err = x.persistField(field)
		case expiry.timed():
			_, err = x.expireField(field, at, 0)
		}
		if err != nil {
			return nil, err
		}
	}
	if x.dirty {
		x.Event(EventHash, map[bool]string{true: "hexpire", false: "hpersist"}[expiry.timed()])
	}
	return dst, x.finish()
}

func fieldExpiry(t kv.Txn, x Expiry, command string) (int64, error) {
	if !x.timed() {
		return 0, nil
	}
	o := ExpireOptions{Expiry: x, Command: command}
	return o.fieldTime(t.NowMillis())
}

// HSetEx is HSETEX: it stores the pairs if the condition (IfAbsent: FNX, IfPresent:
// FXX) holds for all fields, with an expiry, and reports whether it did.
func HSetEx(t kv.Txn, db *DB, key []byte, pairs [][]byte, c Condition, expiry Expiry) (bool, error) {
	at, err := fieldExpiry(t, expiry, "hsetex")
	if err != nil {
		return false, err
	}
	var x hashEdit
	x.hint = pairsHint(pairs, db.Options.HashInlineBytes)
	if err := x.open(t, db, key); err != nil {
		return false, err
	}
	if err := x.checkFields(pairs); err != nil {
		return false, err
	}
	if met, err := x.allMeet(pairs, c); err != nil || !met {
		return false, err
	}
	if expiry.Kind == ExpiryKeep {
		at = keepExpiry
	}
	over := expiry.timed() && at <= x.now
	for i := 0; i+1 < len(pairs) && err == nil; i += 2 {
		if over {
			_, err = x.del(pairs[i])
		} else {
			_, err = x.set(pairs[i], pairs[i+1], at)
		}
	}
	if err != nil {
		return false, err
	}
	x.Event(EventHash, "hset")
	if over {
		x.Event(EventHash, "hdel")
	} else if expiry.timed() {
		x.Event(EventHash, "hexpire")
	}
	return true, x.finish()
}

func (x *hashEdit) allMeet(pairs [][]byte, c Condition) (bool, error) {
	if c != IfAbsent && c != IfPresent {
		return true, nil
	}
	for i := 0; i+1 < len(pairs); i += 2 {
		found := false
		if x.Found {
			var err error
			if _, found, err = x.get(pairs[i]); err != nil {
				return false, err
			}
		}
		if found != (c == IfPresent) {
			return false, nil
		}
	}
	return true, nil
}
