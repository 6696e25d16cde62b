package redis

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

func (s *testServer) client(t testing.TB, proto int) *goredis.Client {
	c := goredis.NewClient(&goredis.Options{Addr: s.addr, Protocol: proto, ReadTimeout: patience})
	t.Cleanup(func() {
		if err := c.Close(); err != nil {
			t.Error(err)
		}
	})
	return c
}

func eachProto(t *testing.T, test func(t *testing.T, c *goredis.Client)) {
	for _, proto := range []int{2, 3} {
		t.Run(fmt.Sprintf("RESP%d", proto), func(t *testing.T) { test(t, start(t, Options{}).client(t, proto)) })
	}
}

// must fails the test on an error and answers the value.
func must[T any](t testing.TB) func(v T, err error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}

func TestGoRedisStrings(t *testing.T) {
	eachProto(t, func(t *testing.T, c *goredis.Client) {
		ctx := context.Background()
		must[string](t)(c.Set(ctx, "k", "v", time.Hour).Result())
		if v := must[string](t)(c.Get(ctx, "k").Result()); v != "v" {
			t.Errorf("GET: %q", v)
		}
		if _, err := c.Get(ctx, "none").Result(); !errors.Is(err, goredis.Nil) {
			t.Errorf("GET of nothing: %v", err)
		}
		if d := must[time.Duration](t)(c.TTL(ctx, "k").Result()); d <= 59*time.Minute || d > time.Hour {
			t.Errorf("TTL: %v", d)
		}
		if n := must[int64](t)(c.IncrBy(ctx, "n", 5).Result()); n != 5 {
			t.Errorf("INCRBY: %d", n)
		}
		if f := must[float64](t)(c.IncrByFloat(ctx, "n", 0.25).Result()); f != 5.25 {
			t.Errorf("INCRBYFLOAT: %v", f)
		}
		must[string](t)(c.MSet(ctx, "a", 1, "b", 2).Result())
		if v := must[[]any](t)(c.MGet(ctx, "a", "x", "b").Result()); v[0] != "1" || v[1] != nil || v[2] != "2" {
			t.Errorf("MGET: %v", v)
		}
	})
}

func TestGoRedisHashes(t *testing.T) {
	eachProto(t, func(t *testing.T, c *goredis.Client) {
		ctx := context.Background()
		if n := must[int64](t)(c.HSet(ctx, "h", "a", 1, "b", 2).Result()); n != 2 {
			t.Errorf("HSET: %d", n)
		}
		all := must[map[string]string](t)(c.HGetAll(ctx, "h").Result())
		if len(all) != 2 || all["a"] != "1" || all["b"] != "2" {
			t.Errorf("HGETALL: %v", all)
		}
		kvs := must[[]goredis.KeyValue](t)(c.HRandFieldWithValues(ctx, "h", 5).Result())
		if len(kvs) != 2 {
			t.Errorf("HRANDFIELD: %v", kvs)
		}
		codes := must[[]int64](t)(c.HExpire(ctx, "h", time.Minute, "a", "x").Result())
		if codes[0] != 1 || codes[1] != -2 {
			t.Errorf("HEXPIRE: %v", codes)
		}
		keys, cursor, err := c.HScan(ctx, "h", 0, "", 10).Result()
		if err != nil || cursor != 0 || len(keys) != 4 {
			t.Errorf("HSCAN: %v %d %v", keys, cursor, err)
		}
	})
}

func TestGoRedisPipelineAndScan(t *testing.T) {
	eachProto(t, func(t *testing.T, c *goredis.Client) {
		ctx := context.Background()
		const n = 1000
		cmds, err := c.Pipelined(ctx, func(p goredis.Pipeliner) error {
			for i := range n {
				p.Set(ctx, fmt.Sprintf("key:%d", i), i, 0)
			}
			p.Get(ctx, "key:7")
			return nil
		})
		if err != nil || cmds[n].(*goredis.StringCmd).Val() != "7" {
			t.Fatalf("pipeline: %v %v", err, cmds[n])
		}
		seen := map[string]bool{}
		for it := c.Scan(ctx, 0, "key:*", 100).Iterator(); it.Next(ctx); {
			seen[it.Val()] = true
		}
		if len(seen) != n {
			t.Errorf("SCAN found %d keys", len(seen))
		}
		if keys := must[[]string](t)(c.Keys(ctx, "*").Result()); len(keys) != n {
			t.Errorf("KEYS found %d keys", len(keys))
		}
		if size := must[int64](t)(c.DBSize(ctx).Result()); size != n {
			t.Errorf("DBSIZE: %d", size)
		}
	})
}

// TestGoRedisWatch counts with WATCH, MULTI and EXEC from several clients: no
// increment may be lost.
func TestGoRedisWatch(t *testing.T) {
	eachProto(t, func(t *testing.T, c *goredis.Client) {
		const clients, each = 8, 20
		increment := func(ctx context.Context) error {
			return c.Watch(ctx, func(tx *goredis.Tx) error {
				n, err := tx.Get(ctx, "counter").Int()
				if err != nil && !errors.Is(err, goredis.Nil) {
					return err
				}
				_, err = tx.TxPipelined(ctx, func(p goredis.Pipeliner) error { return p.Set(ctx, "counter", n+1, 0).Err() })
				return err
			}, "counter")
		}
		var wg sync.WaitGroup
		for range clients {
			wg.Go(func() {
				for done := 0; done < each; {
					switch err := increment(context.Background()); {
					case err == nil:
						done++
					case !errors.Is(err, goredis.TxFailedErr):
						t.Error(err)
						return
					}
				}
			})
		}
		wg.Wait()
		if n := must[int](t)(c.Get(context.Background(), "counter").Int()); n != clients*each {
			t.Errorf("counted %d of %d", n, clients*each)
		}
	})
}

func TestGoRedisIntrospection(t *testing.T) {
	eachProto(t, func(t *testing.T, c *goredis.Client) {
		ctx := context.Background()
		infos := must[map[string]*goredis.CommandInfo](t)(c.Command(ctx).Result())
		if get := infos["get"]; get == nil || get.Arity != 2 || get.FirstKeyPos != 1 || !get.ReadOnly {
			t.Errorf("COMMAND: %+v", get)
		}
		if info := must[string](t)(c.Info(ctx, "all").Result()); len(info) < 1000 {
			t.Errorf("INFO: %s", info)
		}
		if cfg := must[map[string]string](t)(c.ConfigGet(ctx, "max*").Result()); cfg["maxclients"] != "10000" {
			t.Errorf("CONFIG GET: %v", cfg)
		}
		if _, err := c.Time(ctx).Result(); err != nil {
			t.Error(err)
		}
		if list := must[string](t)(c.ClientList(ctx).Result()); list == "" {
			t.Error("CLIENT LIST is empty")
		}
	})
}

func TestBackgroundExpiry(t *testing.T) {
	s := start(t, Options{})
	c := s.client(t, 3)
	ctx := context.Background()
	must[string](t)(c.Set(ctx, "k", "v", time.Millisecond).Result())
	eventually(t, func() bool { return s.stats.expired.Load() == 1 })
	if n := must[int64](t)(c.DBSize(ctx).Result()); n != 0 {
		t.Errorf("DBSIZE: %d", n)
	}
}
