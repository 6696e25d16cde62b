package proxy_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/proxy"
)

// application counts what it has been told was done, in a way that shows each doubled or
// lost write.
type application struct {
	c      *redis.Client
	counts [8]atomic.Int64
	pushed atomic.Int64
	taken  sync.Map // jobs that workers have got
	twice  atomic.Int64
	failed atomic.Int64
	first  atomic.Value // the first error
	stop   chan struct{}
	wg     sync.WaitGroup
}

func (a *application) fail(err error) {
	if a.failed.Add(1) == 1 {
		a.first.Store(err.Error())
	}
}

func (a *application) loop(step func(ctx context.Context, i int)) {
	a.wg.Add(1)
	go func() {
		defer a.wg.Done()
		for i := 0; ; i++ {
			select {
			case <-a.stop:
				return
			default:
				step(context.Background(), i)
			}
		}
	}()
}

func (a *application) run() {
	for w := range a.counts {
		a.loop(func(ctx context.Context, i int) { // plain, pipelined and transactional counters
			key := fmt.Sprint("count:", w)
			var err error
			n := int64(1)
			switch i % 3 {
			case 0:
				err = a.c.Incr(ctx, key).Err()
			case 1:
				_, err = a.c.Pipelined(ctx, func(p redis.Pipeliner) error {
					for range 5 {
						p.Incr(ctx, key)
						p.HIncrBy(ctx, "hash", key, 1)
						p.Expire(ctx, "hash", time.Hour)
					}
					return nil
				})
				n = 5
			default:
				_, err = a.c.TxPipelined(ctx, func(p redis.Pipeliner) error {
					p.IncrBy(ctx, key, 2)
					p.ZAdd(ctx, "board", redis.Z{Score: float64(i), Member: key})
					return nil
				})
				n = 2
			}
			if err != nil {
				a.fail(err)
				return
			}
			a.counts[w].Add(n)
			if got, err := a.c.Get(ctx, key).Int64(); err != nil || got != a.counts[w].Load() {
				a.fail(fmt.Errorf("%s is %d after %d: %w", key, got, a.counts[w].Load(), errors.Join(err)))
			}
		})
	}
	a.loop(func(ctx context.Context, _ int) { // a queue with workers that wait
		n := a.pushed.Add(1)
		if err := a.c.RPush(ctx, "jobs", n).Err(); err != nil {
			a.fail(err)
		}
		<-time.After(time.Millisecond)
	})
	for range 4 {
		a.loop(func(ctx context.Context, _ int) {
			v, err := a.c.BLPop(ctx, time.Second, "jobs").Result()
			if errors.Is(err, redis.Nil) {
				return
			}
			if err != nil {
				a.fail(err)
				return
			}
			if _, again := a.taken.LoadOrStore(v[1], true); again {
				a.twice.Add(1)
			}
		})
	}
}

// end stops it and compares its counts with what is stored.
func (a *application) end(t *testing.T) {
	t.Helper()
	close(a.stop)
	a.wg.Wait()
	ctx := context.Background()
	if n := a.failed.Load(); n > 0 {
		t.Errorf("%d commands failed, the first: %v", n, a.first.Load())
	}
	total := int64(0)
	for w := range a.counts {
		n := a.counts[w].Load()
		total += n
		if got := a.c.Get(ctx, fmt.Sprint("count:", w)).Val(); got != fmt.Sprint(n) {
			t.Errorf("counter %d is %s, the application counted %d", w, got, n)
		}
	}
	for a.c.LLen(ctx, "jobs").Val() > 0 {
		a.taken.Store(a.c.LPop(ctx, "jobs").Val(), true)
	}
	taken := int64(0)
	a.taken.Range(func(any, any) bool { taken++; return true })
	if taken != a.pushed.Load() || a.twice.Load() > 0 {
		t.Errorf("%d of %d jobs were taken, %d of them twice", taken, a.pushed.Load(), a.twice.Load())
	}
	t.Logf("%d increments, %d jobs", total, taken)
}

// TestMigration: the proxy moves a Redis server with a writing application to Strata, and
// back and forth again; the report shows no difference, and the application's counters
// match at the end.
func TestMigration(t *testing.T) {
	m := start(t, proxy.RedisOnly)
	ctx := context.Background()
	direct := m.clientOf(m.redis, 2)
	for i := range 2000 {
		direct.Set(ctx, fmt.Sprint("old:", i), strings.Repeat("x", i%100), 0)
	}
	direct.Set(ctx, "with a time", "v", time.Hour)
	big := make([]any, 0, 40_000)
	for i := range 20_000 {
		big = append(big, fmt.Sprint("field", i), strings.Repeat("v", 300))
	}
	direct.HSet(ctx, "large", big...)
	a := &application{c: m.client(), stop: make(chan struct{})}
	a.run()
	pause := func() {
		t.Helper()
		pushed, counted := a.pushed.Load()+100, a.counts[0].Load()+100
		m.until("that the application goes on", func() bool { return a.pushed.Load() >= pushed && a.counts[0].Load() >= counted })
	}
	pause()
	m.setMode(proxy.DualWriteShadow)
	pause()
	m.complete()
	pause()
	m.setMode(proxy.StrataPrimary)
	pause()
	m.setMode(proxy.DualWriteShadow)
	pause()
	m.setMode(proxy.StrataPrimary)
	pause()
	a.end(t)
	m.equal()
	m.noDifferences()
	r := m.Report()
	if got := r.Compared["get"]; got.Equal < 100 || r.Applied < 1000 {
		t.Errorf("only %d reads were compared, %d writes mirrored", got.Equal, r.Applied)
	}
	for _, s := range r.Switches {
		t.Logf("%s to %s: held %.1f ms", s.From, s.To, s.HeldMs)
	}
	m.setMode(proxy.StrataOnly)
	if n := a.c.Exists(ctx, "large", "with a time").Val(); n != 2 {
		t.Errorf("%d of 2 keys are there in strata-only mode", n)
	}
}

// TestDifferences: what is not the same is found by reads and by writes, and repaired; what
// need not be the same is none.
func TestDifferences(t *testing.T) {
	m := start(t, proxy.DualWriteShadow)
	m.sync()
	c, behind, ctx := m.client(), m.clientOf(m.strata, 2), context.Background()
	c.Set(ctx, "a", "right", 0)
	c.SAdd(ctx, "set", 1, 2, 3, 4, 5, 6, 7, 8, 9, "x", "y", "z")
	c.RPush(ctx, "list", 1)
	c.Set(ctx, "timed", 1, time.Minute)
	m.settle()
	for range 20 {
		c.SMembers(ctx, "set")
		c.TTL(ctx, "timed")
		c.RandomKey(ctx)
		c.Get(ctx, "a")
	}
	m.settle()
	m.noDifferences()
	behind.Set(ctx, "a", "wrong", 0)
	behind.RPush(ctx, "list", 2)
	behind.Expire(ctx, "timed", time.Hour)
	if v := c.Get(ctx, "a").Val(); v != "right" {
		t.Errorf("the client was answered %q", v)
	}
	if n := c.RPush(ctx, "list", 3).Val(); n != 2 {
		t.Errorf("the client was answered %d", n)
	}
	c.TTL(ctx, "timed")
	m.until("that the differences are found", func() bool { return m.Report().Differences == 3 })
	r := m.Report()
	if r.Compared["get"].Differs != 1 || r.Compared["ttl"].Differs != 1 || r.Compared["smembers"].Differs != 0 {
		t.Errorf("compared: %+v", r.Compared)
	}
	var text strings.Builder
	_ = r.WriteText(&text)
	for _, want := range []string{"read db 0", "GET a", `$5\r\nright`, `$5\r\nwrong`, "RPUSH list 3", "differences   3"} {
		if !strings.Contains(strings.ToLower(text.String()), strings.ToLower(want)) {
			t.Errorf("the report does not say %q:\n%s", want, text.String())
		}
	}
	m.equal()
}

// TestDatabases: keys that move between databases, and databases that are swapped, also
// while everything is copied.
func TestDatabases(t *testing.T) {
	m := start(t, proxy.DualWrite)
	ctx := context.Background()
	direct := m.clientOf(m.redis, 2)
	for i := range 3000 {
		direct.Set(ctx, fmt.Sprint("k", i), i, 0)
	}
	c := m.client()
	if err := m.Sync(); err != nil {
		t.Fatal(err)
	}
	for i := range 300 { // some before their turn, some behind it
		c.Move(ctx, fmt.Sprint("k", i*10), 1)
		c.Copy(ctx, fmt.Sprint("k", i*10+1), fmt.Sprint("c", i), 2, true)
		c.Rename(ctx, fmt.Sprint("k", i*10+2), fmt.Sprint("r", i))
	}
	m.until("a sync", func() bool { return !m.Report().Sync.Running })
	m.equal()
	if err := c.Do(ctx, "SWAPDB", 0, 1).Err(); err != nil {
		t.Fatal(err)
	}
	if n := c.DBSize(ctx).Val(); n != 300 {
		t.Errorf("%d keys are in the database", n)
	}
	m.equal()
	c.FlushDB(ctx)
	m.equal()
	m.noDifferences()
}
