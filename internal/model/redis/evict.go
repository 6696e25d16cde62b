package redis

import (
	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
)

// Candidate is a key that may be evicted.
type Candidate struct {
	Key []byte
	// ExpireAt is in milliseconds; 0: never.
	ExpireAt int64
}

// Candidates are up to n keys that follow each other behind a random place. Their places
// are hashes, so whose turn it is has nothing to do with their names.
func Candidates(t kv.Txn, db *DB, r Rand, n int) (list []Candidate, err error) {
	w := walk{t: t, db: db, now: t.NowMillis()}
	visit := func(_ cursorAt, key []byte, h *Header) bool {
		list = append(list, Candidate{Key: key, ExpireAt: h.ExpireAt})
		return len(list) < n
	}
	from := db.keyRow(t, uint16(r.Uint64N(hashslot.Slots)), Place(r.Uint64N(uint64(PlaceEnd))))
	if err = w.headers(from, db.end(t), visit); err == nil && len(list) < n {
		err = w.headers(db.slotRow(t, 0), from, visit)
	}
	return list, err
}

// rowOverheadBytes is about what a row costs beside its key and value.
const rowOverheadBytes = 32

// SizeOf is about what a key and its value take, in bytes: of a value of more than maxRows
// rows those of the first ones, which is less.
func SizeOf(t kv.Txn, db *DB, key []byte, maxRows int) (total int64, err error) {
	err = t.Snapshot().Scan(base.PrefixSpan(db.AppendHeaderKey(nil, key)), kv.ScanOptions{Limit: maxRows}, func(k, v []byte) bool {
		total += int64(len(k) + len(v) + rowOverheadBytes)
		return true
	})
	return total, err
}

// Evict deletes keys to make room.
func Evict(t kv.Txn, db *DB, keys [][]byte) (int64, error) {
	return remove(t, db, keys, EventEvicted, "evicted")
}
