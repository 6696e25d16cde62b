package redis

import (
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// stillTxn answers every Get with one value and forgets what is written.
type stillTxn struct {
	kv.Txn
	value []byte
	mem   [4096]byte
	used  int
}

func (s *stillTxn) Get([]byte) ([]byte, error)            { return s.value, nil }
func (s *stillTxn) Set(_, _ []byte)                       {}
func (s *stillTxn) Clear([]byte)                          {}
func (s *stillTxn) Atomic(_ base.MutationOp, _, _ []byte) {}
func (s *stillTxn) NowMillis() int64                      { return epoch }
func (s *stillTxn) Alloc(n int) []byte                    { s.used += n; return s.mem[s.used-n : s.used : s.used] }
func (s *stillTxn) AddReadConflict(base.Span)             {}
func (s *stillTxn) Snapshot() kv.Reader                   { return s }

// TestHotPathDoesNotAllocate runs the commands that have to be quick.
func TestHotPathDoesNotAllocate(t *testing.T) {
	db, err := Open(1, 0, Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := []byte{headerVersion<<4 | byte(TypeString), byte(encInline), 0, '4', '2'}
	hash := []byte{headerVersion<<4 | byte(TypeHash), byte(encFields), 0, 0, 1, 1, 'f', 1, '7'}
	list := []byte{headerVersion<<4 | byte(TypeList), byte(encListEnds), 0, 0, 3, 1, 'a', 1, 'b', 1, 'c'}
	nodes := append([]byte{headerVersion<<4 | byte(TypeList), byte(encListNodes), 0}, make([]byte, listFixed)...)
	nodes[3+7], nodes[3+8], nodes[3+16], nodes[3+29] = 8, 0x80, 0x80, 8 // a node of eight elements
	room := make([][]byte, 0, 8)
	key, field, value, pairs := []byte("key"), []byte("f"), []byte("value"), bs("f", "v", "g", "w")
	for name, c := range map[string]struct {
		stored []byte
		run    func(t kv.Txn) error
	}{
		"GET":      {text, func(t kv.Txn) error { _, err := Get(t, db, key); return err }},
		"GET none": {nil, func(t kv.Txn) error { _, err := Get(t, db, key); return err }},
		"SET":      {text, func(t kv.Txn) error { _, err := Set(t, db, key, value, SetOptions{}); return err }},
		"SET new":  {nil, func(t kv.Txn) error { _, err := Set(t, db, key, value, SetOptions{}); return err }},
		"SET EX": {text, func(t kv.Txn) error {
			_, err := Set(t, db, key, value, SetOptions{Expiry: Expiry{ExpirySeconds, 9}})
			return err
		}},
		"INCR":   {text, func(t kv.Txn) error { _, err := IncrBy(t, db, key, 1); return err }},
		"APPEND": {text, func(t kv.Txn) error { _, err := Append(t, db, key, value); return err }},
		"EXPIRE": {text, func(t kv.Txn) error {
			_, err := Expire(t, db, key, ExpireOptions{Expiry: Expiry{ExpirySeconds, 9}})
			return err
		}},
		"TTL":         {text, func(t kv.Txn) error { _, err := TTL(t, db, key, UnitSeconds); return err }},
		"HGET":        {hash, func(t kv.Txn) error { _, err := HGet(t, db, key, field); return err }},
		"HSET":        {hash, func(t kv.Txn) error { _, err := HSet(t, db, key, pairs); return err }},
		"HSET new":    {nil, func(t kv.Txn) error { _, err := HSet(t, db, key, pairs); return err }},
		"HDEL":        {hash, func(t kv.Txn) error { _, err := HDel(t, db, key, pairs); return err }},
		"HINCRBY":     {hash, func(t kv.Txn) error { _, err := HIncrBy(t, db, key, field, 1); return err }},
		"LPUSH":       {list, func(t kv.Txn) error { _, err := Push(t, db, key, pairs, Left, false); return err }},
		"RPUSH new":   {nil, func(t kv.Txn) error { _, err := Push(t, db, key, pairs, Right, false); return err }},
		"LPOP":        {list, func(t kv.Txn) error { _, _, err := Pop(t, db, key, Left, 1, room); return err }},
		"RPOP":        {list, func(t kv.Txn) error { _, _, err := Pop(t, db, key, Right, 2, room); return err }},
		"LRANGE":      {list, func(t kv.Txn) error { _, err := LRange(t, db, key, 0, -1, room); return err }},
		"LLEN":        {list, func(t kv.Txn) error { _, err := LLen(t, db, key); return err }},
		"LPUSH nodes": {nodes, func(t kv.Txn) error { _, err := Push(t, db, key, pairs, Left, false); return err }},
		"HEXISTS":     {hash, func(t kv.Txn) error { _, err := HExists(t, db, key, field); return err }},
		"DEL":         {text, func(t kv.Txn) error { _, err := Del(t, db, pairs[:1]); return err }},
		"EXISTS":      {text, func(t kv.Txn) error { _, err := Exists(t, db, pairs[:1]); return err }},
	} {
		s := &stillTxn{value: c.stored}
		n := testing.AllocsPerRun(10, func() {
			s.used = 0
			if err := c.run(s); err != nil {
				t.Error(err)
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func benchmark(b *testing.B, prepare []string, f func(t kv.Txn, db *DB) error) {
	now := base.Stamp(epoch * 1000)
	db := kv.New(kvmem.New(func() base.Stamp { return now }), nil)
	s := db.NewSession()
	h, err := Open(1, 0, Options{})
	if err != nil {
		b.Fatal(err)
	}
	body := kv.Func(func(t kv.Txn) error { return f(t, h) })
	if _, err := s.Run(kv.Func(func(t kv.Txn) error {
		if prepare[0] == "SET" {
			return MSet(t, h, bs(prepare[1:]...))
		}
		_, err := HSet(t, h, []byte(prepare[1]), bs(prepare[2:]...))
		return err
	})); err != nil {
		b.Fatal(err)
	}
	b.ReportAllocs()
	for b.Loop() {
		if _, err := s.Run(body); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkGet(b *testing.B) {
	key := []byte("key:000000012345")
	benchmark(b, []string{"SET", string(key), "value"}, func(t kv.Txn, db *DB) error {
		_, err := Get(t, db, key)
		return err
	})
}

func BenchmarkSet(b *testing.B) {
	key, value := []byte("key:000000012345"), []byte("value")
	benchmark(b, []string{"SET", string(key), "value"}, func(t kv.Txn, db *DB) error {
		_, err := Set(t, db, key, value, SetOptions{})
		return err
	})
}

func BenchmarkIncr(b *testing.B) {
	key := []byte("counter")
	benchmark(b, []string{"SET", string(key), "1"}, func(t kv.Txn, db *DB) error {
		_, err := IncrBy(t, db, key, 1)
		return err
	})
}

func BenchmarkHSet(b *testing.B) {
	key, pairs := []byte("h"), bs("f2", "value")
	benchmark(b, []string{"HSET", "h", "f1", "v", "f2", "w", "f3", "x"}, func(t kv.Txn, db *DB) error {
		_, err := HSet(t, db, key, pairs)
		return err
	})
}

func BenchmarkHGet(b *testing.B) {
	key, field := []byte("h"), []byte("f2")
	benchmark(b, []string{"HSET", "h", "f1", "v", "f2", "w", "f3", "x"}, func(t kv.Txn, db *DB) error {
		_, err := HGet(t, db, key, field)
		return err
	})
}
