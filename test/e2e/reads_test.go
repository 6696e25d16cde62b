package e2e

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

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
	leader := awaitRanges(t, c.nodes[0], "nobody leads", func(rows []rangeRow) bool { return rows[0].Leader != 0 })[0].Leader - 1
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
	c := startTrio(t)
	leader := awaitRanges(t, c.nodes[0], "nobody leads", func(rows []rangeRow) bool { return rows[0].Leader != 0 })[0].Leader - 1
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
