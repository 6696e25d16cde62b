package redis

import (
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"
)

// cache is a server whose keys are evicted when the test says so, by a clock of its own.
type cache struct {
	*testServer
	*goredis.Client
	t     *testing.T
	ahead atomic.Int64
}

func startCache(t *testing.T, policy string) *cache {
	c := &cache{t: t}
	c.testServer = start(t, Options{ManualExpiry: true, Now: func() time.Time { return time.Now().Add(time.Duration(c.ahead.Load())) }})
	c.Client = c.client(t, 3)
	c.ok("CONFIG SET notify-keyspace-events Ee")
	c.ok("CONFIG SET maxmemory 10gb maxmemory-policy " + policy)
	return c
}

func (c *cache) do(command string) (any, error) {
	var args []any
	for _, w := range strings.Fields(command) {
		args = append(args, w)
	}
	return c.Do(c.t.Context(), args...).Result()
}

func (c *cache) ok(command string) {
	c.t.Helper()
	if v, err := c.do(command); err != nil {
		c.t.Fatalf("%s: %v, %v", command, v, err)
	}
}

// fill writes n keys of a kind, each of about 200 bytes.
func (c *cache) fill(kind string, n int, ttl time.Duration) {
	c.t.Helper()
	p := c.Pipeline()
	for i := range n {
		p.Set(c.t.Context(), fmt.Sprint(kind, i), strings.Repeat("x", 100), ttl)
	}
	if _, err := p.Exec(c.t.Context()); err != nil {
		c.t.Fatal(err)
	}
}

func (c *cache) count(kind string) int {
	c.t.Helper()
	return len(must[[]string](c.t)(c.Keys(c.t.Context(), kind+"*").Result()))
}

// shrink evicts down to a share of what there is, and reports how many keys of it went.
func (c *cache) shrink(share float64) int64 {
	c.t.Helper()
	if err := c.evictor.Look(); err != nil {
		c.t.Fatal(err)
	}
	before := c.stats.evicted.Load()
	c.ok(fmt.Sprintf("CONFIG SET maxmemory %d", int64(share*float64(c.evictor.Used()))))
	if err := c.evictor.Look(); err != nil {
		c.t.Fatal(err)
	}
	return c.stats.evicted.Load() - before
}

// TestEvictionPolicies: what goes is what the policy says.
func TestEvictionPolicies(t *testing.T) {
	for _, x := range []struct {
		policy string
		use    func(c *cache) // of the keys hot0 to hot199
	}{
		{"allkeys-lru", func(c *cache) { c.fill("hot", 200, 0) }},
		{"allkeys-lfu", func(c *cache) {
			c.ahead.Store(0)
			p := c.Pipeline()
			for range 200 { // the count grows by chance
				for i := range 200 {
					p.Get(c.t.Context(), fmt.Sprint("hot", i))
				}
			}
			if _, err := p.Exec(c.t.Context()); err != nil {
				c.t.Fatal(err)
			}
		}},
		{"volatile-lru", func(c *cache) { c.fill("hot", 200, time.Hour) }},
	} {
		t.Run(x.policy, func(t *testing.T) {
			c := startCache(t, x.policy)
			ttl := time.Hour
			if strings.HasPrefix(x.policy, "allkeys") {
				ttl = 0
			}
			c.fill("hot", 200, ttl)
			c.fill("cold", 1500, ttl)
			c.fill("kept", 100, 0) // by a volatile policy
			c.ahead.Store(int64(100 * time.Second))
			x.use(c)
			gone := c.shrink(0.6)
			hot, cold, kept := c.count("hot"), c.count("cold"), c.count("kept")
			if left := int64(hot + cold + kept); left != 1800-gone || left < 900 || left > 1200 {
				t.Errorf("%d keys are left of 1800, %d were evicted", left, gone)
			}
			if hot != 200 || ttl != 0 && kept != 100 {
				t.Errorf("%d of 200 that are used, %d of 100 without a time are left, and %d others", hot, kept, cold)
			}
			if v := must[string](t)(c.Info(t.Context(), "stats").Result()); !strings.Contains(v, fmt.Sprintf("evicted_keys:%d\r\n", gone)) {
				t.Errorf("INFO does not say that %d were evicted", gone)
			}
		})
	}
}

// TestEvictionByTTL: those go first that would go first anyway.
func TestEvictionByTTL(t *testing.T) {
	c := startCache(t, "volatile-ttl")
	c.fill("soon", 800, time.Minute)
	c.fill("later", 800, time.Hour)
	c.shrink(0.8)
	if soon, later := c.count("soon"), c.count("later"); later < 790 || soon > 560 {
		t.Errorf("%d soon, %d later", soon, later)
	}
}

// TestEvictionAtRandom: it goes on until little is left, and says what it did, once each.
func TestEvictionAtRandom(t *testing.T) {
	c := startCache(t, "allkeys-random")
	heard := c.Subscribe(t.Context(), "__keyevent@0__:evicted")
	defer func() { _ = heard.Close() }()
	if _, err := heard.Receive(t.Context()); err != nil {
		t.Fatal(err)
	}
	c.fill("k", 500, 0)
	gone := c.shrink(0.5)
	names := map[string]bool{}
	for range gone {
		m, err := heard.ReceiveMessage(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		names[m.Payload] = true
	}
	if left := c.count("k"); gone < 200 || len(names) != int(gone) || left != 500-int(gone) {
		t.Errorf("%d went, %d are left, events of %d", gone, left, len(names))
	}
}

// TestOutOfMemory: what needs room is refused when nothing may go, on every way; the rest works.
func TestOutOfMemory(t *testing.T) {
	for _, policy := range []string{"noeviction", "volatile-lru"} {
		t.Run(policy, func(t *testing.T) {
			c := startCache(t, policy)
			c.fill("k", 300, 0)
			if gone := c.shrink(0.5); gone != 0 {
				t.Errorf("%d keys were evicted", gone)
			}
			const oom = "OOM command not allowed when used memory > 'maxmemory'."
			for _, command := range []string{"SET a b", "APPEND k1 x", "LPUSH l x", "EVAL return{redis.call('SET','a','b')} 0"} {
				if _, err := c.do(command); err == nil || !strings.Contains(err.Error(), oom) {
					t.Errorf("%s: %v", command, err)
				}
			}
			raw := c.dial(t)
			raw.send("MULTI\r\nSET a b\r\nEXEC\r\nGET a\r\n")
			raw.expect("+OK\r\n-" + oom + "\r\n-EXECABORT Transaction discarded because of previous errors.\r\n$-1\r\n")
			for _, command := range []string{"GET k1", "DEL k2", "EXPIRE k3 100"} {
				c.ok(command)
			}
			for i := range 290 {
				c.ok(fmt.Sprint("DEL k", i))
			}
			if err := c.evictor.Look(); err != nil {
				t.Fatal(err)
			}
			c.ok("SET a b")
		})
	}
}

// TestUsage: OBJECT tells what the policy knows.
func TestUsage(t *testing.T) {
	c := startCache(t, "allkeys-lru")
	c.ok("SET k v")
	c.ahead.Store(int64(40 * time.Second))
	if v, err := c.do("OBJECT IDLETIME k"); v != int64(40) && v != int64(39) && v != int64(41) {
		t.Errorf("idle for %v, %v", v, err)
	}
	if _, err := c.do("OBJECT FREQ k"); err == nil || !strings.HasPrefix(err.Error(), "ERR An LFU maxmemory policy is not selected") {
		t.Error(err)
	}
	c.ok("CONFIG SET maxmemory-policy allkeys-lfu")
	for range 50 {
		c.ok("GET k")
	}
	if v, err := c.do("OBJECT FREQ k"); err != nil || v.(int64) < 6 || v.(int64) > 40 {
		t.Errorf("%v uses, %v", v, err)
	}
	if _, err := c.do("OBJECT IDLETIME k"); err == nil || !strings.HasPrefix(err.Error(), "ERR An LFU maxmemory policy is selected") {
		t.Error(err)
	}
	for command, want := range map[string]string{"CONFIG SET maxmemory-policy lru": "must be one of the following", "CONFIG SET maxmemory x": "memory value",
		"CONFIG SET maxmemory -1": "memory value"} {
		if _, err := c.do(command); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", command, err)
		}
	}
	c.ok("CONFIG SET maxmemory 100mb")
	if v := must[map[string]string](t)(c.ConfigGet(t.Context(), "maxmemory").Result()); v["maxmemory"] != "104857600" {
		t.Error(v)
	}
}
