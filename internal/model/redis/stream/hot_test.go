package stream

import (
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// TestHotPathDoesNotAllocate: adding an entry has to be quick.
func TestHotPathDoesNotAllocate(t *testing.T) {
	db, err := redis.Open(1, 0, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	stored := append([]byte{0x10 | byte(redis.TypeStream), byte(encRows), 0}, make([]byte, bodyBytes)...)
	stored[3+7], stored[3+8+15], stored[3+24+15] = 1, 1, 1 // one entry, 0-1
	key, fields := []byte("key"), redistest.Bytes("f", "v", "g", "w")
	add := func(o AddOptions) func(t kv.Txn) error {
		return func(t kv.Txn) error { _, _, err := Add(t, db, key, o, fields); return err }
	}
	redistest.DoesNotAllocate(t, map[string]redistest.HotCase{
		"XADD":     {Stored: stored, Run: add(AddOptions{Auto: true})},
		"XADD new": {Run: add(AddOptions{Auto: true})},
		"XLEN":     {Stored: stored, Run: func(t kv.Txn) error { _, err := Len(t, db, key); return err }},
	})
}
