package e2e

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/wire/resp"
	"github.com/stratadb/strata/proto"
	"github.com/stratadb/strata/test/process"
)

// TestBlockedInOrder: a hundred clients of three nodes wait at one list. Each element is
// delivered once, to whoever has waited for longest, wherever it was pushed and whoever leads.
func TestBlockedInOrder(t *testing.T) {
	c := startTrio(t)
	const clients = 100
	type delivery struct {
		client  int
		element string
		err     error
	}
	served := make(chan delivery, clients)
	for i := range clients {
		at := c.nodes[i%3]
		conn, err := process.Dial(at.RESP)
		if err != nil {
			t.Fatal(err)
		}
		defer func() { _ = conn.Close() }()
		if err := conn.SetDeadline(time.Now().Add(3 * replyWithin)); err != nil {
			t.Fatal(err)
		}
		go func() {
			v, err := conn.Do("BLPOP", "queue", "0")
			if err == nil && len(v.Array) != 2 {
				err = fmt.Errorf("%s", resp.AppendFormat(nil, v))
			}
			if err != nil {
				served <- delivery{client: i, err: err}
				return
			}
			served <- delivery{client: i, element: string(v.Array[1].Str)}
		}()
		want := fmt.Sprintf("blocked_clients:%d\r\n", i/3+1)
		c.until("the client waits", func() error { return c.info(i%3, "clients", want) })
	}
	var left []int // who waits, in order
	for i := range clients {
		left = append(left, i)
	}
	next := 0
	push := func(node, many int, inOrder bool) {
		t.Helper()
		term := c.term()
		command := "RPUSH queue"
		for n := range many {
			command += fmt.Sprintf(" e%d", next+n)
		}
		dial(t, c.nodes[node].RESP).expect(command, fmt.Sprintf("(integer) %d", many))
		got := map[string]int{} // element: client
		for range many {
			select {
			case s := <-served:
				if s.err != nil || got[s.element] != 0 {
					t.Fatalf("%+v, %v", s, got)
				}
				got[s.element] = s.client + 1
			case <-time.After(replyWithin):
				t.Fatalf("%d of %d were served", len(got), many)
			}
		}
		if now := c.term(); inOrder && now != term {
			t.Logf("a leader was elected meanwhile (term %d, then %d): for a moment there may have been two lines", term, now)
			inOrder = false
		}
		for n := range many {
			client := got[fmt.Sprintf("e%d", next+n)] - 1
			if at := slices.Index(left, client); at < 0 || inOrder && at > 0 {
				t.Fatalf("element %d was delivered to client %d; waiting are %v", next+n, client, left)
			} else {
				left = slices.Delete(left, at, at+1)
			}
		}
		next += many
	}
	for node := range 3 {
		push(node, 1, true)
		push(node, 9, true)
		push(node, 1, true)
	}
	for node := range 3 { // who leads the queue then; for a moment there may be two lines
		c.until("another node leads", func() error {
			_, err := distribution(t, c.nodes[0]).TransferLeader(t.Context(), &proto.TransferLeaderRequest{RouteId: 1, NodeId: uint64(node + 1)})
			return err
		})
		push((node+1)%3, 7, false)
	}
	push(0, len(left), false)
	dial(t, c.nodes[1].RESP).expect("EXISTS queue", "(integer) 0")
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

// info waits for nothing: it fails unless a section of INFO holds a text.
func (c *trio) info(node int, section, text string) error {
	if got := string(dial(c.t, c.nodes[node].RESP).do("INFO " + section).Str); !strings.Contains(got, text) {
		return fmt.Errorf("no %q in %s", text, got)
	}
	return nil
}

// TestBlockedWhileLeadersFail: clients wait while the node that leads their list is killed, again and
// again. What was pushed, and acknowledged, is delivered, once.
func TestBlockedWhileLeadersFail(t *testing.T) {
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
		leader := awaitRanges(t, c.nodes[round], "nobody leads", func(rows []rangeRow) bool { return rows[0].Leader != 0 })[0].Leader - 1
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
