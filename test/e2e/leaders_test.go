package e2e

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	"github.com/stratadb/strata/internal/hashslot"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/model/redis/rdb"
	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

const (
	slotRanges  = 6 // of the slots; the first one is also that of the meta area
	loadClients = 50
)

// increments are clients that increment counters, each its own, in a range of its own or
// one that it shares.
type increments struct {
	*trio
	mu      sync.Mutex // guards trio.nodes, while one is started again
	clients [loadClients]struct {
		key                string
		sent, acknowledged atomic.Int64
	}
	ranges [slotRanges]pulse
	stop   atomic.Bool
	wait   sync.WaitGroup
}

// pulse is when a range has acknowledged something.
type pulse struct {
	mu      sync.Mutex
	last    time.Time
	longest time.Duration // between two
	count   int
}

func (p *pulse) beat() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := time.Now()
	p.longest, p.last = max(p.longest, now.Sub(p.last)), now
	p.count++
}

// reset begins a measurement.
func (p *pulse) reset() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.longest, p.last, p.count = 0, time.Now(), 0
}

func (p *pulse) read() (longest time.Duration, count int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.longest, p.count
}

// keyIn is a key in a part of the slots.
func keyIn(part, client int) string {
	for i := 0; ; i++ {
		key := fmt.Sprintf("%d:%d", client, i)
		if int(hashslot.Slot([]byte(key)))*slotRanges/hashslot.Slots == part {
			return key
		}
	}
}

// slotKey is where a part of the slots begins.
func slotKey(part int) []byte {
	slot := (part*hashslot.Slots + slotRanges - 1) / slotRanges
	return keyspace.AppendRedisSlot(nil, keyspace.AppendRedisDB(nil, 1, 0), uint16(slot))
}

// startDivided is three nodes with a range for each part of the slots.
func startDivided(t *testing.T) *trio {
	c := startTrio(t)
	d := distribution(t, c.nodes[0])
	for i := 1; i < slotRanges; i++ {
		c.until("a range was cut", func() error {
			known, err := d.ListRoutes(t.Context(), &proto.ListRoutesRequest{})
			if err != nil {
				return err
			}
			last := known.Routes[len(known.Routes)-1]
			_, err = d.SplitRange(t.Context(), &proto.SplitRangeRequest{ExpectedCatalogVersion: known.CatalogVersion, RouteId: last.RouteId,
				SplitKey: slotKey(i)})
			return err
		})
	}
	return c
}

func startIncrements(t *testing.T) *increments {
	l := &increments{trio: startDivided(t)}
	for i := range l.clients {
		l.clients[i].key = keyIn(i%slotRanges, i)
		l.wait.Go(func() { l.client(i) })
	}
	return l
}

func (l *trio) until(what string, do func() error) {
	l.t.Helper()
	for end := time.Now().Add(replyWithin); ; time.Sleep(50 * time.Millisecond) {
		err := do()
		if err == nil {
			return
		}
		if time.Now().After(end) {
			l.stuck(fmt.Sprintf("waited until %s: %v", what, err))
		}
	}
}

func (l *increments) client(i int) {
	c := &l.clients[i]
	for !l.stop.Load() {
		l.mu.Lock()
		addr := l.nodes[rand.IntN(len(l.nodes))].RESP
		l.mu.Unlock()
		conn, err := process.Dial(addr)
		if err != nil {
			continue // that node is down
		}
		for !l.stop.Load() {
			_ = conn.SetDeadline(time.Now().Add(replyWithin))
			c.sent.Add(1)
			v, err := conn.Do("INCR", c.key)
			if err != nil || v.Kind == resp.KindError {
				break
			}
			c.acknowledged.Add(1)
			l.ranges[i%slotRanges].beat()
		}
		_ = conn.Close()
	}
}

// spread gives the ranges to the nodes in turn, and says who leads which.
func (l *trio) spread() (leads [slotRanges]int) {
	l.t.Helper()
	l.until("the leaders are spread", func() error {
		d := distribution(l.t, l.nodes[0])
		for _, r := range rangesOf(l.t, l.nodes[0]) {
			part := slotRanges - 1
			for i := range slotRanges {
				if r.Start == keyspace.Pretty(slotKey(i)) {
					part = i
				}
			}
			if r.Start == keyspace.Pretty(keyspace.All().Start) {
				part = 0
			}
			want := part%3 + 1
			if leads[part] = r.Leader; r.Leader == want {
				continue
			}
			_, err := d.TransferLeader(context.Background(), &proto.TransferLeaderRequest{RouteId: uint64(r.ID), NodeId: uint64(want)})
			return fmt.Errorf("range %d is led by node %d: %v", r.ID, r.Leader, err)
		}
		return nil
	})
	return leads
}

// progress waits until every range has acknowledged something.
func (l *increments) progress() {
	l.t.Helper()
	for i := range l.ranges {
		l.ranges[i].reset()
	}
	l.until("all ranges work", func() error {
		for i := range l.ranges {
			if _, n := l.ranges[i].read(); n < 10 {
				return fmt.Errorf("part %d has acknowledged %d writes", i, n)
			}
		}
		return nil
	})
}

func (l *increments) end() {
	l.t.Helper()
	l.stop.Store(true)
	l.wait.Wait()
	at := dial(l.t, l.nodes[1].RESP)
	for i := range l.clients {
		c := &l.clients[i]
		v, err := at.Do("GET", c.key)
		if err != nil {
			l.t.Fatal(err)
		}
		var got int64
		_, _ = fmt.Sscan(string(v.Str), &got)
		if got < c.acknowledged.Load() || got > c.sent.Load() {
			l.t.Errorf("%s is %d, of %d sent %d were acknowledged", c.key, got, c.sent.Load(), c.acknowledged.Load())
		}
	}
}

// TestLeadersFail kills leaders of some of the ranges under clients that write to all of
// them: nothing acknowledged is lost. It prints how long the ranges of the node that was
// killed did not acknowledge anything, and how long the others; and the same for the node
// that leads the meta area's range, and issues the stamps.
func TestLeadersFail(t *testing.T) {
	l := startIncrements(t)
	gaps := map[string][]time.Duration{}
	for round := range *kills {
		leads := l.spread()
		l.progress()
		victim := []int{1, 2, 3}[round%3]
		for i := range l.ranges {
			l.ranges[i].reset()
		}
		l.nodes[victim-1].Kill()
		l.until("all ranges have gone on", func() error {
			for i := range l.ranges {
				if _, n := l.ranges[i].read(); n < 200 {
					return fmt.Errorf("part %d has acknowledged %d writes", i, n)
				}
			}
			return nil
		})
		for i := range l.ranges {
			longest, _ := l.ranges[i].read()
			what := "led by another node"
			if leads[i] == victim {
				what = "led by the node"
			}
			if victim == leads[0] {
				what += ", which led the meta range"
			}
			gaps[what] = append(gaps[what], longest)
		}
		l.mu.Lock()
		l.restart(victim - 1)
		l.mu.Unlock()
		l.progress()
	}
	l.end()
	for what, list := range gaps {
		slices.Sort(list)
		t.Logf("ranges %s: %d gaps, median %v, longest %v", what, len(list), list[len(list)/2], list[len(list)-1])
	}
}

// sleeping is how many replicas sleep on each node.
func (l *trio) sleeping() (counts []int) {
	l.t.Helper()
	var nodes []struct {
		Status   string
		Sleeping int
	}
	l.until("all nodes tell", func() error {
		_, out, log := process.Run(l.t, "nodes", "--json", "--admin", l.nodes[0].Admin)
		if err := json.Unmarshal([]byte(out), &nodes); err != nil {
			return fmt.Errorf("%w: %s%s", err, out, log)
		}
		for _, n := range nodes {
			if n.Status != "live" {
				return fmt.Errorf("%+v", nodes)
			}
		}
		return nil
	})
	for _, n := range nodes {
		counts = append(counts, n.Sleeping)
	}
	return counts
}

// TestSleepersFail kills nodes while nobody has done anything for a while, so that all ranges
// but the first one sleep. They answer reads meanwhile, and are led again soon after.
func TestSleepersFail(t *testing.T) {
	t.Parallel()
	l := startDivided(t)
	var gaps []time.Duration
	for round := range *kills {
		victim := round % 3
		l.spread()
		key := func(part int) string { return keyIn(part, 0) }
		at := dial(t, l.nodes[(victim+1)%3].RESP)
		for part := range slotRanges {
			at.expect("SET "+key(part)+" "+fmt.Sprint(round), "OK")
		}
		l.until("the ranges sleep", func() error {
			if counts := l.sleeping(); slices.Min(counts) < slotRanges-1 {
				return fmt.Errorf("of each node's replicas sleep %v", counts)
			}
			return nil
		})
		for part := range slotRanges {
			at.expect("GET "+key(part), fmt.Sprintf("%q", fmt.Sprint(round)))
		}
		if counts := l.sleeping(); slices.Min(counts) < slotRanges-1 {
			t.Errorf("reads have woken ranges: of each node's replicas sleep %v", counts)
		}
		l.nodes[victim].Kill()
		killed := time.Now()
		var wait sync.WaitGroup
		took := make([]time.Duration, slotRanges)
		for part := range slotRanges {
			wait.Go(func() {
				conn, err := process.Dial(l.nodes[(victim+1)%3].RESP)
				if err != nil {
					t.Error(err)
					return
				}
				defer func() { _ = conn.Close() }()
				for took[part] == 0 && time.Since(killed) < replyWithin {
					if v, err := conn.Do("SET", key(part), "again"); err == nil && v.Kind != resp.KindError {
						took[part] = time.Since(killed)
					}
				}
			})
		}
		wait.Wait()
		if gaps = append(gaps, took...); slices.Min(took) == 0 {
			l.stuck(fmt.Sprintf("ranges were led again after %v", took))
		}
		l.restart(victim)
		l.awaitVoters("1,2,3")
	}
	slices.Sort(gaps)
	t.Logf("ranges that slept when a node was killed: %d first writes, median %v, longest %v", len(gaps), gaps[len(gaps)/2], gaps[len(gaps)-1])
}

// TestClusterClientsOverRanges: clients in cluster mode are told who leads which slots, and
// are served there; commands over several slots work on any node.
func TestClusterClientsOverRanges(t *testing.T) {
	c := startDivided(t)
	leads := c.spread()
	ctx := t.Context()
	for i, n := range c.nodes {
		c.until("the slots are known", func() error {
			slots, err := client(t, n.RESP).ClusterSlots(ctx).Result()
			if err != nil {
				return err
			}
			for _, s := range slots {
				for part := range slotRanges {
					first, last := part*hashslot.Slots/slotRanges+1, (part+1)*hashslot.Slots/slotRanges-1
					if s.Start <= first && last <= s.End && s.Nodes[0].Addr != c.nodes[leads[part]-1].RESP {
						return fmt.Errorf("node %d says that slots %d to %d are led at %s", i+1, s.Start, s.End, s.Nodes[0].Addr)
					}
				}
			}
			return nil
		})
	}
	cluster := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{c.nodes[2].RESP}, ReadTimeout: replyWithin})
	defer func() { _ = cluster.Close() }()
	var pairs []any
	var keys []string
	for i := range 200 {
		key := fmt.Sprintf("key:%d", i)
		keys, pairs = append(keys, key), append(pairs, key, "many")
		if err := cluster.Set(ctx, key, i, 0).Err(); err != nil {
			t.Fatal(err)
		}
		if v, err := cluster.Get(ctx, key).Int(); err != nil || v != i {
			t.Fatalf("%s is %d, %v", key, v, err)
		}
	}
	if n, err := client(t, c.nodes[1].RESP).DBSize(ctx).Result(); err != nil || n != 200 {
		t.Errorf("%d keys, %v", n, err)
	}
	if err := client(t, c.nodes[1].RESP).MSet(ctx, pairs...).Err(); err != nil {
		t.Fatal(err)
	}
	for _, n := range c.nodes {
		values, err := client(t, n.RESP).MGet(ctx, keys...).Result()
		if err != nil {
			t.Fatal(err)
		}
		for i, v := range values {
			if v != "many" {
				t.Errorf("%s is %v", keys[i], v)
			}
		}
	}
	c.saved(2, keys)
	if _, err := exec.LookPath("redis-cli"); err != nil {
		t.Skip("redis-cli is not here")
	}
	_, port, _ := net.SplitHostPort(c.nodes[0].RESP)
	for part := range slotRanges {
		out, err := exec.Command("redis-cli", "-c", "-p", port, "INCR", keyIn(part, 1)).CombinedOutput()
		if err != nil || strings.TrimSpace(string(out)) != "1" {
			t.Errorf("redis-cli -c: %s, %v", out, err)
		}
	}
}

// saved fails unless a file that a node saves holds just these keys, whoever leads them.
func (c *trio) saved(node int, want []string) {
	c.t.Helper()
	dial(c.t, c.nodes[node].RESP).expect("SAVE", "OK")
	content, err := os.ReadFile(filepath.Join(c.nodes[node].Dir, "rdb", "dump.rdb"))
	if err != nil {
		c.t.Fatal(err)
	}
	file, err := rdb.OpenFile(content)
	if err != nil {
		c.t.Fatal(err)
	}
	var got []string
	for {
		r, err := file.Next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil || string(r.Value.Text) != "many" {
			c.t.Fatalf("%q is %q, %v", r.Key, r.Value.Text, err)
		}
		got = append(got, string(r.Key))
	}
	if want = slices.Sorted(slices.Values(want)); !slices.Equal(slices.Sorted(slices.Values(got)), want) {
		c.t.Errorf("the file holds %d keys of %d", len(got), len(want))
	}
}
