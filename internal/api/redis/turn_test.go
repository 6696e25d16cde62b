package redis

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/turn"
)

// keeper keeps the lines of several nodes at one key-value store.
type keeper struct {
	*pastEngine
	mu    sync.Mutex
	lines *turn.Lines
	lost  chan struct{} // what was kept
}

// enough is how many entries a node may make while the test holds it back.
const enough = 1 << 10

// keptEngine is a node's way to the keeper.
type keptEngine struct {
	*keeper
	asked   chan string   // the line of each entry
	entries chan struct{} // tokens: each entry takes one
}

func (k *keeper) node(entries int) *keptEngine {
	e := &keptEngine{keeper: k, asked: make(chan string, enough), entries: make(chan struct{}, enough)}
	e.let(entries)
	return e
}

// let lets so many more entries through.
func (e *keptEngine) let(entries int) {
	for range entries {
		e.entries <- struct{}{}
	}
}

// Turn implements kv.TurnEngine.
func (e *keptEngine) Turn(key []byte, since base.Stamp) kv.Turn {
	t := &keptTurn{known: make(chan struct{}), left: make(chan struct{}), since: since, granted: make(chan struct{})}
	e.mu.Lock()
	t.lost = e.lost
	lines := e.lines
	e.mu.Unlock()
	go t.enter(e, lines, string(key))
	e.asked <- string(key)
	return t
}

func (e *keptEngine) Waited([]byte) bool { return false }

// move lets another node keep the lines.
func (k *keeper) move() {
	k.mu.Lock()
	defer k.mu.Unlock()
	close(k.lost)
	k.lines, k.lost = &turn.Lines{}, make(chan struct{})
}

type keptTurn struct {
	known, lost, left chan struct{}
	mu                sync.Mutex
	place             *turn.Place
	since             base.Stamp
	granted           chan struct{}
}

func (t *keptTurn) enter(e *keptEngine, lines *turn.Lines, key string) {
	select {
	case <-t.left:
		return
	case <-e.entries:
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	select {
	case <-t.left:
		return
	default:
	}
	t.place = lines.Enter([]byte(key), t.since)
	t.followLocked()
	close(t.known)
}

// followLocked passes the place's turn on.
func (t *keptTurn) followLocked() {
	granted, called, overtaken := t.granted, t.place.Turn(), t.place.Overtaken()
	go func() {
		select {
		case <-t.left:
			return
		case <-called:
			close(granted)
		}
		select {
		case <-t.left:
		case <-overtaken:
			t.mu.Lock()
			defer t.mu.Unlock()
			if t.granted == granted {
				t.moveLocked(t.since)
			}
		}
	}()
}

func (t *keptTurn) Known() <-chan struct{} { return t.known }
func (t *keptTurn) Lost() <-chan struct{}  { return t.lost }

func (t *keptTurn) Granted() <-chan struct{} {
	t.mu.Lock()
	defer t.mu.Unlock()
	return t.granted
}

func (t *keptTurn) Move(since base.Stamp) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.moveLocked(since)
}

func (t *keptTurn) moveLocked(since base.Stamp) {
	t.since, t.granted = since, make(chan struct{})
	if t.place != nil {
		t.place.Move(since)
		t.followLocked()
	}
}

func (t *keptTurn) Leave() {
	t.mu.Lock()
	defer t.mu.Unlock()
	close(t.left)
	if t.place != nil {
		t.place.Leave()
	}
}

// TestTurnHandedOn: however a client's wait ends, the next one of its node has the place that it
// had among the nodes; nobody who came later, elsewhere, comes between.
func TestTurnHandedOn(t *testing.T) {
	const served = "*2|$1|l|$1|0|"
	for _, tc := range []struct{ name, command, does, want string }{
		{"served", "BLPOP l 0", "RPUSH l 0", served},
		{"time is over", "BLPOP l 2", "", "*-1|"},
		{"unblocked", "BLPOP l 0", "CLIENT UNBLOCK 2", "*-1|"},
		{"killed", "BLPOP l 0", "CLIENT KILL ID 2", ""},
		{"two keys", "BLPOP m l 0", "RPUSH m x", "*2|$1|m|$1|x|"},
		{"another type", "BLPOP l 0", "SET l x|DEL l|HSET l f v|DEL l|RPUSH l 0", served},
	} {
		t.Run(tc.name, func(t *testing.T) {
			k := &keeper{pastEngine: newPast(), lines: &turn.Lines{}, lost: make(chan struct{})}
			mine := k.node(1 + strings.Count(tc.command, " m l"))
			a, b := start(t, Options{DB: kv.New(mine, time.Now)}), start(t, Options{DB: kv.New(k.node(enough), time.Now)})
			other, first, second, later := a.dial(t), a.dial(t), a.dial(t), b.dial(t)
			other.talk("PING", "+PONG|")
			first.talk("CLIENT ID", ":2|")
			a.blocks(first, tc.command)
			a.blocks(second, "BLPOP l 0")
			b.blocks(later, "BLPOP l 0")
			if tc.does != "" {
				other.send(arrays(tc.does + "|ECHO done"))
				other.through("done\r\n")
			}
			if tc.want == "" {
				first.rest()
				eventually(t, func() bool { return a.waiting.Load() == 1 })
			} else {
				first.expect(crlf(tc.want))
			}
			other.talk("RPUSH l a", ":1|")
			second.expect(crlf("*2|$1|l|$1|a|"))
			other.talk("RPUSH l b", ":1|")
			later.expect(crlf("*2|$1|l|$1|b|"))
		})
	}
}

// TestTurnOfNoUse: who is in front stays there when a write was not what is waited for.
func TestTurnOfNoUse(t *testing.T) {
	k := &keeper{pastEngine: newPast(), lines: &turn.Lines{}, lost: make(chan struct{})}
	mine := k.node(1)
	a, b := start(t, Options{DB: kv.New(mine, time.Now)}), start(t, Options{DB: kv.New(k.node(enough), time.Now)})
	other, first, later := b.dial(t), a.dial(t), b.dial(t)
	a.blocks(first, "BLPOP l 0")
	b.blocks(later, "BLPOP l 0")
	for i := range 5 {
		other.talk("SET l x|DEL l", "+OK|:1|")
		other.talk(fmt.Sprintf("RPUSH l %d", i), ":1|")
		first.expect(crlf(fmt.Sprintf("*2|$1|l|$1|%d|", i)))
		mine.let(1)
		a.blocks(first, "BLPOP l 0")
		first, later, a, b = later, first, b, a
	}
}

// TestTurnKnown: a client is seen as one that waits once who keeps the line knows of it; and
// others of its node, which are behind it, not before. It can be unblocked.
func TestTurnKnown(t *testing.T) {
	k := &keeper{pastEngine: newPast(), lines: &turn.Lines{}, lost: make(chan struct{})}
	mine := k.node(0)
	s := start(t, Options{DB: kv.New(mine, time.Now)})
	other, first, second := s.dial(t), s.dial(t), s.dial(t)
	other.talk("PING", "+PONG|")
	first.talk("CLIENT ID", ":2|")
	first.send(arrays("BLPOP l 0"))
	line := <-mine.asked
	second.send(arrays("BLPOP l 0"))
	eventually(t, func() bool { // both stand in the node's line
		return s.lines.Standing([]byte(line)) == 2
	})
	if n := s.waiting.Load(); n != 0 {
		t.Errorf("%d clients wait where nobody knows of them", n)
	}
	other.talk("CLIENT UNBLOCK 2", ":1|")
	first.expect("*-1\r\n")
	if n := s.waiting.Load(); n != 0 {
		t.Errorf("%d clients wait where nobody knows of them", n)
	}
	mine.let(1)
	eventually(t, func() bool { return s.waiting.Load() == 1 })
	other.talk("RPUSH l a", ":1|")
	second.expect(crlf("*2|$1|l|$1|a|"))
}

// TestTurnKeptElsewhere: when another node keeps the line, those who waited find together again
// there, each node with one place, in the order in which they came.
func TestTurnKeptElsewhere(t *testing.T) {
	k := &keeper{pastEngine: newPast(), lines: &turn.Lines{}, lost: make(chan struct{})}
	var nodes []*testServer
	var engines []*keptEngine
	for range 3 {
		e := k.node(1)
		engines, nodes = append(engines, e), append(nodes, start(t, Options{DB: kv.New(e, time.Now)}))
	}
	var waiting []*rawConn
	for i := range 9 {
		s := nodes[i%3]
		c := s.dial(t)
		s.blocks(c, "BLPOP l 0")
		waiting = append(waiting, c)
	}
	line, other := <-engines[0].asked, nodes[0].dial(t)
	for i, c := range waiting {
		if i%3 == 0 {
			k.move()
			for n, e := range engines {
				e.let(1)
				eventually(t, func() bool {
					k.mu.Lock()
					defer k.mu.Unlock()
					return k.lines.Standing([]byte(line)) == n+1
				})
			}
		}
		other.talk(fmt.Sprintf("RPUSH l %d", i), ":1|")
		c.expect(crlf(fmt.Sprintf("*2|$1|l|$1|%d|", i)))
	}
}
