package list

import (
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// TestHotPathDoesNotAllocate runs the commands that have to be quick.
func TestListHotPathDoesNotAllocate(t *testing.T) {
	db, err := redis.Open(1, 0, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	list := []byte{0x10 | byte(redis.TypeList), byte(encListEnds), 0, 0, 3, 1, 'a', 1, 'b', 1, 'c'}
	nodes := append([]byte{0x10 | byte(redis.TypeList), byte(encListNodes), 0}, make([]byte, listFixed)...)
	nodes[3+7], nodes[3+8], nodes[3+16], nodes[3+29] = 8, 0x80, 0x80, 8 // a node of eight elements
	room := make([][]byte, 0, 8)
	key, pairs := []byte("key"), redistest.Bytes("f", "v", "g", "w")
	redistest.DoesNotAllocate(t, map[string]redistest.HotCase{
		"LPUSH":       {Stored: list, Run: func(t kv.Txn) error { _, err := Push(t, db, key, pairs, Left, false); return err }},
		"RPUSH new":   {Stored: nil, Run: func(t kv.Txn) error { _, err := Push(t, db, key, pairs, Right, false); return err }},
		"LPOP":        {Stored: list, Run: func(t kv.Txn) error { _, _, err := Pop(t, db, key, Left, 1, room); return err }},
		"RPOP":        {Stored: list, Run: func(t kv.Txn) error { _, _, err := Pop(t, db, key, Right, 2, room); return err }},
		"LRANGE":      {Stored: list, Run: func(t kv.Txn) error { _, err := Range(t, db, key, 0, -1, room); return err }},
		"LLEN":        {Stored: list, Run: func(t kv.Txn) error { _, err := Len(t, db, key); return err }},
		"LPUSH nodes": {Stored: nodes, Run: func(t kv.Txn) error { _, err := Push(t, db, key, pairs, Left, false); return err }},
	})
}
