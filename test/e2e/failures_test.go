package e2e

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/test/process"
)

var kills = flag.Int("kills", 3, "how often the nodes of a cluster are killed, or stopped, in turn")

// counting is a load of clients of all nodes, which increment one key.
type counting struct {
	*trio
	sent, acknowledged atomic.Int64
	stop               atomic.Bool
	clients            sync.WaitGroup
	patience           time.Duration // of a client
	mu                 sync.Mutex    // guards trio.nodes
}

// count starts the clients.
func (c *trio) count(patience time.Duration) *counting {
	l := &counting{trio: c, patience: patience}
	for range 6 {
		l.clients.Go(func() {
			for !l.stop.Load() {
				// Not the next one: they would all move on to the node that fails next.
				conn, err := process.Dial(l.address(rand.IntN(len(c.nodes))))
				if err != nil {
					continue // that node is down
				}
				l.increment(conn)
				_ = conn.Close()
			}
		})
	}
	return l
}

func (l *counting) address(i int) string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.nodes[i].RESP
}

// increment goes on until the connection ends: the fate of the last one is unknown.
func (l *counting) increment(conn *process.Conn) {
	for !l.stop.Load() {
		_ = conn.SetDeadline(time.Now().Add(l.patience))
		l.sent.Add(1)
		v, err := conn.Do("INCR", "counter")
		if err != nil {
			return
		}
		if v.Kind != resp.KindError {
			l.acknowledged.Add(1)
		}
	}
}

// progress waits for 100 more increments.
func (l *counting) progress() {
	l.t.Helper()
	target := l.acknowledged.Load() + 100
	for end := time.Now().Add(replyWithin); l.acknowledged.Load() < target; time.Sleep(5 * time.Millisecond) {
		if time.Now().After(end) {
			l.stuck("the clients are stuck")
		}
	}
}

// end stops the clients. No acknowledged increment is lost, and none that nobody sent is
// there, whichever node is asked; and the copies are whole.
func (l *counting) end() {
	l.t.Helper()
	l.stop.Store(true)
	l.clients.Wait()
	for i := range l.nodes {
		v, err := dial(l.t, l.nodes[i].RESP).Do("GET", "counter")
		if err != nil {
			l.t.Fatal(err)
		}
		var got int64
		_, _ = fmt.Sscan(string(v.Str), &got)
		if got < l.acknowledged.Load() || got > l.sent.Load() {
			l.t.Fatalf("node %d: the counter is %d, of %d sent %d were acknowledged", i+1, got, l.sent.Load(), l.acknowledged.Load())
		}
	}
	l.t.Logf("%d sent, %d acknowledged", l.sent.Load(), l.acknowledged.Load())
	for i, n := range l.nodes {
		n.Kill()
		if code, out, log := process.Run(l.t, "check", n.Dir); code != 0 || !strings.Contains(out, "one of 3 copies") {
			l.t.Errorf("check of node %d: %d\n%s%s", i+1, code, out, log)
		}
	}
}

// TestNodesFailInTurn kills every node in turn, the leader among them.
func TestNodesFailInTurn(t *testing.T) {
	l := startTrio(t).count(replyWithin)
	for n := range *kills {
		i := n % len(l.nodes)
		l.progress()
		began := time.Now()
		l.nodes[i].Kill()
		l.progress()
		t.Logf("node %d killed: 100 more increments after %v", i+1, time.Since(began))
		l.mu.Lock()
		l.restart(i)
		l.mu.Unlock()
		l.progress()
	}
	l.end()
}

// TestNodesStopInTurn stops every node for a while, the leader among them: no connection
// to it breaks, and when it goes on it does not know that others went on without it. The
// clients are impatient: they would all end up with the node that does not answer.
func TestNodesStopInTurn(t *testing.T) {
	l := startTrio(t).count(2 * time.Second)
	for n := range *kills {
		i := n % len(l.nodes)
		l.progress()
		began := time.Now()
		l.nodes[i].Pause()
		l.progress()
		t.Logf("node %d stopped: 100 more increments after %v", i+1, time.Since(began))
		l.nodes[i].Resume()
		l.progress()
	}
	l.end()
}
