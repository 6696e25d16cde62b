package redis

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// pastEngine answers stale reads from the state of a stamp that the test has chosen.
type pastEngine struct {
	kv.Engine
	at      atomic.Uint64
	allowed atomic.Int64 // what the last stale read may have been, in milliseconds
	reads   atomic.Int64
	prompt  atomic.Bool // answers those who cannot wait, too
}

func newPast() *pastEngine { return &pastEngine{Engine: kvmem.New(stampNow)} }

func (e *pastEngine) ReadStale(_ context.Context, o kv.StaleOptions, read func(kv.View) error) (base.Stamp, error) {
	if o.Prompt && !e.prompt.Load() {
		return 0, base.ErrWouldWait
	}
	e.allowed.Store(o.Staleness.Milliseconds())
	e.reads.Add(1)
	at := base.Stamp(e.at.Load())
	a := e.NewAttempt()
	a.Begin(kv.AttemptOptions{At: at})
	defer a.Abort()
	return at, read(pastView{a, at})
}

func (e *pastEngine) StaleReads() (near, far int64) { return e.reads.Load(), 7 }
func (e *pastEngine) Distant() bool                 { return true }

func (e *pastEngine) Whereabouts([]byte) (base.RangeID, bool) { return 1, true }

// stop makes now what is read from then on.
func (e *pastEngine) stop(t *testing.T) {
	t.Helper()
	e.at.Store(uint64(must[base.Stamp](t)(e.ReadVersion(context.Background()))))
}

type pastView struct {
	kv.Attempt
	at base.Stamp
}

func (v pastView) Stamp() base.Stamp { return v.at }

// talk sends commands and compares their replies.
func (c *rawConn) talk(send, want string) {
	c.t.Helper()
	c.send(lines(send))
	c.expect(crlf(want))
}

// rest reads to the end of the connection.
func (c *rawConn) rest() string {
	c.t.Helper()
	return string(must[[]byte](c.t)(io.ReadAll(c)))
}

// staleTalks are a first client's writes, what it writes after the past has ended, and
// what a client sees that may read there.
var staleTalks = []struct{ name, before, after, send, want string }{
	{"string", "SET k 1", "SET k 2", "GET k|STRLEN k|TYPE k|GET n", "$1|1|:1|+string|$-1|"},
	{"several keys", "MSET a 1 b 1", "MSET a 2 b 2", "MGET a b|EXISTS a b", "*2|$1|1|$1|1|:2|"},
	{"absent then", "", "SET k 2", "GET k|EXISTS k|DBSIZE", "$-1|:0|:0|"},
	{"deleted since", "HSET h f 1", "DEL h", "HGET h f|HGETALL h|HLEN h", "$1|1|*2|$1|f|$1|1|:1|"},
	{"many fields", "HSET h 1 1 2 1 3 1 4 1 5 1", "HSET h 3 2|HDEL h 1", "HMGET h 1 3 5", "*3|$1|1|$1|1|$1|1|"},
	{"own mistakes", "SET k 1", "DEL k", "HGET k f|GET", "-WRONGTYPE Operation against a key holding the wrong kind of value|-ERR wrong number of arguments for 'get' command|"},
	{"writes", "SET k 1", "SET k 2", "GETEX k PERSIST|INCR k|GET k", "$1|2|:3|$1|1|"},
	{"transaction", "SET k 1", "SET k 2", "MULTI|GET k|EXEC|GET k", "+OK|+QUEUED|*1|$1|2|$1|1|"},
	{"interactive", "SET k 1", "SET k 2", "BEGIN|GET k|COMMIT|GET k", "+OK|$1|2|+OK|$1|1|"},
	{"watch", "SET k 1", "SET k 2", "WATCH n|GET k|UNWATCH|GET k", "+OK|$1|2|+OK|$1|1|"},
	{"cursors", "SET k 1", "SET l 2", "KEYS *|GET l", "*2|$1|k|$1|l|$-1|"},
	{"swap", "SET k 0|SELECT 1|SET k 1", "SWAPDB 0 1", "GET k|SELECT 1|GET k|SELECT 0|GET k", "$1|0|+OK|$1|1|+OK|$1|0|"},
	{"namespace", "NAMESPACE CREATE a.b|NAMESPACE USE a.b|SET k 1", "NAMESPACE USE a.b|SET k 2|NAMESPACE CREATE c|NAMESPACE USE c|SET k 3",
		"NAMESPACE USE a.b|GET k|NAMESPACE USE c|GET k|NAMESPACE USE global|GET k", "+OK|$1|1|+OK|$1|3|+OK|$-1|"},
	{"moved namespace", "NAMESPACE CREATE a|NAMESPACE CREATE b|NAMESPACE USE a|SET k 1", "NAMESPACE REMOVE b|NAMESPACE PURGE b|NAMESPACE MOVE a b",
		"NAMESPACE USE b|GET k", "+OK|$-1|"},
	{"ordered map", "ZSET k 1", "ZSET k 2", "ZGET k", "$1|2|"},
}

// TestStale: what may be answered from the past is, all of it from one state; the rest is not.
func TestStale(t *testing.T) {
	for _, tc := range staleTalks {
		for _, prompt := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/%v", tc.name, prompt), func(t *testing.T) {
				e := newPast()
				e.prompt.Store(prompt)
				s := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true, Topology: threeMembers(0), ReadonlyStaleness: 700 * time.Millisecond})
				write := func(commands string) {
					if commands != "" {
						c := s.dial(t)
						c.send(lines(commands) + "QUIT\r\n")
						if got := c.rest(); strings.Contains("\n"+got, "\n-") {
							t.Fatalf("%s: %q", commands, got)
						}
					}
				}
				write(tc.before)
				e.stop(t)
				write(tc.after)
				c := s.dial(t)
				c.talk("SESSION.ATTRIBUTE SET stale_reads_ms 3000", "+OK|")
				c.talk(tc.send, tc.want)
				if e.reads.Load() == 0 && tc.name != "ordered map" || e.allowed.Load() != 3000 && e.reads.Load() > 0 {
					t.Errorf("%d stale reads, which may have been %d ms old", e.reads.Load(), e.allowed.Load())
				}
			})
		}
	}
}

// TestStaleAsk: who has not asked for it, or has taken it back, gets the newest.
func TestStaleAsk(t *testing.T) {
	e := newPast()
	s := start(t, Options{DB: kv.New(e, time.Now), Topology: threeMembers(2), ReadonlyStaleness: 700 * time.Millisecond})
	c := s.dial(t)
	e.stop(t)
	c.talk("SET c 1|GET c", "+OK|$1|1|")
	c.talk("READONLY|GET c|GET a", "+OK|$-1|-MOVED 15495 :7001|") // a has no standby here
	if e.allowed.Load() != 700 {
		t.Errorf("a READONLY client may be told what is %d ms old", e.allowed.Load())
	}
	c.talk("CONFIG SET readonly-staleness-ms 50|GET c", "+OK|$-1|")
	if e.allowed.Load() != 50 {
		t.Errorf("a READONLY client may be told what is %d ms old", e.allowed.Load())
	}
	c.talk("CONFIG SET readonly-staleness-ms 0|GET c|CONFIG SET readonly-staleness-ms 100|GET c", "+OK|$1|1|+OK|$-1|")
	c.talk("SESSION.ATTRIBUTE SET stale_reads_ms 20|GET c", "+OK|$-1|")
	if e.allowed.Load() != 20 {
		t.Errorf("a session may be told what is %d ms old", e.allowed.Load())
	}
	c.talk("READWRITE|GET a", "+OK|-MOVED 15495 :7001|")

	c = s.dial(t)
	c.talk("GET c|SESSION.ATTRIBUTE SET stale_reads_ms 20|GET c|SESSION.ATTRIBUTE SET stale_reads_ms 0|GET c", "$1|1|+OK|$-1|+OK|$1|1|")
	c.talk("SESSION.ATTRIBUTE SET stale_reads_ms 20|READWRITE|GET c", "+OK|+OK|$1|1|")
	c.talk("SESSION.ATTRIBUTE SET stale_reads_ms 20|SESSION.CLOSE|GET c", "+OK|+OK|$1|1|")
	c.talk("SESSION.ATTRIBUTE SET stale_reads_ms 20|RESET|GET c", "+OK|+RESET|$1|1|")
	const refused = "-ERR 'stale_reads_ms' must be between 0 and 86400000|"
	c.talk("SESSION.ATTRIBUTE SET stale_reads_ms x|SESSION.ATTRIBUTE SET stale_reads_ms -1|SESSION.ATTRIBUTE SET stale_reads_ms 86400001",
		"-ERR value is not an integer or out of range|"+refused+refused)
	c.send("INFO stats\r\nQUIT\r\n")
	if got := c.rest(); !strings.Contains(got, fmt.Sprintf("stale_reads_here:%d\r\nstale_reads_at_leaders:7\r\n", e.reads.Load())) {
		t.Error(got)
	}
}

// TestStaleExpiry: by the clock of the state that is read, and nothing is deleted.
func TestStaleExpiry(t *testing.T) {
	e := newPast()
	s := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true})
	c := s.dial(t)
	c.talk("SET k 1 PX 1|SET l 1 EX 100000", "+OK|+OK|")
	eventually(t, func() bool {
		e.stop(t)
		d := s.dial(t)
		d.send(lines("SESSION.ATTRIBUTE SET stale_reads_ms 9|TTL l|GET k|QUIT"))
		got := d.rest()
		lives := strings.HasPrefix(got, crlf("+OK|:9999")) || strings.HasPrefix(got, crlf("+OK|:100000|"))
		return lives && strings.HasSuffix(got, crlf("|$-1|+OK|"))
	})
	c.talk("DBSIZE|SESSION.ATTRIBUTE SET stale_reads_ms 9|DBSIZE", ":2|+OK|:2|")
}

// TestStaleSwap: a session finds its database where it was in the state that it reads.
func TestStaleSwap(t *testing.T) {
	e := newPast()
	s := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true})
	a, b := s.dial(t), s.dial(t)
	a.talk("SET k 0|SELECT 1|SET k 1|SELECT 0|SESSION.ATTRIBUTE SET stale_reads_ms 9", "+OK|+OK|+OK|+OK|+OK|")
	e.stop(t)
	before := e.at.Load()
	a.talk("GET k", "$1|0|")
	b.talk("SWAPDB 0 1", "+OK|")
	a.talk("GET k", "$1|0|")
	e.stop(t)
	a.talk("GET k|SELECT 1|GET k|SELECT 0", "$1|1|+OK|$1|0|+OK|")
	a.talk("SESSION.ATTRIBUTE SET stale_reads_ms 0|GET k|SESSION.ATTRIBUTE SET stale_reads_ms 9", "+OK|$1|1|+OK|")
	e.at.Store(before)
	a.talk("GET k|SELECT 1|GET k", "$1|0|+OK|$1|1|")
}
