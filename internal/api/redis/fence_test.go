package redis

import (
	"fmt"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/catalog"
	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvrange"
)

// counters are clients that count in keys all over the slots, with single commands and
// with EXEC.
type counters struct {
	t     *testing.T
	s     *testServer
	keys  []string
	acked atomic.Int64
	end   atomic.Bool
	wg    sync.WaitGroup
	moved chan struct{} // tells of acknowledged increments
}

// count lets n clients count until the end; replies that begin with one of refused are
// all right, and count nothing.
func (s *testServer) count(t *testing.T, n int, setup string, refused ...string) *counters {
	c := &counters{t: t, s: s, moved: make(chan struct{}, 64)}
	for i := range 48 {
		c.keys = append(c.keys, fmt.Sprintf("n%d", i))
	}
	for i := range n {
		l := s.line(t)
		l.script(setup)
		c.wg.Go(func() {
			for step := i; !c.end.Load(); step++ {
				key := c.keys[step*7%len(c.keys)]
				reply := ""
				if step%5 == 0 {
					l.script("MULTI\nINCR " + key + " => QUEUED")
					reply = strings.Trim(l.do("EXEC"), "[]")
				} else {
					reply = l.do("INCR " + key)
				}
				if _, err := strconv.Atoi(reply); err == nil {
					c.acked.Add(1)
					select {
					case c.moved <- struct{}{}:
					default:
					}
					continue
				}
				expected := false
				for _, r := range refused {
					expected = expected || strings.HasPrefix(reply, r)
				}
				if !expected {
					t.Errorf("INCR %s: %s", key, reply)
					return
				}
			}
		})
	}
	return c
}

// await waits for n increments.
func (c *counters) await(n int) {
	c.t.Helper()
	timeout := time.After(time.Minute)
	for range n {
		select {
		case <-c.moved:
		case <-timeout:
			c.t.Fatal("nobody counts")
		}
	}
}

// sum adds up the counters of a database, those with wanted keys.
func (c *counters) sum(l *line, wanted func(key string) bool) (total int64) {
	c.t.Helper()
	for _, key := range c.keys {
		if got := l.do("GET " + key); got != "nil" && wanted(key) {
			n, err := strconv.ParseInt(got, 10, 64)
			if err != nil {
				c.t.Errorf("GET %s: %s", key, got)
			}
			total += n
		}
	}
	return total
}

func all(string) bool { return true }

// TestFarSwap: once a swap is acknowledged, nobody counts in the database any more that
// has left its number.
func TestFarSwap(t *testing.T) {
	eachStore(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		c := s.count(t, 6, "SELECT 0")
		l := s.line(t)
		for range 15 {
			l.script("SELECT 1\nSWAPDB 0 1")
			before := c.sum(l, all)
			c.await(60)
			if after := c.sum(l, all); after != before {
				t.Errorf("%d were counted in database 1", after-before)
			}
		}
		c.end.Store(true)
		c.wg.Wait()
		total := c.sum(l, all)
		l.script("SELECT 0")
		if total += c.sum(l, all); total != c.acked.Load() {
			t.Errorf("%d counted, %d acknowledged", total, c.acked.Load())
		}
	})
}

// TestFarMove: once a namespace has another path, nobody counts in it who uses the old one.
func TestFarMove(t *testing.T) {
	eachStore(t, func(t *testing.T, db *kv.DB) {
		s := start(t, Options{DB: db})
		l, other := s.line(t), s.line(t)
		l.script("NAMESPACE CREATE a.b")
		c := s.count(t, 6, "NAMESPACE USE a.b", "NOSUCHNAMESPACE", "CONFLICT")
		busy := s.count(t, 1, "NAMESPACE USE global")
		for range 15 {
			c.await(60)
			l.script("NAMESPACE MOVE a x")
			other.script("NAMESPACE USE x.b")
			before := c.sum(other, all)
			busy.await(30)
			if after := c.sum(other, all); after != before {
				t.Errorf("%d were counted under the old path", after-before)
			}
			l.script("NAMESPACE MOVE x a")
		}
		for _, c := range []*counters{c, busy} {
			c.end.Store(true)
			c.wg.Wait()
		}
		l.script("NAMESPACE USE a.b")
		if total := c.sum(l, all); total != c.acked.Load() {
			t.Errorf("%d counted, %d acknowledged", total, c.acked.Load())
		}
	})
}

// TestFarShard: once a shard is read-only, nobody counts in it.
func TestFarShard(t *testing.T) {
	eachStore(t, func(t *testing.T, db *kv.DB) {
		shards, err := catalog.OpenShards(db, catalog.ShardCounts{Redis: 2})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(shards.Close)
		s := start(t, Options{DB: db, Shards: shards})
		c := s.count(t, 6, "SELECT 0", "REJECT", "EXECABORT")
		l := s.line(t)
		session := db.NewSession()
		set := func(status catalog.ShardStatus) {
			if err := session.RunAndWait(kv.Func(func(t kv.Txn) error {
				return catalog.WriteShard(t, catalog.ShardRedis, 1, catalog.Shard{Status: status})
			})); err != nil {
				t.Error(err)
			}
			if _, err := shards.Refresh(); err != nil {
				t.Error(err)
			}
		}
		restricted := func(key string) bool { return hashslot.Slot([]byte(key)) >= hashslot.Slots/2 }
		for range 15 {
			c.await(60)
			set(catalog.ShardReadOnly)
			before := c.sum(l, restricted)
			c.await(30) // in the other shard
			if after := c.sum(l, restricted); after != before {
				t.Errorf("%d were counted in a shard that is read-only", after-before)
			}
			set(catalog.ShardReadWrite)
		}
		c.end.Store(true)
		c.wg.Wait()
		if total := c.sum(l, all); total != c.acked.Load() {
			t.Errorf("%d counted, %d acknowledged", total, c.acked.Load())
		}
	})
}

// TestFarSplits: clients do not notice that their ranges are cut.
func TestFarSplits(t *testing.T) {
	st := openStore(t)
	split(t, st, catalog.DefaultID, 0, 1)
	s := start(t, Options{DB: kv.New(kvrange.New(st), time.Now)})
	c := s.count(t, 4, "SELECT 0")
	for _, slot := range []uint16{8000, 4000, 12000, 6000} {
		c.await(60)
		split(t, st, catalog.DefaultID, 0, slot)
	}
	c.end.Store(true)
	c.wg.Wait()
	if total := c.sum(s.line(t), all); total != c.acked.Load() {
		t.Errorf("%d counted, %d acknowledged", total, c.acked.Load())
	}
}

// TestFarCommands: what lies in one range is no transaction over several of them, also
// after that was cut.
func TestFarCommands(t *testing.T) {
	st := openStore(t)
	db := kv.New(kvrange.New(st), time.Now)
	shards, err := catalog.OpenShards(db, catalog.ShardCounts{})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(shards.Close)
	l := start(t, Options{DB: db, Shards: shards}).line(t)
	for i, slot := range []uint16{1, 8000, 4000, 12000, 6000} {
		split(t, st, catalog.DefaultID, 0, slot)
		l.script("SET k v\nGET k => v\nHSET h f v => 1\nMULTI\nSET {h}x 1 => QUEUED\nHDEL h f => QUEUED\nEXEC => [OK 1]")
		l.script("WATCH h\nMULTI\nSET {h}y 1 => QUEUED\nEXEC => [OK]")
		l.script(fmt.Sprintf("SELECT 3\nINCR far => %d\nZSET z%d v\nZGET z%d => v\nSELECT 0", i+1, i, i))
	}
	for _, r := range st.Replicas() {
		if r.Entangled() {
			t.Errorf("range %v knows of transactions over several ranges", r.Descriptor().Span)
		}
	}
}

// TestShardChangesBehindTheCheck: a command commits under the table that it was checked
// against, not under the one that has come since.
func TestShardChangesBehindTheCheck(t *testing.T) {
	eachStore(t, func(t *testing.T, db *kv.DB) {
		shards, err := catalog.OpenShards(db, catalog.ShardCounts{Redis: 1})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(shards.Close)
		family := func() []Command {
			return []Command{{Name: "test.late", Summary: "Writes behind a change of its shard.", Since: "0.1.0", Group: command.GroupGeneric, Arity: 2,
				Flags: command.FlagWrite, Kind: command.KindPaged, Keys: command.OneKey, Handler: func(c *Call) error {
					err := db.NewSession().RunAndWait(kv.Func(func(t kv.Txn) error {
						return catalog.WriteShard(t, catalog.ShardRedis, 0, catalog.Shard{Status: catalog.ShardReadOnly})
					}))
					if err == nil {
						_, err = shards.Refresh()
					}
					if err != nil {
						return err
					}
					return c.OK(c.Transact(func(t kv.Txn) error {
						t.Set(c.DB.AppendHeaderKey(nil, c.Args[1]), []byte("x"))
						return nil
					}))
				}}}
		}
		l := start(t, Options{DB: db, Shards: shards, Families: append(families(), family)}).line(t)
		l.script("TEST.LATE k => REJECT shard REDIS 0 is READONLY…\nEXISTS k => 0")
	})
}
