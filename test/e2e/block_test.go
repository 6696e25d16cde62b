package e2e

import (
	"fmt"
	"slices"
	"strings"
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

// info waits for nothing: it fails unless a section of INFO holds a text.
func (c *trio) info(node int, section, text string) error {
	if got := string(dial(c.t, c.nodes[node].RESP).do("INFO " + section).Str); !strings.Contains(got, text) {
		return fmt.Errorf("no %q in %s", text, got)
	}
	return nil
}
