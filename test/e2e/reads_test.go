package e2e

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	goredis "github.com/redis/go-redis/v9"

	strata "github.com/stratadb/strata/client"
	"github.com/stratadb/strata/internal/wire/resp"
)

// TestQuorumReads: with --read-mode=quorum any node answers any command, and a leader that
// nobody answers gives no reply to a read, not even within the time of a lease.
func TestQuorumReads(t *testing.T) {
	c := startTrio(t, "--read-mode", "quorum")
	for i, n := range c.nodes {
		dial(t, n.RESP).expect("INCR k", []string{"(integer) 1", "(integer) 2", "(integer) 3"}[i])
	}
	for _, n := range c.nodes {
		at := dial(t, n.RESP)
		at.expect("GET k", `"3"`)
		at.expect("BEGIN", "OK")
		at.expect("GET k", `"3"`)
		at.expect("COMMIT", "OK")
	}
	leader := leaderAt(t, c.nodes[0])
	at := dial(t, c.nodes[leader].RESP)
	at.expect("GET k", `"3"`)
	for i, n := range c.nodes {
		if i != leader {
			n.Pause()
			defer n.Resume()
		}
	}
	time.Sleep(50 * time.Millisecond) // what they have sent is over; a lease would last for longer
	if err := at.SetDeadline(time.Now().Add(200 * time.Millisecond)); err != nil {
		t.Fatal(err)
	}
	if v, err := at.Do("GET", "k"); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("alone, the leader answers %s, %v", resp.AppendFormat(nil, v), err)
	}
	for i, n := range c.nodes {
		if i != leader {
			n.Resume()
		}
	}
	dial(t, c.nodes[leader].RESP).expect("GET k", `"3"`)
}

// TestStaleReadsWithoutLeader: a node that is cut off from all others answers reads which
// may be old enough, and no others.
func TestStaleReadsWithoutLeader(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	leader := leaderAt(t, c.nodes[0])
	alone := (leader + 1) % 3
	db := grpcClient(t, c.nodes[alone], strata.Options{})
	stale, ctx := db.Stale(time.Minute), context.Background()
	if err := db.Put(ctx, []byte("k"), []byte("v")); err != nil {
		t.Fatal(err)
	}
	get := func(from *strata.Client, within time.Duration) (string, error) {
		ctx, cancel := context.WithTimeout(ctx, within)
		defer cancel()
		v, err := from.Get(ctx, []byte("k"))
		return string(v), err
	}
	if v, err := get(stale, replyWithin); v != "v" || err != nil {
		t.Fatalf("%q, %v", v, err)
	}
	for i, n := range c.nodes {
		if i != alone {
			n.Pause()
			defer n.Resume()
		}
	}
	paused := time.Now()
	for range 100 {
		if v, err := get(stale, replyWithin); v != "v" || err != nil {
			t.Fatalf("%q, %v", v, err)
		}
	}
	if took := time.Since(paused); took > replyWithin/2 {
		t.Errorf("100 reads took %v", took)
	}
	for time.Since(paused) < time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	for _, from := range []*strata.Client{db.Stale(time.Second), db} {
		if v, err := get(from, 2*time.Second); err == nil {
			t.Errorf("%q is too old", v)
		}
	}
	if v, err := get(stale, replyWithin); v != "v" || err != nil {
		t.Errorf("%q, %v", v, err)
	}
	for i, n := range c.nodes {
		if i != alone {
			n.Resume()
		}
	}
	c.until("all is well again", func() error {
		_, err := get(db.Stale(time.Second), replyWithin)
		return err
	})
}

// TestReadonlyClients: RESP clients that have asked for it are answered by the node that they are
// connected to: a cluster client by the nearest, and one whose node is cut off from all others.
func TestReadonlyClients(t *testing.T) {
	c := startTrio(t)
	leader := leaderAt(t, c.nodes[0])
	alone := (leader + 1) % 3
	ctx := context.Background()
	nearest := goredis.NewClusterClient(&goredis.ClusterOptions{Addrs: []string{c.nodes[0].RESP, c.nodes[1].RESP, c.nodes[2].RESP},
		ReadOnly: true, RouteByLatency: true, ReadTimeout: replyWithin})
	t.Cleanup(func() { _ = nearest.Close() })
	const keys = 50
	for i := range keys {
		if err := nearest.Set(ctx, fmt.Sprintf("key:%d", i), i, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	c.until("all keys are seen", func() error { // their clients may be told what is a second old
		for i := range keys {
			if v, err := nearest.Get(ctx, fmt.Sprintf("key:%d", i)).Int(); err != nil || v != i {
				return fmt.Errorf("key:%d is %d, %w", i, v, err)
			}
		}
		return nil
	})
	at := dial(t, c.nodes[alone].RESP)
	near := func() (n int) {
		info := string(at.do("INFO stats").Str)
		_, rest, _ := strings.Cut(info, "stale_reads_here:")
		_, _ = fmt.Sscan(rest, &n)
		return n
	}
	at.expect("READONLY", "OK")
	c.until("a read that asks nobody", func() error {
		before := near()
		at.expect("MGET key:1 key:2", "1) \"1\"\n2) \"2\"")
		if n := near() - before; n < 2 {
			return fmt.Errorf("%d reads at this node", n)
		}
		return nil
	})
	at.expect("SESSION.ATTRIBUTE SET stale_reads_ms 60000", "OK")
	at.expect("GET key:1", `"1"`)
	for i, n := range c.nodes {
		if i != alone {
			n.Pause()
			defer n.Resume()
		}
	}
	paused := time.Now()
	for i := range keys {
		at.expect(fmt.Sprintf("GET key:%d", i), fmt.Sprintf(`"%d"`, i))
	}
	if took := time.Since(paused); took > replyWithin/2 {
		t.Errorf("%d reads took %v", keys, took)
	}
	for time.Since(paused) < time.Second {
		time.Sleep(10 * time.Millisecond)
	}
	second := dial(t, c.nodes[alone].RESP)
	second.expect("SESSION.ATTRIBUTE SET stale_reads_ms 1000", "OK")
	if err := second.SetDeadline(time.Now().Add(2 * time.Second)); err != nil {
		t.Fatal(err)
	}
	if v, err := second.Do("GET", "key:1"); err == nil && v.Kind != resp.KindError {
		t.Errorf("%s is too old", resp.AppendFormat(nil, v))
	}
	at.expect("MGET key:1 key:2", "1) \"1\"\n2) \"2\"")
}
