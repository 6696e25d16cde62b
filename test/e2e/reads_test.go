package e2e

import (
	"errors"
	"os"
	"testing"
	"time"

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
