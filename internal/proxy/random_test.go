package proxy_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/proxy"
)

// random is a client that sends commands of all kinds.
type random struct {
	*rand.Rand
	c    *redis.Client
	keys int
}

func (r *random) key(kind string) string { return kind + ":" + strconv.Itoa(r.IntN(r.keys)) }

func (r *random) word() string { return "w" + strconv.Itoa(r.IntN(20)) }

func (r *random) number() string { return strconv.Itoa(r.IntN(1000) - 300) }

// command is a random one.
func (r *random) command() []any {
	all := []func() []any{
		func() []any { return []any{"SET", r.key("s"), r.word()} },
		func() []any { return []any{"SET", r.key("s"), r.word(), "EX", 600, "NX"} },
		func() []any { return []any{"SET", r.key("s"), r.number(), "XX", "GET"} },
		func() []any { return []any{"SET", r.key("s"), r.number(), "PX", 900_000, "GET"} },
		func() []any { return []any{"GETEX", r.key("s"), "EX", 1200} },
		func() []any { return []any{"GETDEL", r.key("s")} },
		func() []any { return []any{"INCRBY", r.key("n"), r.IntN(10)} },
		func() []any { return []any{"INCRBYFLOAT", r.key("f"), "0.1"} },
		func() []any { return []any{"APPEND", r.key("s"), r.word()} },
		func() []any { return []any{"SETRANGE", r.key("s"), 3, r.word()} },
		func() []any { return []any{"MSETNX", r.key("s"), 1, r.key("s"), 2} },
		func() []any { return []any{"SETBIT", r.key("b"), r.IntN(100), r.IntN(2)} },
		func() []any { return []any{"EXPIRE", r.key("s"), 1800} },
		func() []any { return []any{"EXPIRE", r.key("h"), 3600, "NX"} },
		func() []any { return []any{"PERSIST", r.key("h")} },
		func() []any { return []any{"DEL", r.key("s"), r.key("l")} },
		func() []any { return []any{"RENAME", r.key("s"), r.key("s")} },
		func() []any { return []any{"COPY", r.key("z"), r.key("z"), "REPLACE"} },
		func() []any { return []any{"LPUSH", r.key("l"), r.word(), r.word()} },
		func() []any { return []any{"RPUSH", r.key("l"), r.word(), r.word()} },
		func() []any { return []any{"LPOP", r.key("l"), 2} },
		func() []any { return []any{"LMOVE", r.key("l"), r.key("l"), "LEFT", "RIGHT"} },
		func() []any { return []any{"LTRIM", r.key("l"), 0, 30} },
		func() []any { return []any{"BLPOP", r.key("l"), r.key("l"), "0.01"} },
		func() []any { return []any{"BRPOPLPUSH", r.key("l"), r.key("l"), "0.01"} },
		func() []any { return []any{"BLMPOP", "0.01", 2, r.key("l"), r.key("l"), "RIGHT", "COUNT", 3} },
		func() []any { return []any{"LMPOP", 2, r.key("l"), r.key("l"), "LEFT"} },
		func() []any { return []any{"SADD", r.key("set"), r.word(), r.word()} },
		func() []any { return []any{"SPOP", r.key("set")} },
		func() []any { return []any{"SPOP", r.key("set"), 3} },
		func() []any { return []any{"SMOVE", r.key("set"), r.key("set"), r.word()} },
		func() []any { return []any{"SUNIONSTORE", r.key("set"), r.key("set"), r.key("set")} },
		func() []any { return []any{"SORT", r.key("set"), "ALPHA", "STORE", r.key("l")} },
		func() []any { return []any{"HSET", r.key("h"), r.word(), r.word(), r.word(), r.number()} },
		func() []any { return []any{"HINCRBYFLOAT", r.key("hf"), r.word(), "1.25"} },
		func() []any { return []any{"HDEL", r.key("h"), r.word()} },
		func() []any { return []any{"ZADD", r.key("z"), "NX", r.number(), r.word()} },
		func() []any { return []any{"ZINCRBY", r.key("z"), "1.5", r.word()} },
		func() []any { return []any{"ZPOPMIN", r.key("z")} },
		func() []any { return []any{"BZPOPMAX", r.key("z"), r.key("z"), "0.01"} },
		func() []any { return []any{"BZMPOP", "0.01", 2, r.key("z"), r.key("z"), "MIN", "COUNT", 2} },
		func() []any { return []any{"ZRANGESTORE", r.key("z"), r.key("z"), 0, 5} },
		func() []any { return []any{"XADD", r.key("x"), "*", "f", r.word()} },
		func() []any { return []any{"XADD", r.key("x"), "MAXLEN", "~", 20, "*", "f", r.word()} },
		func() []any { return []any{"XTRIM", r.key("x"), "MAXLEN", "~", 10} },
		func() []any { return []any{"XADD", r.key("x"), "NOMKSTREAM", "MAXLEN", 30, "*", "f", r.word()} },
		func() []any { return []any{"XGROUP", "CREATE", r.key("x"), "g", "0", "MKSTREAM"} },
		func() []any {
			return []any{"XREADGROUP", "GROUP", "g", r.word(), "COUNT", 2, "STREAMS", r.key("x"), ">"}
		},
		func() []any {
			return []any{"XREADGROUP", "GROUP", "g", r.word(), "COUNT", 2, "BLOCK", 5, "STREAMS", r.key("x"), ">"}
		},
		func() []any { return []any{"XAUTOCLAIM", r.key("x"), "g", r.word(), 1, "0", "COUNT", 2} },
		func() []any { return []any{"PFADD", r.key("p"), r.word()} },
		func() []any { return []any{"GEOADD", r.key("geo"), "13.361389", "38.115556", r.word()} },
		func() []any { return []any{"BITFIELD", r.key("b"), "INCRBY", "u8", "#1", 7} },
		// Reads.
		func() []any { return []any{"GET", r.key("s")} },
		func() []any { return []any{"TTL", r.key("s")} },
		func() []any { return []any{"LRANGE", r.key("l"), 0, -1} },
		func() []any { return []any{"SMEMBERS", r.key("set")} },
		func() []any { return []any{"HGETALL", r.key("h")} },
		func() []any { return []any{"ZRANGE", r.key("z"), 0, -1, "WITHSCORES"} },
		func() []any { return []any{"XRANGE", r.key("x"), "-", "+"} },
		func() []any { return []any{"GEOPOS", r.key("geo"), r.word()} },
		func() []any { return []any{"EXISTS", r.key("s"), r.key("h")} },
	}
	return all[r.IntN(len(all))]()
}

// step sends a command, a pipeline or a transaction.
func (r *random) step(ctx context.Context) {
	switch r.IntN(8) {
	case 0:
		p := r.c.Pipeline()
		for range 1 + r.IntN(20) {
			p.Do(ctx, r.command()...)
		}
		_, _ = p.Exec(ctx)
	case 1:
		p := r.c.TxPipeline()
		for range 1 + r.IntN(5) {
			p.Do(ctx, r.command()...)
		}
		_, _ = p.Exec(ctx)
	case 2:
		key := r.key("n")
		_ = r.c.Watch(ctx, func(tx *redis.Tx) error {
			n, _ := tx.Get(ctx, key).Int()
			_, err := tx.TxPipelined(ctx, func(p redis.Pipeliner) error {
				p.Set(ctx, key, n+1, 0)
				return nil
			})
			return err
		}, key)
	default:
		_ = r.c.Do(ctx, r.command()...).Err()
	}
}

// load runs clients until end is called.
func (m *migration) load(clients, keys int, proto int) (end func()) {
	ctx := context.Background()
	var wg sync.WaitGroup
	var over atomic.Bool
	for i := range clients {
		wg.Add(1)
		c := m.clientOf(m.Addr(), proto)
		go func() {
			defer wg.Done()
			r := random{rand.New(rand.NewPCG(uint64(i), 7)), c, keys}
			for !over.Load() {
				r.step(ctx)
			}
		}()
	}
	return func() {
		over.Store(true)
		wg.Wait()
	}
}

// enough writes are mirrored for all kinds of commands to meet each other.
const enough = 5000

// TestRandom: whatever clients do at the same time, both sides have the same in the end,
// and all reads were answered the same.
func TestRandom(t *testing.T) {
	for _, mode := range []proxy.Mode{proxy.DualWriteShadow, proxy.StrataPrimary} {
		for _, proto := range []int{2, 3} {
			t.Run(fmt.Sprintf("%s RESP%d", mode, proto), func(t *testing.T) {
				m := start(t, mode, func(m *migration) { m.config.Shadow = true })
				m.sync()
				end := m.load(6, 4, proto)
				m.until("enough writes and comparisons", func() bool {
					r := m.Report()
					return r.Applied >= enough && len(r.Compared) >= 5
				})
				end()
				m.equal()
				m.noDifferences()
			})
		}
	}
}
