package redis

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/kv/kvmem"
)

// farEngine pretends that another node leads what the test says, and counts what that costs.
type farEngine struct {
	pastEngine
	commits, expected atomic.Int64
	fail              atomic.Pointer[error] // of the next commit
	lost              atomic.Bool           // which has happened all the same
	here              bool                  // it is this node that leads everything
	busy              atomic.Bool           // who is in a hurry is sent away
	// Keys with an n lie in a range that this node leads, those with an m in one that
	// a second node does, others in one that a third does.
}

func newFar() *farEngine { return &farEngine{pastEngine: pastEngine{Engine: kvmem.New(stampNow)}} }

func (e *farEngine) Local() bool { return e.here }
func (e *farEngine) Whereabouts(key []byte) (base.RangeID, bool) {
	switch {
	case e.here:
		return 1, false
	case bytes.ContainsRune(key, 'n'):
		return 1, false
	case bytes.ContainsRune(key, 'm'):
		return 2, true
	}
	return 3, true
}
func (e *farEngine) NewAttempt() kv.Attempt { return &farAttempt{Attempt: e.Engine.NewAttempt(), e: e} }

type farAttempt struct {
	kv.Attempt
	e      *farEngine
	prompt bool
}

func (a *farAttempt) Begin(o kv.AttemptOptions) {
	a.prompt = o.Prompt
	a.Attempt.Begin(o)
}

func (a *farAttempt) Get(key []byte) ([]byte, error) {
	if _, distant := a.e.Whereabouts(key); (distant || a.e.busy.Load()) && a.prompt {
		return nil, base.ErrWouldWait
	}
	return a.Attempt.Get(key)
}

func (a *farAttempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	if a.prompt && !a.e.here {
		return base.ErrWouldWait
	}
	return a.Attempt.Scan(span, reverse, visit)
}

func (a *farAttempt) Expect(keys [][]byte) { a.e.expected.Add(int64(len(keys))) }

func (a *farAttempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	a.e.commits.Add(1)
	if err := a.e.fail.Swap(nil); err != nil {
		if !a.e.lost.Load() {
			a.Abort()
		} else if _, err := a.Attempt.Commit(req); err != nil {
			return kv.Receipt{}, err
		}
		return kv.Receipt{}, *err
	}
	return a.Attempt.Commit(req)
}

func (e *farEngine) failNext(err error, lost bool) {
	e.lost.Store(lost)
	e.fail.Store(&err)
}

// TestTogether: how many commits a pipeline makes, and what it answers.
func TestTogether(t *testing.T) {
	for _, tc := range []struct {
		send, want string
		commits    int64
	}{
		{"SET a 1|SET b 2|GET a|MGET a b|INCR a", "+OK|+OK|$1|1|*2|$1|1|$1|2|:2|", 1},
		{"GET a|GET b|GET c", "$-1|$-1|$-1|", 1},
		{"GET a", "$-1|", 1},
		{"SET a x|INCR a|HGET a f|SET b 1|GET", "+OK|-ERR value is not an integer or out of range|" +
			"-WRONGTYPE Operation against a key holding the wrong kind of value|+OK|-ERR wrong number of arguments for 'get' command|", 1},
		{"SET a 1|INCR a|PING|INCR a|INCR a|NOPE", "+OK|:2|+PONG|:3|:4|-ERR unknown command 'NOPE', with args beginning with: |", 2},
		{"SET a 1|SELECT 1|SET a 2|INCR a|SELECT 0|GET a|GET b", "+OK|+OK|+OK|:3|+OK|$1|1|$-1|", 3},
		{"MULTI|SET a 1|SET b 2|EXEC|GET a|GET b", "+OK|+QUEUED|+QUEUED|*2|+OK|+OK|$1|1|$1|2|", 2},
		{"CLIENT REPLY OFF|SET a 1|SET b 1|CLIENT REPLY ON|GET a|GET b", "+OK|$1|1|$1|1|", 3},
		{"BEGIN|SET a 1|SET b 1|COMMIT|GET a|GET b", "+OK|+OK|+OK|+OK|$1|1|$1|1|", 3},
		{"SET n 1|INCR n|SET a 1|INCR n|INCR a|SET n 7|PING|INCR n", "+OK|:2|+OK|:3|:2|+OK|+PONG|:8|", 4},
		{"DBSIZE|SET a 1|SET b 1|DBSIZE|FLUSHDB|SET a 1|EXISTS a b", ":0|+OK|+OK|:2|+OK|+OK|:1|", 5},
	} {
		e := newFar()
		c := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).dial(t)
		c.talk("GET warm", "$-1|") // the fence is up
		e.commits.Store(0)
		c.pipe(tc.send, tc.want)
		if n := e.commits.Load(); n != tc.commits {
			t.Errorf("%s: %d commits, want %d", tc.send, n, tc.commits)
		}
	}
}

// pipe sends commands at once, in the form that clients use.
func (c *rawConn) pipe(send, want string) {
	c.t.Helper()
	c.send(arrays(send))
	c.expect(crlf(want))
}

// arrays is a pipeline of commands that bars part, and spaces their words.
func arrays(commands string) string {
	var b strings.Builder
	for _, command := range strings.Split(commands, "|") {
		words := strings.Fields(command)
		fmt.Fprintf(&b, "*%d\r\n", len(words))
		for _, w := range words {
			fmt.Fprintf(&b, "$%d\r\n%s\r\n", len(w), w)
		}
	}
	return b.String()
}

// TestTogetherFails: what has failed has failed for all, or for the one that is to blame.
func TestTogetherFails(t *testing.T) {
	const unknown, down = "-UNKNOWN the outcome of a write is not known: it may or may not have happened|",
		"-CLUSTERDOWN the range that holds the key is not available|"
	for _, tc := range []struct {
		name string
		err  error
		lost bool
		want string
		rest string
	}{
		{"not done", base.ErrUnknownOutcome, false, unknown + unknown + unknown, "*2|$1|1|$1|1|"},
		{"done", base.ErrUnknownOutcome, true, unknown + unknown + unknown, "*2|$1|2|$1|2|"},
		{"nobody leads", base.ErrUnavailable, false, down + down + down, "*2|$1|1|$1|1|"},
		{"conflict", base.ErrConflict, false, ":2|:2|$1|2|", "*2|$1|2|$1|2|"},
		{"too large", base.ErrTransactionTooLarge, false, ":2|:2|$1|2|", "*2|$1|2|$1|2|"},
	} {
		for _, here := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s, here %v", tc.name, here), func(t *testing.T) {
				e := newFar()
				e.here = here
				c := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).dial(t)
				c.pipe("MSET a 1 b 1|PING", "+OK|+PONG|")
				e.failNext(tc.err, tc.lost)
				c.pipe("INCR a|INCR b|GET a", tc.want)
				c.talk("MGET a b", tc.rest)
			})
		}
	}
}

// TestTogetherHere: how many commits a pipeline makes on the node that leads everything, once
// it is known that its client sends several commands at once.
func TestTogetherHere(t *testing.T) {
	for _, tc := range []struct {
		send, want string
		commits    int64
	}{
		{"SET a 1|SET b 2|GET a|MGET a b|INCR a", "+OK|+OK|$1|1|*2|$1|1|$1|2|:2|", 1},
		{"RPUSH l a|RPUSH l b|LPOP l|LLEN l|SADD s a|ZADD z 1 a|HSET h f v|XADD x 1-1 f v", ":1|:2|$1|a|:1|:1|:1|:1|$3|1-1|", 1},
		{"GET a", "$-1|", 1},
		{strings.Repeat("INCR a|", 19) + "INCR a", ":1|:2|:3|:4|:5|:6|:7|:8|:9|:10|:11|:12|:13|:14|:15|:16|:17|:18|:19|:20|", 2},
		{"SET a x|INCR a|HGET a f|SET b 1|GET", "+OK|-ERR value is not an integer or out of range|" +
			"-WRONGTYPE Operation against a key holding the wrong kind of value|+OK|-ERR wrong number of arguments for 'get' command|", 1},
		{"SET a 1|INCR a|PING|INCR a|INCR a|NOPE", "+OK|:2|+PONG|:3|:4|-ERR unknown command 'NOPE', with args beginning with: |", 3},
		{"RPUSH l a|RPUSH l b|LRANGE l 0 -1|RPUSH l c", ":1|:2|*2|$1|a|$1|b|:3|", 3},
		{"SET a 1|SET a 2|SELECT 1|SET a 3|INCR a|SELECT 0|GET a", "+OK|+OK|+OK|+OK|:4|+OK|$1|2|", 4},
		{"MULTI|SET a 1|SET b 2|EXEC|GET a|GET b", "+OK|+QUEUED|+QUEUED|*2|+OK|+OK|$1|1|$1|2|", 3},
		{"CLIENT REPLY OFF|SET a 1|SET b 1|CLIENT REPLY ON|GET a|GET b", "+OK|$1|1|$1|1|", 4},
		{"BEGIN|SET a 1|SET b 1|COMMIT|GET a|GET b", "+OK|+OK|+OK|+OK|$1|1|$1|1|", 4},
	} {
		e := newFar()
		e.here = true
		c := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).dial(t)
		c.pipe("GET warm|PING", "$-1|+PONG|")
		e.commits.Store(0)
		c.pipe(tc.send, tc.want)
		if n := e.commits.Load(); n != tc.commits {
			t.Errorf("%s: %d commits, want %d", tc.send, n, tc.commits)
		}
	}
}

// TestTogetherForesees: the keys of a command that has several are looked for together, on the
// node that leads everything, too: some of them, if they are many.
func TestTogetherForesees(t *testing.T) {
	many := strings.Repeat(" k", 10*foreseeHere)
	for _, tc := range []struct {
		send, want string
		keys       int64
	}{
		{"MSET a 1 b 2 c 3", "+OK|", 3},
		{"MSET a 1 b 2 c 3|MGET a b|SET d 1|DEL a b c d", "+OK|*2|$1|1|$1|2|+OK|:4|", 9},
		{"SET a 1|GET a", "+OK|$1|1|", 0},
		{"EXISTS" + many, ":0|", foreseeHere},
	} {
		e := newFar()
		e.here = true
		c := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).dial(t)
		c.pipe("GET warm|PING", "$-1|+PONG|")
		e.expected.Store(0)
		c.pipe(tc.send, tc.want)
		if n := e.expected.Load(); n != tc.keys {
			t.Errorf("%.80s: %d keys were expected, want %d", tc.send, n, tc.keys)
		}
	}
}

// TestTogetherWaits: commands that a loop cannot execute without waiting are executed
// elsewhere, each once and in their order.
func TestTogetherWaits(t *testing.T) {
	e := newFar()
	e.here = true
	c := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true}).dial(t)
	c.pipe("SET a 0|PING", "+OK|+PONG|")
	for i := range 20 {
		e.busy.Store(i%2 == 0)
		c.pipe("INCR a|INCR a|ECHO here|INCR a", fmt.Sprintf(":%d|:%d|$4|here|:%d|", 3*i+1, 3*i+2, 3*i+3))
	}
}

// TestTogetherIsCounted: INFO tells of every command that ran together with others, and of
// those that failed.
func TestTogetherIsCounted(t *testing.T) {
	c := start(t, Options{DB: kv.New(kvmem.New(stampNow), time.Now), ManualExpiry: true}).dial(t)
	c.pipe("PING|PING", "+PONG|+PONG|")
	c.pipe("SET a x|INCR a|INCR b|INCR b|GET a", "+OK|-ERR value is not an integer or out of range|:1|:2|$1|x|")
	stats := c.says("INFO", "commandstats")
	for _, want := range []string{"cmdstat_set:calls=1,", "cmdstat_incr:calls=3,", "rejected_calls=0,failed_calls=1", "cmdstat_get:calls=1,"} {
		if !strings.Contains(stats, want) {
			t.Errorf("%q is not in %s", want, stats)
		}
	}
}

// TestTogetherSlow: commands that took long together are slow ones, and events of LATENCY, like others.
func TestTogetherSlow(t *testing.T) {
	s := start(t, Options{})
	c := s.dial(t)
	c.talk("CONFIG SET latency-monitor-threshold 5", "+OK|")
	conn, other := net.Pipe()
	defer func() { _, _ = conn.Close(), other.Close() }()
	args := [][]byte{[]byte("SET"), []byte("k"), []byte("v")}
	q := queued{s.table.Resolve(args), args}
	for _, took := range []time.Duration{30 * time.Minute, time.Millisecond} {
		g := together{s: s.newSession(conn), calls: []queued{q, q}}
		g.account(took)
	}
	c.talk("SLOWLOG LEN", ":2|")
	if got := c.says("LATENCY", "LATEST"); !strings.Contains(got, "|command|") || !strings.Contains(got, ":900000|") {
		t.Error(got)
	}
}

// TestTogetherTooLarge: each of the commands fits a transaction, all of them together do not.
func TestTogetherTooLarge(t *testing.T) {
	c := start(t, Options{DB: kv.New(newFar(), time.Now), ManualExpiry: true}).dial(t)
	var send, want strings.Builder
	for i := range 40 {
		fmt.Fprintf(&send, "*4\r\n$8\r\nSETRANGE\r\n$2\r\n%02d\r\n$7\r\n3000000\r\n$1\r\nx\r\n", i)
		want.WriteString(":3000001|")
	}
	c.send(send.String())
	c.expect(crlf(want.String()))
}

// TestTogetherAgrees: a pipeline is answered as if its commands came one by one.
func TestTogetherAgrees(t *testing.T) {
	far := newFar()
	there := start(t, Options{DB: kv.New(far, time.Now), ManualExpiry: true}).dial(t)
	here := start(t, Options{ManualExpiry: true}).dial(t)
	r := rand.New(rand.NewPCG(1, 2))
	forms := []string{"SET %s 1", "SET %s x NX GET", "GET %s", "INCR %s", "APPEND %s 1", "DEL %s", "HSET %s f 1 g 2", "HGETALL %s", "HDEL %s f g",
		"MSET %s 1 k1 2", "MGET %s k2 k3", "EXISTS %s %[1]s", "RENAME %s k4", "STRLEN %s", "TYPE %s", "PING", "SELECT 1", "SELECT 0", "MULTI", "EXEC",
		"DISCARD", "WATCH %s", "NOPE %s", "GET", "GETDEL %s", "DBSIZE", "COPY %s k5", "ECHO %s", "EXPIRE %s 100", "PERSIST %s"}
	for round := range 300 {
		var commands []string
		for range 1 + r.IntN(30) {
			form := forms[r.IntN(len(forms))]
			if strings.Contains(form, "%") {
				form = fmt.Sprintf(form, []string{"k1", "k2", "k3", "k4", "n", "m"}[r.IntN(6)])
			}
			commands = append(commands, form)
		}
		pipeline := arrays(strings.Join(commands, "|") + fmt.Sprintf("|DISCARD|UNWATCH|ECHO end%d", round))
		there.send(pipeline)
		here.send(pipeline)
		end := fmt.Sprintf("end%d\r\n", round)
		if got, want := there.through(end), here.through(end); got != want {
			t.Fatalf("%s\n  got  %q\n  want %q", commands, got, want)
		}
	}
	if far.commits.Load() > 3000 || far.expected.Load() < 1000 {
		t.Errorf("%d commits, %d keys were expected", far.commits.Load(), far.expected.Load())
	}
}

// through reads until the end of what was read is that.
func (c *rawConn) through(end string) string {
	c.t.Helper()
	var b strings.Builder
	for !strings.HasSuffix(b.String(), end) {
		piece, err := c.in.ReadString(end[len(end)-1])
		if b.WriteString(piece); err != nil {
			c.t.Fatalf("%q, %v", b.String(), err)
		}
	}
	return b.String()
}
