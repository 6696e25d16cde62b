package redis

import "github.com/stratadb/strata/internal/kv"

// setExpiry gives the key a time of expiry, or none with 0.
func (e *entry) setExpiry(t kv.Txn, at int64) {
	h := e.h
	h.expireAt = at
	e.restore(t, h)
}
