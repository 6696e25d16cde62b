package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

// TestServedOnce: what is waited for on three nodes comes once: elements to a hundred clients
// that block, and the end of keys to those who listen.
func TestServedOnce(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	c.blockedInOrder(t)
	c.expiredOnce(t)
}

// line is a hundred clients of three nodes that wait at one list.
type line struct {
	*trio
	t      *testing.T
	at     [3]*conn
	served chan delivery
	left   []int // who waits, in order
	next   int   // element
	led    int   // the leader's term when it was looked at last
}

// delivery is what one of them was served.
type delivery struct {
	client  int
	element string
	err     error
}

// lineUp makes them wait, one after another.
func (c *trio) lineUp(t *testing.T) *line {
	const clients = 100
	l := &line{trio: c, t: t, served: make(chan delivery, clients), led: c.term()}
	for i, n := range c.nodes {
		l.at[i] = dial(t, n.RESP)
	}
	for i := range clients {
		conn := dial(t, c.nodes[i%3].RESP)
		if err := conn.SetDeadline(time.Now().Add(5 * replyWithin)); err != nil {
			t.Fatal(err)
		}
		go func() {
			v, err := conn.Do("BLPOP", "queue", "0")
			if err == nil && len(v.Array) != 2 {
				err = fmt.Errorf("%s", resp.AppendFormat(nil, v))
			}
			if err != nil {
				l.served <- delivery{client: i, err: err}
				return
			}
			l.served <- delivery{client: i, element: string(v.Array[1].Str)}
		}()
		want := fmt.Sprintf("blocked_clients:%d\r\n", i/3+1)
		for end := time.Now().Add(replyWithin); !strings.Contains(string(l.at[i%3].do("INFO clients").Str), want); <-time.After(time.Millisecond) {
			if time.Now().After(end) {
				c.stuck(fmt.Sprintf("client %d does not wait", i))
			}
		}
		l.left = append(l.left, i)
	}
	return l
}

// elected reports whether a leader was elected since somebody asked last: for a moment there may
// have been two lines.
func (l *line) elected() bool {
	l.t.Helper()
	before := l.led
	if l.led = l.term(); l.led != before {
		l.t.Logf("a leader was elected meanwhile (term %d, then %d)", before, l.led)
	}
	return l.led != before
}

// await says who was served which of the next elements.
func (l *line) await(many int) (client map[string]int) {
	l.t.Helper()
	client = map[string]int{}
	for range many {
		select {
		case s := <-l.served:
			if _, twice := client[s.element]; s.err != nil || twice {
				l.t.Fatalf("%+v, %v", s, client)
			}
			client[s.element] = s.client
		case <-time.After(replyWithin):
			l.t.Fatalf("%d of %d were served", len(client), many)
		}
	}
	return client
}

// push serves some of them.
func (l *line) push(node, many int, inOrder bool) {
	l.t.Helper()
	command := "RPUSH queue"
	for n := range many {
		command += fmt.Sprintf(" e%d", l.next+n)
	}
	l.at[node].expect(command, fmt.Sprintf("(integer) %d", many))
	client := l.await(many)
	inOrder = !l.elected() && inOrder
	for n := range many {
		who, some := client[fmt.Sprintf("e%d", l.next+n)]
		at := slices.Index(l.left, who)
		if !some || at < 0 || inOrder && at > 0 {
			l.t.Fatalf("element %d was delivered to client %d; waiting are %v", l.next+n, who, l.left)
		}
		l.left = slices.Delete(l.left, at, at+1)
	}
	l.next += many
}

// pushTogether pushes from all nodes at the same time: nobody knows in which order, but to whom.
func (l *line) pushTogether(each int) {
	l.t.Helper()
	for n := range each {
		for node, at := range l.at {
			if _, err := at.Write(resp.AppendCommand(nil, "RPUSH", "queue", fmt.Sprintf("e%d", l.next+node*each+n))); err != nil {
				l.t.Fatal(err)
			}
		}
	}
	front := slices.Sorted(maps.Values(l.await(3 * each)))
	for _, at := range l.at { // what they are told
		for range each {
			if v, err := at.Decoder.Decode(); err != nil || v.Kind != resp.KindInt {
				l.t.Fatalf("%+v, %v", v, err)
			}
		}
	}
	if want := l.left[:len(front)]; !slices.Equal(front, want) && !l.elected() {
		l.t.Errorf("clients %v were served, those who waited for longest are %v", front, want)
	}
	l.left = slices.DeleteFunc(l.left, func(client int) bool { return slices.Contains(front, client) })
	l.next += len(front)
}

// blockedInOrder: each element is delivered once, to whoever has waited for longest, wherever it was
// pushed and whoever leads.
func (c *trio) blockedInOrder(t *testing.T) {
	l := c.lineUp(t)
	for node := range 3 {
		l.push(node, 1, true)
		l.push(node, 9, true)
		l.push(node, 1, true)
	}
	l.pushTogether(5)
	for node := range 3 { // who leads the queue then; for a moment there may be two lines
		c.until("another node leads", func() error {
			_, err := distribution(t, c.nodes[0]).TransferLeader(t.Context(), &proto.TransferLeaderRequest{RouteId: 1, NodeId: uint64(node + 1)})
			return err
		})
		l.push((node+1)%3, 7, false)
	}
	l.push(0, len(l.left), false)
	l.at[1].expect("EXISTS queue", "(integer) 0")
}

// term is that of the first range's leader.
func (c *trio) term() (term int) {
	c.t.Helper()
	c.until("the first range has a leader", func() error {
		code, out, _ := process.Run(c.t, "ranges", "--json", "--admin", c.nodes[0].Admin)
		var ranges []struct{ Term int }
		if err := json.Unmarshal([]byte(out), &ranges); code != 0 || err != nil || len(ranges) == 0 || ranges[0].Term == 0 {
			return fmt.Errorf("%s, %v", out, err)
		}
		term = ranges[0].Term
		return nil
	})
	return term
}

// TestBlockedWhileLeadersFail: clients wait while the node that leads their list is killed, again and
// again. What was pushed, and acknowledged, is delivered, once.
func TestBlockedWhileLeadersFail(t *testing.T) {
	t.Parallel()
	c := startTrio(t)
	var mu sync.Mutex
	got := map[string]int{}
	var stop atomic.Bool
	var workers sync.WaitGroup
	address := func(i int) string {
		mu.Lock()
		defer mu.Unlock()
		return c.nodes[i].RESP
	}
	for i := range 9 {
		workers.Go(func() {
			for !stop.Load() {
				conn, err := process.Dial(address(i % 3))
				if err != nil {
					<-time.After(20 * time.Millisecond)
					continue
				}
				for !stop.Load() {
					_ = conn.SetDeadline(time.Now().Add(replyWithin))
					v, err := conn.Do("BLPOP", "queue", "0.5")
					if err != nil || v.Kind == resp.KindError {
						break
					}
					if len(v.Array) == 2 {
						mu.Lock()
						got[string(v.Array[1].Str)]++
						mu.Unlock()
					}
				}
				_ = conn.Close()
			}
		})
	}
	pushed, unsure := 0, map[string]bool{}
	push := func(node int) {
		conn, err := process.Dial(address(node))
		if err != nil {
			return
		}
		defer func() { _ = conn.Close() }()
		_ = conn.SetDeadline(time.Now().Add(replyWithin))
		element := fmt.Sprintf("e%d", pushed)
		pushed++
		if v, err := conn.Do("RPUSH", "queue", element); err != nil || v.Kind != resp.KindInt {
			unsure[element] = true
		}
	}
	for round := range 3 {
		leader := leaderAt(t, c.nodes[round])
		for n := range 30 {
			push(n % 3)
		}
		c.nodes[leader].Kill()
		for n := range 30 {
			push((leader + 1 + n%2) % 3)
		}
		mu.Lock()
		c.restart(leader)
		mu.Unlock()
		c.awaitVoters("1,2,3")
	}
	// What was taken when the leader died may have been on its way to a client that was told
	// of a failure: it is gone, as if the client had been.
	c.until("the queue is empty", func() error {
		if v := dial(t, address(0)).do("LLEN queue"); v.Kind != resp.KindInt || v.Int != 0 {
			return fmt.Errorf("%s", resp.AppendFormat(nil, v))
		}
		return nil
	})
	stop.Store(true)
	workers.Wait()
	lost := 0
	for n := range pushed {
		element := fmt.Sprintf("e%d", n)
		switch {
		case got[element] > 1:
			t.Errorf("%s was delivered %d times", element, got[element])
		case got[element] == 0 && !unsure[element]:
			lost++
		}
	}
	if most := 3 * 9; lost > most { // a worker has one at a time
		t.Errorf("%d of %d were not delivered", lost, pushed)
	}
	t.Logf("%d pushed, %d of them not known to be, %d on their way when a leader died", pushed, len(unsure), lost)
}

// TestBlockedAtManyKeys: more clients than there are streams between two nodes wait at a node that
// does not lead, each at a key of its own. All are served, and others can still watch keys there.
func TestBlockedAtManyKeys(t *testing.T) {
	const clients = 3 * limits.TransportStreams / 2
	c := startTrio(t)
	leader := leaderAt(t, c.nodes[0])
	other := c.nodes[(leader+1)%3]
	served := make(chan error, clients)
	for i := range clients {
		conn := dial(t, other.RESP)
		if err := conn.SetDeadline(time.Now().Add(3 * replyWithin)); err != nil {
			t.Fatal(err)
		}
		go func() {
			queue := fmt.Sprint("queue", i)
			v, err := conn.Do("BLPOP", queue, "0")
			if err == nil && (len(v.Array) != 2 || string(v.Array[0].Str) != queue) {
				err = fmt.Errorf("%s", resp.AppendFormat(nil, v))
			}
			served <- err
		}()
	}
	at, pusher := dial(t, other.RESP), dial(t, c.nodes[leader].RESP)
	c.until("all wait", func() error {
		if v := at.do("INFO clients"); !strings.Contains(string(v.Str), fmt.Sprintf("blocked_clients:%d\r\n", clients)) {
			return fmt.Errorf("%s", v.Str)
		}
		return nil
	})
	at.expect("WATCH k", "OK")
	pusher.expect("SET k v", "OK")
	at.expect("MULTI", "OK")
	at.expect("GET k", "QUEUED")
	at.expect("EXEC", "(nil)")
	for i := range clients {
		pusher.expect(fmt.Sprintf("RPUSH queue%d v", i), "(integer) 1")
	}
	for range clients {
		if err := <-served; err != nil {
			t.Fatal(err)
		}
	}
}
