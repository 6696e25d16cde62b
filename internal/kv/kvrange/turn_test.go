package kvrange_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// TestTurns: nodes stand in one line at whoever leads the key, by the time since which they wait; when
// another one leads they find together again there.
func TestTurns(t *testing.T) {
	c := startNodes(t, "\x04b")
	key := []byte("\x04b1")
	c.lead(key, 0)
	granted := func(turn kv.Turn) bool {
		select {
		case <-turn.Granted():
			return true
		default:
			return false
		}
	}
	first := c.list[1].db.Turn(key, 10)
	c.until("the first has its turn", func() error {
		if !granted(first) {
			return errors.New("not yet")
		}
		return nil
	})
	if !c.list[0].db.Waited(key) || c.list[0].db.Waited([]byte("\x04b2")) {
		t.Error("the leader does not know who waits")
	}
	// They come in another order than they have waited in.
	turns := map[int]kv.Turn{2: c.list[2].db.Turn(key, 40), 0: c.list[0].db.Turn(key, 30)}
	other := c.list[1].db.Turn(key, 20)
	var order []string
	next := func() {
		t.Helper()
		c.until("somebody has the turn", func() error {
			for name, turn := range map[string]kv.Turn{"20": other, "30": turns[0], "40": turns[2]} {
				if turn != nil && granted(turn) && !slices.Contains(order, name) {
					order = append(order, name)
					return nil
				}
			}
			return errors.New("nobody")
		})
	}
	c.until("all stand in line", func() error { // whoever does not yet comes to its place later
		if n := c.list[0].client.Standing(key); n != 4 {
			return errors.Newf("%d stand in line", n)
		}
		return nil
	})
	first.Leave()
	next()
	other.Leave()
	next()
	turns[0].Leave()
	next()
	if !slices.Equal(order, []string{"20", "30", "40"}) {
		t.Errorf("turns in the order %v", order)
	}

	// Another node leads: who is behind is told when it would be its turn here.
	behind := c.list[1].db.Turn(key, 50)
	c.until("it stands in line", func() error {
		if n := c.list[0].client.Standing(key); n != 2 {
			return errors.Newf("%d stand in line", n)
		}
		return nil
	})
	c.lead(key, 2)
	turns[2].Leave()
	<-behind.Lost()
	if granted(behind) {
		t.Error("a turn in a line that nobody keeps")
	}
	again := c.list[1].db.Turn(key, 50)
	<-again.Granted()
	if !c.list[2].db.Waited(key) {
		t.Error("the line is not where the key is led")
	}
	again.Leave()
	behind.Leave()
	c.until("nobody stands in line", func() error {
		for _, n := range c.list {
			if n.db.Waited(key) {
				return errors.New("somebody does")
			}
		}
		return nil
	})
}

// TestTurnMoves: a node's place goes from one of its clients to the next: nobody of another node who
// came later comes between, whether the node keeps the line or another one does.
func TestTurnMoves(t *testing.T) {
	c := startNodes(t, "\x04b")
	c.lead([]byte("\x04b"), 0)
	is := func(ch <-chan struct{}) bool {
		select {
		case <-ch:
			return true
		default:
			return false
		}
	}
	for mine, other := range map[int]int{0: 1, 1: 0, 2: 1} {
		key := fmt.Appendf(nil, "\x04b%d", mine)
		place := c.list[mine].db.Turn(key, 10)
		<-place.Granted()
		later := c.list[other].db.Turn(key, 30)
		<-later.Known()
		for range 100 { // of one client after another, and of the same
			place.Move(20)
			<-place.Granted()
		}
		if is(later.Granted()) {
			t.Errorf("node %d: somebody who came later has the turn", mine)
		}
		place.Move(40) // there is one between
		<-later.Granted()
		if is(place.Granted()) {
			t.Errorf("node %d: the place has a turn that is another one's", mine)
		}
		early := c.list[mine].db.Turn(key, 5)
		<-early.Granted()
		c.until("the turn of who came later is taken back", func() error {
			if is(later.Granted()) {
				return errors.New("it has it")
			}
			return nil
		})
		early.Leave()
		<-later.Granted()
		later.Leave()
		<-place.Granted()

		c.lead(key, map[int]int{0: 1, 1: 2, 2: 1}[mine])
		place.Move(40) // asks
		<-place.Lost()
		again := c.list[mine].db.Turn(key, 40)
		<-again.Granted()
		again.Leave()
		place.Leave()
		c.lead(key, 0)
	}
	c.until("nobody stands in line", func() error {
		for _, n := range c.list {
			for mine := range 3 {
				if n.db.Waited(fmt.Appendf(nil, "\x04b%d", mine)) {
					return errors.New("somebody does")
				}
			}
		}
		return nil
	})
}

// TestManyInterests: a node's clients may wait in, and watch, more keys that another one leads than
// the transport has streams.
func TestManyInterests(t *testing.T) {
	const many = 3 * limits.TransportStreams
	c := startNodes(t, "\x04b")
	c.lead([]byte("\x04b"), 0)
	var turns []kv.Turn
	var watches []kv.Watch
	for i := range many {
		key := fmt.Appendf(nil, "\x04b%d", i)
		turns = append(turns, c.list[1].db.Turn(key, base.Stamp(i+1)))
		watches = append(watches, c.list[1].db.Watch(key))
	}
	for i := range many {
		<-turns[i].Granted()
		if dirty, _ := watches[i].Dirty(); dirty {
			t.Fatalf("watch %d is dirty", i)
		}
	}
	_, err := c.list[2].db.Transact(t.Context(), func(t kv.Txn) error {
		for i := range many {
			t.Set(fmt.Appendf(nil, "\x04b%d", i), []byte("v"))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for i := range many {
		<-watches[i].Changed()
		watches[i].Close()
		turns[i].Leave()
	}
	c.until("nobody stands in line", func() error {
		for i := range many {
			if c.list[0].db.Waited(fmt.Appendf(nil, "\x04b%d", i)) {
				return errors.New("somebody does")
			}
		}
		return nil
	})
}
