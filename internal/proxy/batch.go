package proxy

import (
	"bytes"
	"slices"
	"strings"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/migrate/compare"
	"github.com/stratadb/strata/internal/migrate/effect"
	"github.com/stratadb/strata/internal/wire/resp"
)

// entry is a command of a batch.
type entry struct {
	t          *trait
	start, end int // in what is pending
	queued     bool
	mirrored   bool // the other side must hear of it
	from, to   int  // of its reply in the session's out, unless it was sent already
	flushes    int
	block      []queued // of EXEC
}

// batch is commands of a client that are sent to the deciding side at once.
type batch struct {
	s       *session
	entries []entry
	stripes stripes
	multi   bool // behind the last command MULTI is open
	alone   bool // one of them writes to what has no key
	writes  bool
	last    int // the last one that is mirrored
	keys    [][]byte
	at      []int
	outcome outcome
}

func (b *batch) len() int { return len(b.entries) }

func (b *batch) reset() {
	b.entries, b.stripes = b.entries[:0], b.stripes[:0]
	b.multi, b.alone, b.writes, b.last = b.s.multi, false, false, -1
}

// room reports whether one more command may go with those before it.
func (b *batch) room(end int, t *trait, args [][]byte) bool {
	if len(b.entries) == 0 {
		return true
	}
	if len(b.entries) >= batchCommands || end > batchBytes {
		return false
	}
	// What must be alone begins its own batch, so that others are not kept out for long.
	return b.alone || b.multi || !b.everything(t, args)
}

// everything reports whether a write needs all locks.
func (b *batch) everything(t *trait, args [][]byte) bool {
	switch t.treatment(args) {
	case effect.Everywhere:
		return true
	case effect.Script:
		if b.s.p.cfg.GlobalScripts {
			return true
		}
		b.at = t.keys.Positions(args, b.at[:0])
		return len(b.at) == 0
	}
	return false
}

// add appends a command. The text of a script is remembered before anybody can run it by its
// digest: the deciding side knows that from the moment when it executes the first one, and
// another client's EVALSHA may be answered before that one's reply is read.
func (b *batch) add(t *trait, args [][]byte, start, end int) {
	e := entry{t: t, start: start, end: end}
	s := b.s
	s.p.learn(t.name, args)
	fits := t.arity(len(args))
	switch {
	case t.special == begins && fits:
		b.multi = true
	case t.special == executes && b.multi && fits:
		b.multi = false
		e.mirrored = true
		for i := range s.queued {
			q := &s.queued[i]
			b.lockFor(q.t, q.args())
		}
	case t.special == discards && b.multi && fits:
		b.multi = false
	case b.multi && t.special != watches && t.special != unwatches && t.special != begins:
		e.queued = true
		b.lockFor(t, args)
	case t.write || t.unknown:
		e.mirrored = b.lockFor(t, args) || t.unknown
	}
	if strings.HasPrefix(t.name, "client|no-") || t.name == "readonly" || t.name == "asking" {
		s.tainted = true
	}
	if e.mirrored {
		b.writes = true
		b.last = len(b.entries)
	}
	b.entries = append(b.entries, e)
}

// lockFor adds the locks that a command needs, and reports whether the other side must hear
// of it.
func (b *batch) lockFor(t *trait, args [][]byte) bool {
	if !t.write {
		return false
	}
	if b.everything(t, args) {
		b.alone = true
		return true
	}
	if t.treatment(args) == effect.Local {
		return false
	}
	b.at = t.keys.Positions(args, b.at[:0])
	for _, i := range b.at {
		b.stripes = b.stripes.add(args[i])
	}
	return true
}

// executeBatch sends the batch to the deciding side, passes the replies, and brings what it
// wrote to the other side.
func (s *session) executeBatch() {
	b := &s.batch
	if len(b.entries) == 0 {
		return
	}
	p := s.p
	p.gate.RLock()
	if b.alone && p.follower != nil {
		p.gate.RUnlock()
		p.gate.Lock()
		defer p.gate.Unlock()
	} else {
		defer p.gate.RUnlock()
	}
	p.report.commands.Add(int64(len(b.entries)))
	if err := s.ensure(); err != nil {
		s.broken(err, len(b.entries))
		return
	}
	if s.orphaned && b.ends() {
		s.broken(errors.New("the mode was changed while keys were watched"), 1)
		return
	}
	raw := s.in.Pending()[b.entries[0].start:b.entries[len(b.entries)-1].end]
	locked := p.follower != nil && b.writes
	var held stripes
	if locked {
		held = p.locks.lock(b.stripes)
		s.hold = true
	}
	release := func() {
		if locked {
			locked, s.hold = false, false
			p.locks.unlock(held)
			s.uncount()
		}
	}
	defer release()
	if err := s.sendBatch(raw); err != nil {
		s.unanswered(0, len(s.out), err)
		return
	}
	for i := range b.entries {
		e := &b.entries[i]
		kind, err := s.reply(e)
		if err != nil {
			if i == 0 && !b.writes && !s.multi && !s.watching && s.retry(raw) {
				kind, err = s.reply(e)
			}
			if err != nil {
				s.unanswered(i, e.from, err)
				return
			}
		}
		if !s.after(e, kind) {
			s.lostFrom(i, nil)
			return
		}
		if i == b.last {
			s.mirror(i)
			release()
		}
	}
	if p.follower != nil && p.shadows() {
		s.shadow()
	}
	if b.writes && p.line.count.Load() > 0 {
		s.wake()
	}
}

// unanswered is what becomes of the commands from one on, of whose reply the client may have
// a part.
func (s *session) unanswered(from, begin int, err error) {
	b := &s.batch
	s.lostFrom(from, err)
	if e := &b.entries[from]; !s.locked && (e.flushes == s.flushes || begin == len(s.out)) {
		s.out = s.out[:begin]
	} else {
		s.quitting = true
	}
	if slices.ContainsFunc(b.entries, func(e entry) bool { return e.queued || e.t.special != ordinary }) {
		s.quitting = true
	}
	s.broken(err, len(b.entries)-from)
}

// ends reports whether EXEC is in the batch.
func (b *batch) ends() bool {
	return slices.ContainsFunc(b.entries, func(e entry) bool { return e.t.special == executes && e.mirrored })
}

func (s *session) sendBatch(raw []byte) error {
	s.back.Arm()
	if len(raw) > 1<<20 {
		s.back.Disarm() // it takes as long as the server is slow
	}
	_, err := s.back.Write(raw)
	s.back.Arm()
	return err
}

// retry sends reads again over a new connection: an idle one may have been closed.
func (s *session) retry(raw []byte) bool {
	if s.flushes > 0 || len(s.out) > s.batch.entries[0].from {
		return false
	}
	s.dropBack(false)
	return s.ensure() == nil && s.sendBatch(raw) == nil
}

// reply passes the reply of a command.
func (s *session) reply(e *entry) (kind resp.Kind, err error) {
	e.from, e.flushes = len(s.out), s.flushes
	for {
		if kind, err = s.back.Replies.Next(s); err != nil || kind != resp.KindPush {
			break
		}
		e.from, e.flushes = len(s.out), s.flushes
	}
	e.to = len(s.out)
	if s.locked && !s.hold { // a long reply is at its end
		s.wmu.Unlock()
		s.locked = false
		if len(s.out) > 0 {
			s.flush()
			s.flushes++
		}
	}
	return kind, err
}

// replyOf is the reply of a command that was answered; nil if it was too long to be kept.
func (s *session) replyOf(e *entry) []byte {
	if e.flushes != s.flushes {
		return nil
	}
	return s.out[e.from:e.to]
}

func (s *session) rawOf(e *entry) []byte { return s.in.Pending()[e.start:e.end] }

// argsOf are the arguments of a command again; they live until the next call.
func (s *session) argsOf(e *entry) [][]byte {
	args, _, _ := s.again.Next(s.rawOf(e))
	return args
}

// after follows what a reply says about the connection. It reports false if the deciding
// side and the proxy no longer agree whether MULTI is open.
func (s *session) after(e *entry, kind resp.Kind) bool {
	failed := kind == resp.KindError
	switch {
	case e.queued:
		if reply := s.replyOf(e); !failed && !bytes.Equal(reply, []byte("+QUEUED\r\n")) {
			s.p.log.Error("a command between MULTI and EXEC was not queued", "command", e.t.name)
			s.quitting = true
			return false
		}
		if !failed {
			s.bytes += e.end - e.start
			if s.bytes > limits.QueuedBytes {
				s.fail("ERR proxy: more than " + "64 MiB between MULTI and EXEC")
				s.quitting = true
				return false
			}
			s.queued = append(s.queued, queued{e.t, bytes.Clone(s.rawOf(e))})
		}
	case e.t.special == begins:
		s.multi = s.multi || !failed
	case e.t.special == executes && s.multi:
		e.block = s.queued
		s.endMulti()
	case e.t.special == discards && s.multi && !failed:
		s.endMulti()
	case e.t.special == watches && !failed:
		s.watching = true
	case e.t.special == unwatches && !failed && !s.multi:
		s.watching, s.orphaned = false, false
	case e.t.unknown && !failed && s.p.follower != nil:
		s.p.report.unmirrored(s.argsOf(e)[0])
	}
	return true
}

func (s *session) endMulti() {
	s.multi, s.watching, s.orphaned = false, false, false
	s.queued, s.bytes = nil, 0
}

// mirror brings the writes up to the last one to the other side, if there is one.
func (s *session) mirror(last int) {
	b, p := &s.batch, s.p
	if p.follower == nil {
		return
	}
	o := &b.outcome
	o.begin(p, s.db, s.proto)
	o.arena = make([]byte, 0, b.entries[last].end-b.entries[0].start+len(s.out))
	for i := range b.entries[:last+1] {
		e := &b.entries[i]
		if !e.mirrored || e.t.unknown {
			continue
		}
		reply := s.replyOf(e)
		switch {
		case e.t.special != executes:
			o.add(&executed{t: e.t, args: s.argsOf(e), raw: s.rawOf(e), reply: reply, lost: reply == nil})
		case reply == nil:
			s.lostQueue(e.block, "a long reply")
		case len(e.block) > 0:
			o.block(e.block, reply)
		}
	}
	o.finish(p.follower)
}

// learn remembers the text of a script.
func (p *Proxy) learn(name string, args [][]byte) {
	switch {
	case name == "eval" && len(args) > 1:
		p.scripts.learn(args[1])
	case name == "script|load" && len(args) > 2:
		p.scripts.learn(args[2])
	}
}

// lostFrom marks what nobody knows the outcome of, from a command of the batch on.
func (s *session) lostFrom(from int, err error) {
	p := s.p
	if p.follower == nil {
		return
	}
	if last := s.batch.last; last >= 0 && from > 0 && from <= last {
		s.mirror(from - 1)
	}
	for i := from; i < len(s.batch.entries); i++ {
		e := &s.batch.entries[i]
		if e.t.special == executes && e.mirrored {
			s.lostQueue(append(e.block, s.queued...), errorText(err))
		} else if e.mirrored || e.queued && e.t.write {
			p.lost(&item{raw: s.rawOf(e), db: s.db, t: e.t}, err)
		}
	}
}

// lostQueue marks what is between MULTI and EXEC.
func (s *session) lostQueue(block []queued, why string) {
	for i := range block {
		q := &block[i]
		if places := s.p.placesIn(q.raw, s.db); q.t.write && len(places) > 0 {
			s.p.markAll(places, 0, "the outcome of EXEC is not known: "+why)
		} else if q.t.write {
			s.p.incomplete("the outcome of EXEC with " + q.t.name + " is not known: " + why)
		}
	}
}

// wake tells who waits for the keys that were written.
func (s *session) wake() {
	p := s.p
	for i := range s.batch.entries {
		e := &s.batch.entries[i]
		if !e.mirrored && !e.queued {
			continue
		}
		if how := effect.Treat(e.t.name, nil); how == effect.Script || how == effect.Everywhere || e.t.special == executes || e.t.unknown {
			p.line.swept.Store(true)
		}
		args := s.argsOf(e)
		for _, k := range e.t.keys.Positions(args, nil) {
			p.line.wake(place{s.db, string(args[k])})
		}
	}
}

// shadows reports whether reads are compared.
func (p *Proxy) shadows() bool {
	return p.mode == DualWriteShadow || p.mode == StrataPrimary && p.cfg.Shadow
}

// shadow sends reads to the other side, too, to be compared, where there is room for it.
func (s *session) shadow() {
	p := s.p
	f := p.follower
	var items []item
	complete, _ := p.completeness()
	for i := range s.batch.entries {
		e := &s.batch.entries[i]
		if e.queued || e.mirrored || e.t.write || e.t.special != ordinary || e.t.unknown || compare.Ignored(e.t.name) {
			continue
		}
		p.report.reads.Add(1)
		if n := p.sample.Add(1); p.cfg.ShadowEvery > 1 && n%uint64(p.cfg.ShadowEvery) != 0 {
			continue
		}
		reply := s.replyOf(e)
		if !complete || reply == nil || len(reply) > limits.ProxyComparedBytes || e.end-e.start > limits.ProxyComparedBytes {
			p.report.shadow(e.t.name, shadowSkipped)
			continue
		}
		raw := s.rawOf(e)
		both := append(append(make([]byte, 0, len(raw)+len(reply)), raw...), reply...)
		items = append(items, item{kind: isShadow, raw: both[:len(raw):len(raw)], want: both[len(raw):], replies: 1, db: s.db, proto: s.proto, t: e.t})
	}
	if len(items) == 0 {
		return
	}
	if !f.up.Load() || !f.q.quiet() || !f.q.put(items, 0, nil) {
		for i := range items {
			p.report.shadow(items[i].t.name, shadowSkipped)
		}
	}
}
