package redis

import (
	"bytes"
	"context"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/kv"
	"github.com/stratadb/strata/internal/limits"
)

// lateEngine is a store whose commits come when the test says so. It runs one
// attempt at a time. With auto set, every write is committed at once, and neither
// reads nor overwrites allocate.
type lateEngine struct {
	auto bool
	mu   sync.Mutex // held by the open attempt
	rows map[string]*lateRow
	pos  base.Position
	log  lateLog
	now  atomic.Int64 // milliseconds; 0: the wall clock
}

type lateRow struct {
	value   []byte // nil: absent
	pos     base.Position
	watches []*lateWatch
}

func newLateEngine() *lateEngine { return &lateEngine{rows: map[string]*lateRow{}} }

func (e *lateEngine) row(key []byte) *lateRow {
	r := e.rows[string(key)]
	if r == nil {
		r = &lateRow{}
		e.rows[string(key)] = r
	}
	return r
}

func (e *lateEngine) ReadVersion(context.Context) (base.Stamp, error)                { return stampNow(), nil }
func (e *lateEngine) EstimateSize(base.Span) (int64, error)                          { return 0, nil }
func (e *lateEngine) ScanStored(base.Span, bool, func(key, value []byte) bool) error { return nil }

func (e *lateEngine) Local() bool                          { return true }
func (e *lateEngine) Follow(base.Span, kv.Follower) func() { return func() {} }
func (e *lateEngine) Kick()                                {}
func (e *lateEngine) Expect([][]byte) bool                 { return false }
func (e *lateEngine) NewAttempt() kv.Attempt               { return &lateAttempt{e: e} }

type lateAttempt struct {
	e    *lateEngine
	open bool
	pos  base.Position
}

func (a *lateAttempt) Begin(kv.AttemptOptions) {
	a.Abort()
	a.e.mu.Lock()
	a.open, a.pos = true, 0
}

func (a *lateAttempt) Get(key []byte) ([]byte, error) {
	r := a.e.rows[string(key)]
	if r == nil {
		return nil, nil
	}
	a.pos = max(a.pos, r.pos)
	return r.value, nil
}

func (a *lateAttempt) Scan(span base.Span, reverse bool, visit func(key, value []byte) bool) error {
	var keys []string
	for k, r := range a.e.rows {
		if span.Contains([]byte(k)) {
			a.pos = max(a.pos, r.pos)
			if r.value != nil {
				keys = append(keys, k)
			}
		}
	}
	slices.Sort(keys)
	if reverse {
		slices.Reverse(keys)
	}
	for _, k := range keys {
		if !visit([]byte(k), a.e.rows[k].value) {
			break
		}
	}
	return nil
}

func (a *lateAttempt) Expect([][]byte) {}

func (a *lateAttempt) NowMillis() int64 {
	if n := a.e.now.Load(); n != 0 {
		return n
	}
	return time.Now().UnixMilli()
}

func (a *lateAttempt) ticket() base.Ticket {
	if a.pos <= a.e.log.Committed() {
		return base.Ticket{}
	}
	return base.Ticket{Log: &a.e.log, Pos: a.pos}
}

func (a *lateAttempt) Abort() kv.Receipt {
	if !a.open {
		return kv.Receipt{}
	}
	a.open = false
	r := kv.Receipt{Ticket: a.ticket()}
	a.e.mu.Unlock()
	return r
}

func (a *lateAttempt) Commit(req *kv.CommitRequest) (kv.Receipt, error) {
	defer a.Abort()
	if dirty(req.Guards) || req.Fence != nil && dirty(req.Fence.Home()) {
		return kv.Receipt{Ticket: a.ticket()}, base.ErrConflict
	}
	if len(req.Mutations) > 0 {
		a.e.pos++
		a.pos = a.e.pos
		if a.e.auto {
			a.e.log.committed.Store(uint64(a.pos))
		}
	}
	for _, m := range req.Mutations {
		a.apply(m)
	}
	return kv.Receipt{Ticket: a.ticket()}, nil
}

func dirty(guards []kv.Watch) bool {
	return slices.ContainsFunc(guards, func(w kv.Watch) bool { return w.(*lateWatch).dirty })
}

func (a *lateAttempt) apply(m base.Mutation) {
	switch m.Op {
	case base.OpClearRange, base.OpTouch:
		for k, r := range a.e.rows {
			switch {
			case !(base.Span{Start: m.Key, End: m.Value}).Contains([]byte(k)):
			case m.Op == base.OpTouch:
				a.mark(r)
			default:
				a.put(r, nil)
			}
		}
	case base.OpClear:
		a.put(a.e.row(m.Key), nil)
	case base.OpSet:
		r := a.e.row(m.Key)
		a.put(r, append(r.value[:0:cap(r.value)], m.Value...))
	default:
		r := a.e.row(m.Key)
		a.put(r, bytes.Clone(base.ApplyAtomic(m.Op, r.value, m.Value, limits.PairBytes)))
	}
}

func (a *lateAttempt) put(r *lateRow, value []byte) {
	r.value, r.pos = value, a.pos
	a.mark(r)
}

func (a *lateAttempt) mark(r *lateRow) {
	for _, w := range r.watches {
		w.dirty, w.pos = true, a.pos
	}
}

type lateWatch struct {
	e     *lateEngine
	row   *lateRow
	dirty bool
	pos   base.Position
}

func (e *lateEngine) Watch(key []byte) kv.Watch {
	e.mu.Lock()
	defer e.mu.Unlock()
	w := &lateWatch{e: e, row: e.row(key)}
	w.row.watches = append(w.row.watches, w)
	return w
}

func (w *lateWatch) Dirty() (bool, base.Ticket) {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	return w.dirty, base.Ticket{Log: &w.e.log, Pos: w.pos}
}

func (w *lateWatch) Changed() <-chan struct{} { return nil }

func (w *lateWatch) Close() {
	w.e.mu.Lock()
	defer w.e.mu.Unlock()
	w.row.watches = slices.DeleteFunc(w.row.watches, func(o *lateWatch) bool { return o == w })
}

// lateLog is advanced by the test.
type lateLog struct {
	committed atomic.Uint64
	mu        sync.Mutex
	waiting   []lateWaiting
	arrived   chan base.Position // gets every position somebody begins to wait for
}

type lateWaiting struct {
	pos base.Position
	w   base.Waiter
}

func (l *lateLog) Committed() base.Position { return base.Position(l.committed.Load()) }

func (l *lateLog) Kick() {}

func (l *lateLog) Notify(pos base.Position, w base.Waiter) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.Committed() >= pos {
		return false
	}
	l.waiting = append(l.waiting, lateWaiting{pos, w})
	if l.arrived != nil {
		l.arrived <- pos
	}
	return true
}

// settle commits up to pos, or with an error loses what waits up to pos.
func (l *lateLog) settle(pos base.Position, err error) {
	l.mu.Lock()
	if err == nil {
		l.committed.Store(uint64(pos))
	}
	var woken []base.Waiter
	l.waiting = slices.DeleteFunc(l.waiting, func(x lateWaiting) bool {
		if x.pos <= pos {
			woken = append(woken, x.w)
		}
		return x.pos <= pos
	})
	l.mu.Unlock()
	for _, w := range woken {
		w.Committed(err)
	}
}

// startLate runs a server over an engine with late commits.
func startLate(t testing.TB) (*testServer, *lateEngine) {
	e := newLateEngine()
	e.log.arrived = make(chan base.Position, 100)
	s := start(t, Options{DB: kv.New(e, time.Now), ManualExpiry: true})
	t.Cleanup(func() { e.log.settle(1<<40, nil) })
	return s, e
}

// eventually waits for a state that no channel tells about.
func eventually(t testing.TB, ok func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !ok(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("it never happened")
		}
	}
}

// quiet fails if bytes can be read; the deadline is for the case that all is well.
func (c *rawConn) quiet() {
	c.t.Helper()
	if err := c.SetReadDeadline(time.Now().Add(20 * time.Millisecond)); err != nil {
		c.t.Fatal(err)
	}
	var b [64]byte
	if n, err := c.Read(b[:]); err == nil {
		c.t.Fatalf("reply %q came before its commit", b[:n])
	}
	if err := c.SetReadDeadline(time.Now().Add(patience)); err != nil {
		c.t.Fatal(err)
	}
}

func TestRepliesWaitForCommits(t *testing.T) {
	for _, tc := range []struct{ name, send, want string }{
		{"write", "SET k v\r\n", "+OK|"},
		{"null", "DEL k\r\nGET k\r\n", ":0|$-1|"},
		{"refused NX", "SET k w NX\r\n", "$-1|"},
		{"wrong type", "HGET k f\r\n", "-WRONGTYPE Operation against a key holding the wrong kind of value|"},
		{"error", "INCR k\r\n", "-ERR value is not an integer or out of range|"},
		{"EXEC", "MULTI\r\nGET k\r\nEXEC\r\n", "+OK|+QUEUED|*1|$4|text|"},
		{"PING behind a write", "SET k v\r\nPING\r\n", "+OK|+PONG|"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			s, e := startLate(t)
			first, c := s.dial(t), s.dial(t)
			text := "SET k text\r\n"
			if tc.name == "null" {
				text = "SET k text\r\nDEL k\r\n"
			}
			first.send(text)
			pos := <-e.log.arrived
			c.send(tc.send)
			<-e.log.arrived
			c.quiet()
			first.quiet()
			e.log.settle(pos+10, nil)
			c.expect(crlf(tc.want))
		})
	}
}

func TestAbortedExecWaitsForTheWriteThatAbortedIt(t *testing.T) {
	s, e := startLate(t)
	c, other := s.dial(t), s.dial(t)
	c.send("WATCH k\r\nMULTI\r\nSET a b\r\n")
	c.expect(crlf("+OK|+OK|+QUEUED|"))
	other.send("SET k v\r\n")
	pos := <-e.log.arrived
	c.send("EXEC\r\n")
	<-e.log.arrived
	c.quiet()
	e.log.settle(pos, nil)
	c.expect(crlf("*-1|"))
}

func TestRepliesKeepTheirOrder(t *testing.T) {
	s, e := startLate(t)
	c := s.dial(t)
	c.send("SET a 1\r\n")
	pos := <-e.log.arrived
	c.send("PING\r\n") // ready at once, and yet behind
	eventually(t, func() bool { _, queued := s.clients()[0].out.Pending(); return queued == 2 })
	c.send("SET b 2\r\n")
	for <-e.log.arrived != pos+1 {
	}
	c.quiet()
	e.log.settle(pos, nil)
	c.expect(crlf("+OK|+PONG|"))
	c.quiet()
	e.log.settle(pos+1, nil)
	c.expect(crlf("+OK|"))
}

func TestUnknownOutcomeEndsTheConnection(t *testing.T) {
	s, e := startLate(t)
	c, other := s.dial(t), s.dial(t)
	c.send("SET a 1\r\n")
	pos := <-e.log.arrived
	c.send("PING\r\nPING\r\n")
	e.log.settle(pos, base.ErrUnknownOutcome)
	c.expectEnd("-" + unknownOutcome + "\r\n")
	other.send("PING\r\n")
	other.expect("+PONG\r\n")
}

// TestMutedRepliesNeedNoCommit: with CLIENT REPLY OFF nothing waits for anything.
func TestMutedRepliesNeedNoCommit(t *testing.T) {
	s, _ := startLate(t)
	c := s.dial(t)
	c.send("CLIENT REPLY OFF\r\nSET a 1\r\nCLIENT REPLY ON\r\nPING\r\n")
	c.expect(crlf("+OK|+PONG|"))
}
