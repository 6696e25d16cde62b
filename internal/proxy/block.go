package proxy

import (
	"bytes"
	"net"
	"strconv"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/redisnum"
	"github.com/stratadb/strata/internal/wire/resp"
)

var noDeadline time.Time

// waits reports whether XREAD or XREADGROUP may block.
func waits(args [][]byte) bool { return timeoutAt("xread", args) > 0 }

// timeoutAt is where a blocking command has its timeout.
func timeoutAt(name string, args [][]byte) int {
	switch name {
	case "blmpop", "bzmpop":
		return 1
	case "xread", "xreadgroup":
		for i := 1; i+1 < len(args) && !bytes.EqualFold(args[i], []byte("STREAMS")); i++ {
			if bytes.EqualFold(args[i], []byte("BLOCK")) {
				return i + 1
			}
		}
		return 0
	}
	return len(args) - 1
}

// blocking is a command that waits.
type blocking struct {
	t        *trait
	args     [][]byte
	at       int       // of the timeout
	deadline time.Time // zero is never
}

func newBlocking(t *trait, args [][]byte) (b blocking) {
	b = blocking{t: t, at: timeoutAt(t.name, args)}
	for _, a := range args {
		b.args = append(b.args, bytes.Clone(a))
	}
	if b.at <= 0 || b.at >= len(args) {
		return b
	}
	unit := time.Second
	if t.name == "xread" || t.name == "xreadgroup" {
		unit = time.Millisecond
	}
	if f, ok := redisnum.ParseFloat(args[b.at]); ok && f > 0 && f < 1e9 {
		b.deadline = time.Now().Add(time.Duration(f * float64(unit)))
	}
	return b
}

// remaining has what is left of the timeout.
func (b *blocking) remaining() [][]byte {
	if b.deadline.IsZero() {
		return b.args
	}
	left := max(time.Until(b.deadline), time.Millisecond)
	args := append([][]byte(nil), b.args...)
	if b.t.name == "xread" || b.t.name == "xreadgroup" {
		args[b.at] = strconv.AppendInt(nil, max(left.Milliseconds(), 1), 10)
	} else {
		args[b.at] = strconv.AppendFloat(nil, left.Seconds(), 'f', 3, 64)
	}
	return args
}

// block executes a command that may wait. While a side follows, it is tried under its keys'
// locks and waits in the proxy's line in between; XREAD takes nothing, and waits at the
// deciding side, as everything does in a mode of one side.
func (s *session) block(t *trait, args [][]byte, raw []byte, end int) {
	b := newBlocking(t, args)
	s.in.Consume(end)
	s.flush()
	if s.dead {
		return
	}
	if !t.arity(len(b.args)) || b.at <= 0 {
		s.forward(resp.AppendCommand(nil, b.args...))
		return
	}
	watch := newHangup(s)
	defer watch.stop()
	for first := true; ; first = false {
		s.p.gate.RLock()
		native := s.p.follower == nil || t.name == "xread"
		if !native {
			s.p.gate.RUnlock()
			if s.waitInLine(&b, watch) {
				return
			}
			continue
		}
		if first && t.name == "xread" {
			if err := s.resolve(&b); err != nil {
				s.broken(err, 1)
				s.p.gate.RUnlock()
				return
			}
		}
		if s.waitThere(&b, watch) { // which gives the gate back
			return
		}
	}
}

// resolve replaces $ by the last ID that there is, so that waiting can go on elsewhere.
func (s *session) resolve(b *blocking) error {
	keys := b.t.keys.Positions(b.args, nil)
	for i, k := range keys {
		id := keys[len(keys)-1] + 1 + i
		if id >= len(b.args) || string(b.args[id]) != "$" {
			continue
		}
		if err := s.ensure(); err != nil {
			return err
		}
		v, err := s.back.Do("XREVRANGE", string(b.args[k]), "+", "-", "COUNT", "1")
		if err != nil {
			return err
		}
		b.args[id] = []byte("0-0")
		if len(v.Array) > 0 && len(v.Array[0].Array) > 0 {
			b.args[id] = bytes.Clone(v.Array[0].Array[0].Str)
		}
	}
	return nil
}

// native is a session that waits at the deciding side.
type native struct {
	id     string
	moved  bool // the wait was ended, since the mode changes
	closed func()
}

// waitThere waits at the deciding side and passes the reply. It reports false if the mode
// was changed meanwhile. Who calls it holds the gate, which it gives back.
func (s *session) waitThere(b *blocking, watch *hangup) (done bool) {
	n := &native{}
	err := s.ensure()
	if err == nil {
		var id resp.Value
		if id, err = s.back.Do("CLIENT", "ID"); err == nil {
			n.id = id.Text()
			back := s.back
			n.closed = func() { _ = back.Close() }
			s.p.natives.add(n)
			err = s.back.Send(resp.AppendCommand(nil, b.remaining()...))
		}
	}
	s.p.gate.RUnlock()
	if err != nil {
		s.p.natives.remove(n)
		s.broken(err, 1)
		return true
	}
	s.back.Disarm()
	gone := watch.onHangup(n.closed)
	var got captured
	got.most = heldBytes
	kind, err := s.back.Replies.Next(&got)
	gone()
	moved := s.p.natives.remove(n)
	switch {
	case err == nil && kind == resp.KindNull && moved:
		return false
	case err != nil && moved:
		s.dropBack(false)
		return false
	case err == nil && got.more:
		err = errors.New("a reply that is too long")
	}
	if err != nil {
		s.broken(err, 1)
		return true
	}
	s.out = append(s.out, got.b...)
	return true
}

// waitInLine tries the command until it has got something, its time is over, or the mode was
// changed; then it reports false.
func (s *session) waitInLine(b *blocking, watch *hangup) (done bool) {
	w := &waiter{wake: make(chan struct{}, 1), all: b.t.name == "xreadgroup"}
	for _, k := range b.t.keys.Positions(b.args, nil) {
		w.places = append(w.places, place{s.db, string(b.args[k])})
	}
	joined, woken := false, false
	defer func() {
		if joined {
			s.p.line.leave(w, woken)
		}
	}()
	for {
		null, state := s.try(b, w, &joined)
		switch state {
		case tryDone:
			return true
		case tryMoved:
			return false
		}
		if woken {
			s.p.line.pass(w)
		}
		var over <-chan time.Time
		if !b.deadline.IsZero() {
			timer := time.NewTimer(time.Until(b.deadline))
			defer timer.Stop()
			over = timer.C
		}
		woken = false
		select {
		case <-w.wake:
			woken = true
		case <-over:
			s.out = append(s.out, null...)
			return true
		case <-watch.gone():
			s.dead = true
			return true
		case <-s.p.ctx.Done():
			s.dead = true
			return true
		}
	}
}

type tried uint8

const (
	tryNothing tried = iota
	tryDone
	tryMoved
)

// try executes the command without waiting: between MULTI and EXEC nothing waits. If it got
// nothing, the waiter stands in the line before others may write.
func (s *session) try(b *blocking, w *waiter, joined *bool) (null []byte, state tried) {
	p := s.p
	p.gate.RLock()
	defer p.gate.RUnlock()
	if p.follower == nil {
		return nil, tryMoved
	}
	var held stripes
	for _, at := range w.places {
		held = held.add([]byte(at.key))
	}
	held = p.locks.lock(held)
	defer p.locks.unlock(held)
	pool := p.pools[p.mode.decider()]
	c, err := pool.get(p.ctx, s.db, s.proto)
	if err != nil {
		s.broken(err, 1)
		return nil, tryDone
	}
	raw := resp.AppendCommand(nil, b.args...)
	replies, err := exchange(c, append(append(resp.AppendCommand(nil, "MULTI"), raw...), resp.AppendCommand(nil, "EXEC")...), 3)
	if err != nil {
		pool.drop(c)
		p.lost(&item{raw: raw, db: s.db, t: b.t}, err)
		s.broken(err, 1)
		return nil, tryDone
	}
	pool.put(c)
	if replies[1][0] == '-' {
		s.out = append(s.out, replies[1]...)
		return nil, tryDone
	}
	reply, ok := bytes.CutPrefix(replies[2], []byte("*1\r\n"))
	if !ok {
		s.out = append(s.out, replies[2]...)
		return nil, tryDone
	}
	v, err := peer.Decode(reply)
	if err == nil && v.IsNull() || *joined && v.Kind == resp.KindError {
		if b.t.name == "xreadgroup" && !*joined {
			s.mirrorOne(b, raw, reply) // it has made its consumer
		}
		if !*joined {
			p.line.join(w)
			*joined = true
		}
		return reply, tryNothing
	}
	s.mirrorOne(b, raw, reply)
	s.out = append(s.out, reply...)
	for _, at := range w.places { // what was taken may have gone to another key
		p.line.wake(at)
	}
	return nil, tryDone
}

func (s *session) mirrorOne(b *blocking, raw, reply []byte) {
	o := &s.batch.outcome
	o.begin(s.p, s.db, s.proto)
	o.add(&executed{t: b.t, args: b.args, raw: raw, reply: reply})
	o.finish(s.p.follower)
}

// exchange sends commands and answers the bytes of so many replies.
func exchange(c *peer.Conn, raw []byte, n int) (replies [][]byte, err error) {
	if err := c.Send(raw); err != nil {
		return nil, err
	}
	for range n {
		got := captured{most: heldBytes}
		if _, err := c.Replies.Next(&got); err != nil {
			return nil, err
		}
		if got.more {
			return nil, errors.New("a reply that is too long")
		}
		replies = append(replies, got.b)
	}
	return replies, nil
}

// hangup reads from a client whose command waits, so that its leaving is seen. What it sends
// meanwhile is kept for later.
type hangup struct {
	s    *session
	left chan struct{} // closed when the client has left
	done chan struct{}
}

func newHangup(s *session) *hangup {
	h := &hangup{s: s, left: make(chan struct{}), done: make(chan struct{})}
	go h.read()
	return h
}

// aheadBytes is how much a waiting client may send before its leaving is no longer seen.
const aheadBytes = 1 << 20

func (h *hangup) read() {
	defer close(h.done)
	for len(h.s.in.Pending()) < aheadBytes {
		n, err := h.s.conn.Read(h.s.in.Writable())
		h.s.in.Advance(n)
		if timeout := net.Error(nil); errors.As(err, &timeout) && timeout.Timeout() {
			return
		}
		if err != nil {
			close(h.left)
			return
		}
	}
}

func (h *hangup) gone() <-chan struct{} { return h.left }

// onHangup calls do when the client leaves, until the answer is called.
func (h *hangup) onHangup(do func()) (cancel func()) {
	over, ended := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-h.left:
			do()
		case <-over:
		}
	}()
	return func() {
		close(over)
		<-ended
	}
}

// stop ends the reading; the session reads again itself.
func (h *hangup) stop() {
	_ = h.s.conn.SetReadDeadline(time.Unix(1, 0))
	<-h.done
	_ = h.s.conn.SetReadDeadline(noDeadline)
	select {
	case <-h.left:
		h.s.dead = true
	default:
	}
}
