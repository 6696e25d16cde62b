package redis

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
	"github.com/stratadb/strata/internal/limits"
)

// blocks sends a command and waits until the server says that one more client waits.
func (s *testServer) blocks(c *rawConn, command string) {
	c.t.Helper()
	before := s.waiting.Load()
	c.send(arrays(command))
	eventually(c.t, func() bool { return s.waiting.Load() == before+1 })
}

// TestBlocked: what another client does ends a wait, or does not.
func TestBlocked(t *testing.T) {
	const wrong = "-WRONGTYPE Operation against a key holding the wrong kind of value|"
	for _, tc := range []struct{ name, first, command, does, want string }{
		{"push", "", "BLPOP l 0", "RPUSH l a b", "*2|$1|l|$1|a|"},
		{"push from the left", "", "BLPOP l 0", "LPUSH l a b", "*2|$1|l|$1|b|"},
		{"from the right", "", "BRPOP l 0", "RPUSH l a b", "*2|$1|l|$1|b|"},
		{"another key", "", "BLPOP l m n 0", "RPUSH m a", "*2|$1|m|$1|a|"},
		{"the first of two keys", "", "BLPOP l m n 0", "MULTI|RPUSH n a|RPUSH m b|EXEC", "*2|$1|m|$1|b|"},
		{"the same key twice", "", "BLPOP l l 0", "RPUSH l a", "*2|$1|l|$1|a|"},
		{"pushed and gone", "", "BLPOP l 0", "MULTI|RPUSH l a|LPOP l|EXEC|RPUSH l b", "*2|$1|l|$1|b|"},
		{"another type", "", "BLPOP l 0", "SET l x|DEL l|HSET l f v|DEL l|RPUSH l a", "*2|$1|l|$1|a|"},
		{"another type comes and another key", "", "BLPOP l m 0", "SET l x|RPUSH m a", "*2|$1|m|$1|a|"},
		{"rename", "RPUSH m a", "BLPOP l 0", "RENAME m l", "*2|$1|l|$1|a|"},
		{"copy", "RPUSH m a", "BLPOP l 0", "COPY m l", "*2|$1|l|$1|a|"},
		{"move", "", "BLMOVE l m LEFT RIGHT 0", "RPUSH l a b", "$1|a|"},
		{"a move to a move", "", "BLPOP m 0", "RPUSH l a|LMOVE l m LEFT LEFT", "*2|$1|m|$1|a|"},
		{"a move to the wrong type", "SET m x", "BLMOVE l m LEFT RIGHT 0", "RPUSH l a", wrong},
		{"rpoplpush", "", "BRPOPLPUSH l m 0", "RPUSH l a b", "$1|b|"},
		{"some of many", "", "BLMPOP 0 2 l m LEFT COUNT 2", "RPUSH m a b c", "*2|$1|m|*2|$1|a|$1|b|"},
		{"an entry", "", "XREAD BLOCK 0 STREAMS s 0", "XADD s 1-1 f v", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|"},
		{"what comes", "XADD s 1-1 f v", "XREAD BLOCK 0 STREAMS s $", "XADD s 1-2 f w", "*1|*2|$1|s|*1|*2|$3|1-2|*2|$1|f|$1|w|"},
		{"of two streams", "XADD s 1-1 f v", "XREAD BLOCK 0 STREAMS s t $ 5", "XADD t 5-0 f v|XADD t 5-1 f v", "*1|*2|$1|t|*1|*2|$3|5-1|*2|$1|f|$1|v|"},
		{"behind the last entry", "", "XREAD BLOCK 0 STREAMS s +", "XADD s 1-1 f v", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|"},
		{"a list in place of a stream", "", "XREAD BLOCK 0 STREAMS s 0", "RPUSH s a|DEL s|XADD s 1-1 f v", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|"},
		{"in a group", "XGROUP CREATE s g 0 MKSTREAM", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XADD s 1-1 f v", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|"},
		{"a group that goes", "XGROUP CREATE s g 0 MKSTREAM", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XGROUP DESTROY s g",
			"-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option|"},
		{"a stream that goes", "XGROUP CREATE s g 0 MKSTREAM", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "DEL s", "-NOGROUP No such key 's' or consumer group 'g' in XREADGROUP with GROUP option|"},
		{"a group of another type", "XGROUP CREATE s g 0 MKSTREAM", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "SET s x", wrong},
		{"a group that is moved", "XADD s 1-1 f v|XGROUP CREATE s g $", "XREADGROUP GROUP g c BLOCK 0 STREAMS s >", "XGROUP SETID s g 0", "*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|"},
		{"swap", "SELECT 1|RPUSH l a|SELECT 0", "BLPOP l 0", "SWAPDB 0 1", "*2|$1|l|$1|a|"},
		{"swap and push", "", "BLPOP l 0", "SWAPDB 0 1|RPUSH l a", "*2|$1|l|$1|a|"},
		{"unblock", "", "BLPOP l 0", "UNBLOCK", "*-1|"},
		{"unblock, timeout", "", "BLMOVE l m LEFT LEFT 0", "UNBLOCK TIMEOUT", "*-1|"},
		{"unblock, error", "", "BLPOP l 0", "UNBLOCK ERROR", "-UNBLOCKED client unblocked via CLIENT UNBLOCK|"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s := start(t, Options{})
			other, c := s.dial(t), s.dial(t)
			if tc.first != "" {
				other.send(arrays(tc.first + "|ECHO done"))
				other.through("done\r\n")
			}
			c.talk("CLIENT ID", ":2|")
			s.blocks(c, tc.command)
			does := strings.Replace(tc.does, "UNBLOCK", "CLIENT UNBLOCK 2", 1)
			other.send(arrays(does + "|ECHO done"))
			other.through("done\r\n")
			c.expect(crlf(tc.want))
			c.talk("PING", "+PONG|")
			if n := s.waiting.Load(); n != 0 {
				t.Errorf("%d clients are blocked", n)
			}
		})
	}
}

// TestBlockedInOrder: clients are served in the order in which they began to wait, whoever else
// comes.
func TestBlockedInOrder(t *testing.T) {
	s := start(t, Options{})
	const clients = 40
	var waiting []*rawConn
	for i := range clients {
		c := s.dial(t)
		waiting = append(waiting, c)
		s.blocks(c, []string{"BLPOP l 0", "BLPOP m l 0", "BLPOP l l 0"}[i%3])
	}
	pusher := s.dial(t)
	next := 0
	for _, many := range []int{1, 1, 1, 10, 1, 20, 6} {
		command := "RPUSH l"
		for n := range many {
			command += fmt.Sprintf(" %03d", next+n)
		}
		pusher.send(arrays(command))
		pusher.expect(fmt.Sprintf(":%d\r\n", many))
		for range many {
			waiting[next].expect(crlf(fmt.Sprintf("*2|$1|l|$3|%03d|", next)))
			next++
		}
	}
}

// TestBlockedGone: a client that has gone takes nothing, and leaves no trace.
func TestBlockedGone(t *testing.T) {
	s := start(t, Options{})
	gone, killed, stays, other := s.dial(t), s.dial(t), s.dial(t), s.dial(t)
	killed.talk("CLIENT ID", ":2|")
	s.blocks(gone, "BLPOP l 0")
	s.blocks(killed, "BLPOP l 0")
	s.blocks(stays, "BLPOP l 0")
	other.send("INFO clients\r\nCLIENT LIST ID 3\r\nECHO done\r\n")
	if got := other.through("done\r\n"); !strings.Contains(got, "blocked_clients:3\r\n") || !strings.Contains(got, "total_blocking_keys:1\r\n") || !strings.Contains(got, " flags=b ") {
		t.Error(got)
	}
	_ = gone.Close()
	other.talk("CLIENT KILL ID 2", ":1|")
	eventually(t, func() bool { return s.waiting.Load() == 1 })
	other.talk("RPUSH l a", ":1|")
	stays.expect(crlf("*2|$1|l|$1|a|"))
	other.talk("EXISTS l", ":0|")
}

// TestBlockedPipeline: what follows waits, what came before is answered.
func TestBlockedPipeline(t *testing.T) {
	s := start(t, Options{})
	c, other := s.dial(t), s.dial(t)
	s.blocks(c, "SET k 1|BLPOP l 0|INCR k|BLPOP m 0.01|INCR k")
	c.expect("+OK\r\n")
	other.talk("GET k|RPUSH l a", "$1|1|:1|")
	c.expect(crlf("*2|$1|l|$1|a|:2|*-1|:3|"))
	c.talk("BEGIN|BLPOP l 0|COMMIT", "+OK|*-1|+OK|")
}

// TestBlockedShutdown: a server that stops does not wait for those who wait.
func TestBlockedShutdown(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	s.blocks(c, "BLPOP l 0")
	begun := time.Now()
	if err := s.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := c.rest(); got != "-ERR server is shutting down\r\n" || time.Since(begun) > time.Minute {
		t.Errorf("%q after %v", got, time.Since(begun))
	}
}

// TestBlockedAnywhere: it does not matter through which server of a database something is
// pushed.
func TestBlockedAnywhere(t *testing.T) {
	db := kv.New(kvmem.New(stampNow), time.Now)
	a, b := start(t, Options{DB: db}), start(t, Options{DB: db})
	c, other := a.dial(t), b.dial(t)
	a.blocks(c, "BLPOP l 0")
	other.talk("RPUSH l a", ":1|")
	c.expect(crlf("*2|$1|l|$1|a|"))
	a.blocks(c, "XREAD BLOCK 0 STREAMS s $")
	other.talk("XADD s 1-1 f v", "$3|1-1|")
	c.expect(crlf("*1|*2|$1|s|*1|*2|$3|1-1|*2|$1|f|$1|v|"))
}

// TestBlockedOnWhatIsLost: what a client saw while it waited was never committed. It learns
// nothing of that.
func TestBlockedOnWhatIsLost(t *testing.T) {
	s, e := startLate(t)
	other, c := s.dial(t), s.dial(t)
	other.send(arrays("RPUSH l a|LPOP l"))
	pos := <-e.log.arrived
	s.blocks(c, "BLPOP l 0.01")
	for pos != <-e.log.arrived { // it waits for the write that it has seen
	}
	e.log.settle(pos, base.ErrUnknownOutcome)
	other.expectEnd("-" + unknownOutcome + "\r\n")
	c.expect("*-1\r\n")
	c.talk("PING", "+PONG|")
}

// TestBlockedKeys: a client waits at so many keys, and at no more.
func TestBlockedKeys(t *testing.T) {
	s := start(t, Options{DB: rangeDB(t, time.Now), Now: stopped()}) // nobody looks after connections that are quiet
	c, other := s.dial(t), s.dial(t)
	keys := strings.Repeat(" k", limits.BlockedKeys-1)
	c.send(arrays("BLPOP" + keys + " l m 0"))
	c.expect("-ERR too many keys to wait for\r\n")
	s.blocks(c, "BLPOP"+keys+" l 0")
	other.talk("RPUSH l a|RPUSH m b", ":1|:1|")
	c.expect(crlf("*2|$1|l|$1|a|"))
	c.send(arrays("BLPOP" + keys + " l m 0"))
	c.expect(crlf("*2|$1|m|$1|b|"))
}
