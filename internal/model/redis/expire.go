package redis

import (
	"github.com/stratadb/strata/internal/kv"
)

// ExpireCondition is the set of options NX, XX, GT and LT.
type ExpireCondition uint8

// Expire conditions.
const (
	ExpireNX ExpireCondition = 1 << iota // only what has no expiry
	ExpireXX                             // only what has one
	ExpireGT                             // only to a later time; none counts as infinite
	ExpireLT                             // only to an earlier time
)

func (c ExpireCondition) validate() error {
	switch {
	case c&ExpireNX != 0 && c&(ExpireXX|ExpireGT|ExpireLT) != 0:
		return ErrNXAndOthers
	case c&ExpireGT != 0 && c&ExpireLT != 0:
		return ErrGTAndLT
	}
	return nil
}

// met compares the expiry that is (0: none) with the one to be.
func (c ExpireCondition) met(old, at int64) bool {
	switch {
	case c&ExpireNX != 0 && old != 0,
		c&ExpireXX != 0 && old == 0,
		c&ExpireGT != 0 && (old == 0 || at <= old),
		c&ExpireLT != 0 && old != 0 && at >= old:
		return false
	}
	return true
}

// TimeUnit is the unit of a reply.
type TimeUnit uint8

// Time units.
const (
	UnitMillis TimeUnit = iota
	UnitSeconds
)

// What TTL and EXPIRETIME answer in place of a time.
const (
	TTLNoKey    int64 = -2
	TTLNoExpiry int64 = -1
)

// Expire is EXPIRE, PEXPIRE, EXPIREAT and PEXPIREAT: whether it changed the
// expiry. A time that is over deletes the key.
func Expire(t kv.Txn, db *DB, key []byte, o ExpireOptions) (bool, error) {
	if err := o.When.validate(); err != nil {
		return false, err
	}
	now := t.NowMillis()
	at, ok := o.Expiry.millis(now)
	if !ok {
		return false, InvalidExpire(o.Command)
	}
	var e Entry
	if err := e.Lookup(t, db, key); err != nil {
		return false, err
	}
	if !e.Found || !o.When.met(e.Header.ExpireAt, at) {
		return false, nil
	}
	if at <= now {
		e.Remove(t)
		e.Event(EventGeneric, "del")
		return true, nil
	}
	e.setExpiry(t, at)
	e.Event(EventGeneric, "expire")
	return true, nil
}

// Persist is PERSIST: whether the key had an expiry.
func Persist(t kv.Txn, db *DB, key []byte) (bool, error) {
	var e Entry
	if err := e.Lookup(t, db, key); err != nil || !e.Found || e.Header.ExpireAt == 0 {
		return false, err
	}
	e.setExpiry(t, 0)
	e.Event(EventGeneric, "persist")
	return true, nil
}

// TTL is TTL and PTTL: the time to live, TTLNoKey or TTLNoExpiry.
func TTL(t kv.Txn, db *DB, key []byte, u TimeUnit) (int64, error) {
	at, err := ExpireTime(t, db, key, UnitMillis)
	if err != nil || at < 0 {
		return at, err
	}
	left := max(at-t.NowMillis(), 0)
	if u == UnitSeconds {
		left = (left + 500) / 1000
	}
	return left, nil
}

// ExpireTime is EXPIRETIME and PEXPIRETIME: the time of expiry in the Unix epoch,
// TTLNoKey or TTLNoExpiry.
func ExpireTime(t kv.Txn, db *DB, key []byte, u TimeUnit) (int64, error) {
	var e Entry
	if err := e.Lookup(t, db, key); err != nil {
		return 0, err
	}
	switch e.wasRead(); {
	case !e.Found:
		return TTLNoKey, nil
	case e.Header.ExpireAt == 0:
		return TTLNoExpiry, nil
	case u == UnitSeconds:
		return (e.Header.ExpireAt + 500) / 1000, nil
	}
	return e.Header.ExpireAt, nil
}

// setExpiry gives the key a time of expiry, or none with 0.
func (e *Entry) setExpiry(t kv.Txn, at int64) {
	h := e.Header
	h.ExpireAt = at
	e.Restore(t, h)
}
