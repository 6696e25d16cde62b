package redis_test

import (
	"math/rand/v2"
	"testing"

	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/model/redis"
	"github.com/stratadb/strata/test/redistest"
)

// TestHotPathDoesNotAllocate runs the commands that have to be quick.
func TestHotPathDoesNotAllocate(t *testing.T) {
	db, err := redis.Open(1, 0, redis.Options{})
	if err != nil {
		t.Fatal(err)
	}
	text := []byte{0x10 | byte(redis.TypeString), 1, 0, '4', '2'}
	hash := []byte{0x10 | byte(redis.TypeHash), 1, 0, 0, 1, 1, 'f', 1, '7'}
	key, field, value, pairs := []byte("key"), []byte("f"), []byte("value"), redistest.Bytes("f", "v", "g", "w")
	redistest.DoesNotAllocate(t, map[string]redistest.HotCase{
		"GET":      {Stored: text, Run: func(t kv.Txn) error { _, err := redis.Get(t, db, key); return err }},
		"GET none": {Stored: nil, Run: func(t kv.Txn) error { _, err := redis.Get(t, db, key); return err }},
		"SET":      {Stored: text, Run: func(t kv.Txn) error { _, err := redis.Set(t, db, key, value, redis.SetOptions{}); return err }},
		"SET new":  {Stored: nil, Run: func(t kv.Txn) error { _, err := redis.Set(t, db, key, value, redis.SetOptions{}); return err }},
		"SET EX": {Stored: text, Run: func(t kv.Txn) error {
			_, err := redis.Set(t, db, key, value, redis.SetOptions{Expiry: redis.Expiry{Kind: redis.ExpirySeconds, N: 9}})
			return err
		}},
		"INCR":   {Stored: text, Run: func(t kv.Txn) error { _, err := redis.IncrBy(t, db, key, 1); return err }},
		"APPEND": {Stored: text, Run: func(t kv.Txn) error { _, err := redis.Append(t, db, key, value); return err }},
		"EXPIRE": {Stored: text, Run: func(t kv.Txn) error {
			_, err := redis.Expire(t, db, key, redis.ExpireOptions{Expiry: redis.Expiry{Kind: redis.ExpirySeconds, N: 9}})
			return err
		}},
		"TTL":      {Stored: text, Run: func(t kv.Txn) error { _, err := redis.TTL(t, db, key, redis.UnitSeconds); return err }},
		"HGET":     {Stored: hash, Run: func(t kv.Txn) error { _, err := redis.HGet(t, db, key, field); return err }},
		"HSET":     {Stored: hash, Run: func(t kv.Txn) error { _, err := redis.HSet(t, db, key, pairs); return err }},
		"HSET new": {Stored: nil, Run: func(t kv.Txn) error { _, err := redis.HSet(t, db, key, pairs); return err }},
		"HDEL":     {Stored: hash, Run: func(t kv.Txn) error { _, err := redis.HDel(t, db, key, pairs); return err }},
		"HINCRBY":  {Stored: hash, Run: func(t kv.Txn) error { _, err := redis.HIncrBy(t, db, key, field, 1); return err }},
		"HEXISTS":  {Stored: hash, Run: func(t kv.Txn) error { _, err := redis.HExists(t, db, key, field); return err }},
		"DEL":      {Stored: text, Run: func(t kv.Txn) error { _, err := redis.Del(t, db, pairs[:1]); return err }},
		"EXISTS":   {Stored: text, Run: func(t kv.Txn) error { _, err := redis.Exists(t, db, pairs[:1]); return err }},
	})
}

func BenchmarkGet(b *testing.B) {
	key := []byte("key:000000012345")
	redistest.Benchmark(b, []string{"SET", string(key), "value"}, func(t kv.Txn, db *redis.DB) error {
		_, err := redis.Get(t, db, key)
		return err
	})
}

func BenchmarkSet(b *testing.B) {
	key, value := []byte("key:000000012345"), []byte("value")
	redistest.Benchmark(b, []string{"SET", string(key), "value"}, func(t kv.Txn, db *redis.DB) error {
		_, err := redis.Set(t, db, key, value, redis.SetOptions{})
		return err
	})
}

func BenchmarkIncr(b *testing.B) {
	key := []byte("counter")
	redistest.Benchmark(b, []string{"SET", string(key), "1"}, func(t kv.Txn, db *redis.DB) error {
		_, err := redis.IncrBy(t, db, key, 1)
		return err
	})
}

func BenchmarkHSet(b *testing.B) {
	key, pairs := []byte("h"), redistest.Bytes("f2", "value")
	redistest.Benchmark(b, []string{"HSET", "h", "f1", "v", "f2", "w", "f3", "x"}, func(t kv.Txn, db *redis.DB) error {
		_, err := redis.HSet(t, db, key, pairs)
		return err
	})
}

func BenchmarkHGet(b *testing.B) {
	key, field := []byte("h"), []byte("f2")
	redistest.Benchmark(b, []string{"HSET", "h", "f1", "v", "f2", "w", "f3", "x"}, func(t kv.Txn, db *redis.DB) error {
		_, err := redis.HGet(t, db, key, field)
		return err
	})
}

// BenchmarkSpop takes members of a set in rows, and puts them back.
func BenchmarkSpop(b *testing.B) {
	key, r := []byte("s"), rand.New(rand.NewPCG(1, 2))
	var room []redis.FieldValue
	one := make([][]byte, 1)
	redistest.BenchmarkOn(b, redis.Options{Samples: new(redis.Samples)}, func(t kv.Txn, db *redis.DB) error {
		_, err := redis.SAdd(t, db, key, redistest.Bytes(numbers(1, 5000)...))
		return err
	}, func(t kv.Txn, db *redis.DB) (err error) {
		if room, err = redis.SPop(t, db, key, 1, r, room[:0]); err != nil {
			return err
		}
		one[0] = room[0].Field
		_, err = redis.SAdd(t, db, key, one)
		return err
	})
}
