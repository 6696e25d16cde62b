package proxy

import (
	"bytes"
	"context"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/api/redis/command"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/effect"
	"github.com/stratadb/strata/internal/migrate/peer"
	"github.com/stratadb/strata/internal/wire/resp"
)

const (
	// redialFirst and redialMost are the pauses between attempts to connect.
	redialFirst = 50 * time.Millisecond
	redialMost  = 2 * time.Second
	// probeEvery is how often an idle connection is looked at.
	probeEvery = time.Second
	// sendBytes is from how much on what is written is sent.
	sendBytes = 64 << 10
)

// follower brings effects to the side that does not decide, over one connection, in their
// order. What was sent and not answered when the connection broke may have been executed or
// not: those keys are marked as diverged.
type follower struct {
	p     *Proxy
	side  Side
	q     *queue
	up    atomic.Bool
	once  sync.Once
	tried chan struct{} // closed when it has been up, or could not be
	sent  atomic.Int64

	ctx    context.Context
	cancel context.CancelFunc
	wg     sync.WaitGroup
}

func newFollower(p *Proxy, side Side) *follower {
	f := &follower{p: p, side: side, q: newQueue(p.cfg.QueueBytes, p.cfg.QueueItems), tried: make(chan struct{})}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	f.wg.Add(1)
	go f.run()
	return f
}

// stop ends it; what is in the queue is left there.
func (f *follower) stop() {
	f.q.close()
	f.cancel()
	f.wg.Wait()
}

// run connects, again and again.
func (f *follower) run() {
	defer f.wg.Done()
	pause := redialFirst
	for f.ctx.Err() == nil {
		c, err := peer.Dial(f.ctx, &f.p.cfg.Servers[f.side])
		f.up.Store(err == nil)
		f.once.Do(func() { close(f.tried) })
		if err == nil {
			pause = redialFirst
			f.q.setDown(false)
			err = f.serve(c)
			f.up.Store(false)
			f.q.setDown(true)
		} else {
			f.q.setDown(true)
		}
		if f.ctx.Err() == nil {
			f.p.log.Warn("the side that follows is not reachable", "side", f.side.String(), "error", err)
			f.p.report.setProblem(f.side, err)
		}
		select {
		case <-f.ctx.Done():
		case <-time.After(pause):
		}
		pause = min(2*pause, redialMost)
	}
}

// awaitTry waits until it is known whether the side can be reached.
func (f *follower) awaitTry(within time.Duration) {
	select {
	case <-f.tried:
	case <-time.After(within):
	}
}

// stream is one connection of the follower.
type stream struct {
	f       *follower
	c       *peer.Conn
	out     []byte
	db      int
	proto   int
	loaded  map[string]bool // scripts that this connection has brought
	flights chan item
	failed  chan struct{} // closed by the reader
	err     error
}

// serve sends until the connection breaks, and says why it did.
func (f *follower) serve(c *peer.Conn) error {
	s := &stream{f: f, c: c, proto: 2, loaded: map[string]bool{}, flights: make(chan item, limits.ProxySent), failed: make(chan struct{})}
	read := make(chan struct{})
	go func() {
		defer close(read)
		s.readAll()
	}()
	stop := context.AfterFunc(f.ctx, func() { _ = c.Close() })
	err := s.writeAll()
	close(s.flights)
	if err != nil {
		_ = c.Close()
	}
	<-read
	stop()
	_ = c.Close()
	if s.err != nil {
		return s.err
	}
	return err
}

func (s *stream) writeAll() error {
	var batch []item
	probe := time.NewTicker(probeEvery)
	defer probe.Stop()
	for {
		batch = s.f.q.take(batch[:0], 256)
		for i := range batch {
			if err := s.add(&batch[i]); err != nil {
				s.f.q.back(batch[i+1:])
				return err
			}
		}
		clear(batch)
		if err := s.flush(); err != nil {
			return err
		}
		if len(batch) > 0 {
			continue
		}
		select {
		case <-s.f.q.wake:
		case <-s.failed:
			return s.err
		case <-s.f.ctx.Done():
			return s.f.ctx.Err()
		case <-probe.C:
			if len(s.flights) == 0 {
				if err := s.prelude("PING"); err != nil {
					return err
				}
			}
		}
	}
}

func (s *stream) flush() error {
	if len(s.out) == 0 {
		return nil
	}
	_ = s.c.SetWriteDeadline(time.Now().Add(s.c.Server.Timeout))
	_, err := s.c.Write(s.out)
	if s.out = s.out[:0]; cap(s.out) > 16*sendBytes {
		s.out = nil
	}
	return err
}

// add writes an item, which from now on is the reader's, also if it fails.
func (s *stream) add(it *item) error {
	if s.f.p.needless(it) {
		it.raw, it.replies, it.want = nil, 0, nil
		return s.fly(*it)
	}
	if err := s.enter(it); err != nil {
		s.f.p.lost(it, err)
		s.f.q.ack(it)
		return err
	}
	if err := s.fly(*it); err != nil {
		return err
	}
	s.f.sent.Add(1)
	if len(it.raw) > sendBytes {
		if err := s.flush(); err != nil {
			return err
		}
		_ = s.c.SetWriteDeadline(time.Now().Add(s.c.Server.Timeout))
		_, err := s.c.Write(it.raw)
		return err
	}
	if s.out = append(s.out, it.raw...); len(s.out) < sendBytes {
		return nil
	}
	return s.flush()
}

// enter brings the connection to the item's database, protocol and script.
func (s *stream) enter(it *item) error {
	if it.db != s.db {
		if err := s.prelude("SELECT", strconv.Itoa(s.c.Server.DB+it.db)); err != nil {
			return err
		}
		s.db = it.db
	}
	if it.proto != 0 && it.proto != s.proto {
		if err := s.prelude("HELLO", strconv.Itoa(it.proto)); err != nil {
			return err
		}
		s.proto = it.proto
	}
	if it.t != nil && it.t.name == "script|flush" {
		clear(s.loaded)
	}
	if it.script != "" && !s.loaded[it.script] {
		if text, ok := s.f.p.scripts.text(it.script); ok {
			if err := s.prelude("SCRIPT", "LOAD", text); err != nil {
				return err
			}
			s.loaded[it.script] = true
		}
	}
	return nil
}

// prelude sends a command of the follower's own.
func (s *stream) prelude(args ...string) error {
	if err := s.fly(item{kind: isPing, replies: 1, t: &trait{name: args[0]}}); err != nil {
		return err
	}
	if s.out = resp.AppendCommand(s.out, args...); len(s.out) < sendBytes {
		return nil
	}
	return s.flush()
}

// fly hands an item to the reader, before it is sent.
func (s *stream) fly(it item) error {
	select {
	case s.flights <- it:
		return nil
	default:
	}
	// The reader has all that it can take; it waits for what is not yet sent.
	err := s.flush()
	if err == nil {
		select {
		case s.flights <- it:
			return nil
		case <-s.failed:
			err = s.err
		}
	}
	if it.seq > 0 {
		if it.replies > 0 { // else a copy has made it unnecessary
			s.f.p.lost(&it, err)
		}
		s.f.q.ack(&it)
	}
	return err
}

// captured keeps up to a bound of a reply.
type captured struct {
	b    []byte
	more bool
	most int
}

func (c *captured) Piece(b []byte) {
	if len(c.b)+len(b) > c.most {
		c.more = true
		return
	}
	c.b = append(c.b, b...)
}

// readAll reads the replies of what was sent. After a failure everything that was sent is
// lost.
func (s *stream) readAll() {
	got := captured{most: limits.ProxyComparedBytes}
	for it := range s.flights {
		if s.err == nil {
			if err := s.read(&it, &got); err != nil {
				s.err = err
				close(s.failed)
				_ = s.c.Close()
			}
		}
		if it.seq == 0 {
			continue
		}
		if s.err != nil && it.replies > 0 {
			s.f.p.lost(&it, s.err)
		}
		s.f.q.ack(&it)
	}
	if s.err == nil {
		close(s.failed)
	}
}

// read reads the replies of an item and judges the last one; a failed one before it counts, too.
func (s *stream) read(it *item, got *captured) error {
	var bad []byte
	for i := range it.replies {
		got.b, got.more = got.b[:0], false
		if s.c.Replies.Buffered() == 0 {
			_ = s.c.SetReadDeadline(time.Now().Add(s.c.Server.Timeout))
		}
		kind, err := s.c.Replies.Next(got)
		if err != nil {
			return err
		}
		if kind == resp.KindError && bad == nil && i < it.replies-1 {
			bad = bytes.Clone(got.b)
		}
	}
	if it.kind == isPing {
		if it.replies > 0 && len(got.b) > 0 && got.b[0] == '-' && it.t.name != "PING" {
			return errors.Newf("%s: %s", it.t.name, bytes.TrimSpace(got.b[1:]))
		}
		return nil
	}
	if it.replies == 0 {
		return nil
	}
	reply := got.b
	if bad != nil {
		reply = bad
	}
	s.f.p.judge(it, reply, got.more)
	return nil
}

// needless reports whether a copy behind the item makes it unnecessary.
func (p *Proxy) needless(it *item) bool {
	if it.kind != isWrite || p.ledger.count.Load() == 0 {
		return false
	}
	places := p.placesOf(it)
	for _, at := range places {
		if p.ledger.overtaken(at, it.seq) {
			p.markAll(places, it.seq, "written together with a key that differs")
			return true
		}
	}
	return false
}

// judge compares the reply of the following side with what was expected.
func (p *Proxy) judge(it *item, reply []byte, cut bool) {
	failed := len(reply) > 0 && (reply[0] == '-' || reply[0] == '!')
	switch it.kind {
	case isCopy, isPiece:
		problem := ""
		if failed {
			problem = "the copy was refused: " + string(bytes.TrimSpace(reply[1:]))
		}
		if it.kind == isCopy {
			p.ledger.copied(it.place, it.seq, problem)
		} else if failed {
			p.ledger.mark(it.place, 0, problem)
			p.ledger.refused(it.place)
		}
		return
	case isShadow, isSure:
		p.judgeRead(it, reply, cut)
		return
	}
	p.report.applied.Add(1)
	same := !failed
	if same && it.want != nil {
		same = !cut && p.sameReply(it, reply)
	}
	if same {
		return
	}
	if it.loose {
		p.report.loose.Add(1)
		return
	}
	p.report.difference(it, reply, "write")
	p.markAll(p.placesOf(it), it.seq, "a write was answered differently")
}

// sameReply compares the reply of a write, or those of a block.
func (p *Proxy) sameReply(it *item, reply []byte) bool {
	if it.block == nil {
		return p.rules.Equal(it.t.name, it.want, reply)
	}
	want, err := peer.Decode(it.want)
	if err != nil {
		return false
	}
	got, err := peer.Decode(reply)
	if err != nil || len(got.Array) != len(it.block) {
		return false
	}
	for i, part := range it.block {
		v := got.Array[i]
		if part.want < 0 {
			if v.Kind == resp.KindError {
				return false
			}
			continue
		}
		if part.want >= len(want.Array) || !p.rules.Values(part.t.name, want.Array[part.want], v) {
			return false
		}
	}
	return true
}

// judgeRead compares a read. What differs is read again under the key's lock before it
// counts.
func (p *Proxy) judgeRead(it *item, reply []byte, cut bool) {
	switch {
	case cut:
		p.report.shadow(it.t.name, shadowSkipped)
	case p.rules.Equal(it.t.name, it.want, reply):
		p.report.shadow(it.t.name, shadowEqual)
	case it.kind == isSure:
		p.report.shadow(it.t.name, shadowDiffers)
		p.report.difference(it, reply, "read")
		p.markAll(p.placesOf(it), it.seq, "a read was answered differently")
	default:
		p.recheck(it)
	}
}

// lost says that nobody knows whether an item was executed.
func (p *Proxy) lost(it *item, err error) {
	switch it.kind {
	case isShadow, isSure:
		p.report.shadow(it.t.name, shadowSkipped)
		return
	case isCopy:
		p.ledger.copied(it.place, it.seq, "the connection broke: "+errorText(err))
		return
	case isPiece:
		p.ledger.mark(it.place, 0, "the connection broke")
		p.ledger.refused(it.place)
		return
	}
	places := p.placesOf(it)
	everywhere := it.t != nil && effect.Treat(it.t.name, nil) == effect.Everywhere
	for _, part := range it.block {
		everywhere = everywhere || effect.Treat(part.t.name, nil) == effect.Everywhere
	}
	if len(places) == 0 || everywhere {
		p.incomplete("a " + nameOf(it) + " was lost when the connection broke: " + errorText(err))
		return
	}
	p.markAll(places, it.seq, "the connection broke: "+errorText(err))
}

func nameOf(it *item) string {
	if it.t == nil {
		return "command"
	}
	return it.t.name
}

func errorText(err error) string {
	if err == nil {
		return "no reply"
	}
	return err.Error()
}

// markAll marks keys.
func (p *Proxy) markAll(places []place, seq uint64, reason string) {
	for _, at := range places {
		if !p.ledger.mark(at, seq, reason) {
			p.incomplete("more keys differ than can be remembered")
			return
		}
	}
}

// placesOf are the keys of an item's commands.
func (p *Proxy) placesOf(it *item) []place { return p.placesIn(it.raw, it.db) }

// placesIn are the keys of commands, each once.
func (p *Proxy) placesIn(raw []byte, db int) (places []place) {
	seen := map[string]bool{}
	parser := resp.NewParser(resp.Limits{})
	for len(raw) > 0 {
		args, n, err := parser.Next(raw)
		if err != nil || n == 0 || len(args) == 0 {
			break
		}
		raw = raw[n:]
		t := p.commands.of(args)
		for _, i := range t.keys.Positions(args, nil) {
			if k := string(args[i]); !seen[k] {
				seen[k] = true
				places = append(places, place{db, k})
			}
		}
		if at, ok := elsewhere(t, args); ok {
			places = append(places, at)
		}
	}
	return places
}

// elsewhere is the key of another database to which MOVE and COPY write.
func elsewhere(t *trait, args [][]byte) (at place, ok bool) {
	var name, db []byte
	switch {
	case t.name == "move" && len(args) == 3:
		name, db = args[1], args[2]
	case t.name == "copy":
		for i := 3; i+1 < len(args); i++ {
			if command.Is(args[i], "db") {
				name, db = args[2], args[i+1]
			}
		}
	}
	n, ok := database(db)
	return place{n, string(name)}, ok && name != nil
}
