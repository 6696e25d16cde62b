package prepared

import (
	"fmt"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

type procKind uint8

const (
	opWrite   procKind = iota // blind write, or SETNX
	opRead                    // latest read of one range
	opTxn                     // reads at S, then writes: a snapshot read, one range, or several
	opClosure                 // latest reads of one range, then writes
	opRecover                 // settles somebody's transaction
)

type procState uint8

const (
	stIdle       procState = iota
	stWaiting              // for the answer to a single request
	stReading              // for the answers to the reads at S
	stPreparing            // for the answers to the prepares
	stPrepared             // has them all; the next step asks for C
	stConcluding           // for the anchor's answer; nobody gives up now
	stRecording            // for the answer to the record or the tombstone
	stAsking               // for the state of the own record
	stResolving            // for the answers to the resolves
	stSettling             // for the answer to Settled
	stClosure              // the next step reads, or commits
	stDone
)

// proc is a client's operation, or somebody who recovers a transaction.
type proc struct {
	kind     procKind
	state    procState
	op       historyOp
	behind   int // the operation that has to end first; -1: none
	attempts int // how often it may try

	reads, writes keyMask
	value         uint8
	span          bool
	setnx         bool
	asks          bool
	concludes     bool // the anchor is asked last, for everything at once

	txn      Txn // of the attempt
	s        base.Stamp
	commit   base.Stamp
	awaiting keyMask // ranges whose answer is missing
	outcome  base.Stamp
	recorded bool // a record may exist

	term       int // closure: of the first read
	firstRead  base.Position
	lookedAt   base.Position
	closureKey int
	anchorBusy bool // the anchor was asked to conclude, and prepares like the others
}

// live reports whether the process is busy with a transaction.
func (p *proc) live() bool { return p.state != stIdle && p.state != stDone }

func (w *world) txnName(id TxnID) string {
	for i := range w.procs {
		if p := &w.procs[i]; p.kind == opTxn && p.txn.ID == id {
			return p.op.name
		}
	}
	return fmt.Sprintf("attempt %d", id[0])
}

func (w *world) describe(q *request) string {
	name := w.procs[q.proc].op.name
	switch e := q.entry.(type) {
	case *Prepare:
		if q.kind == reqConclude {
			return "conclusion of " + name
		}
		return "prepare of " + name
	case *Record:
		if q.kind == reqAsk {
			return name + "'s question"
		}
		if e.Commit == 0 {
			return "tombstone of " + w.txnName(e.ID)
		}
		return "record of " + name
	case *Resolve:
		return "resolve of " + w.txnName(e.ID)
	case *Settled:
		return "settled of " + w.txnName(e.ID)
	}
	return name
}

// end tells the client.
func (w *world) end(p *proc, o outcome) {
	if !p.op.ended {
		p.op.outcome, p.op.ret, p.op.ended = o, w.clock, true
		w.logf("%v", &p.op)
	}
}

func (w *world) send(q request) { w.msgs = append(w.msgs, q) }

// canStep reports whether the process can go on by itself.
func (w *world) canStep(i int) bool {
	p := &w.procs[i]
	switch p.state {
	case stIdle:
		return p.behind < 0 || w.procs[p.behind].op.ended
	case stPrepared, stClosure:
		return true
	case stPreparing:
		return w.faults.CommitStampEarly && p.commit == 0
	}
	return false
}

// step is what a process does by itself.
func (w *world) step(i int) {
	p := &w.procs[i]
	switch p.state {
	case stIdle:
		p.op.invoked, p.op.invoke = true, w.clock
		p.op.writes, p.op.value = p.writes, p.value
		w.begin(i)
	case stClosure:
		w.stepClosure(i)
	case stPreparing: // Faults.CommitStampEarly
		p.commit = w.stamp()
		w.logf("%s: C=%d", p.op.name, p.commit)
	case stPrepared:
		if w.concludes(p) {
			p.state, p.recorded = stConcluding, true
			w.send(request{kind: reqConclude, proc: i, txn: p.txn.ID, rng: w.anchor(&p.txn), entry: w.prepareAt(p, w.anchor(&p.txn))})
			return
		}
		if p.commit == 0 {
			p.commit = w.stamp()
			w.logf("%s: C=%d", p.op.name, p.commit)
		}
		p.state, p.recorded = stRecording, true
		w.send(request{kind: reqEntry, proc: i, txn: p.txn.ID, rng: w.anchor(&p.txn), entry: &Record{Txn: p.txn, Commit: p.commit}})
	}
}

func (w *world) anchor(t *Txn) int { return keyIndex(t.Anchor) / 2 }

// readStamp asks for S.
func (w *world) readStamp() base.Stamp {
	if w.faults.CachedReadStamp {
		if w.cached == 0 {
			w.cached = w.stamp()
		}
		return w.cached
	}
	return w.stamp()
}

// begin starts an attempt.
func (w *world) begin(i int) {
	p := &w.procs[i]
	switch p.kind {
	case opWrite:
		p.state = stWaiting
		w.send(request{kind: reqCommit, proc: i, rng: p.writes.first() / 2, writes: p.writes, value: p.value, setnx: p.setnx})
	case opRead:
		p.state = stWaiting
		w.send(request{kind: reqRead, proc: i, rng: p.reads.first() / 2, reads: p.reads, span: p.span, asks: p.asks})
	case opClosure:
		p.state, p.closureKey, p.firstRead, p.lookedAt = stClosure, 0, 0, 0
		p.op.reads, p.op.got = 0, values{}
	case opTxn:
		w.beginTxn(i)
	}
}

func (w *world) beginTxn(i int) {
	p := &w.procs[i]
	w.txns++
	p.s = w.readStamp()
	p.txn = Txn{ID: TxnID{byte(w.txns)}, Begin: p.s, Priority: p.txn.Priority, Anchor: keyName(p.writes.first())}
	if p.txn.Priority == 0 {
		p.txn.Priority = p.s
	}
	p.commit, p.recorded, p.anchorBusy = 0, false, false
	p.op.reads, p.op.got = 0, values{}
	for r := range rangeCount {
		if (p.reads | p.writes).of(r) != 0 {
			p.txn.Participants = append(p.txn.Participants[:len(p.txn.Participants):len(p.txn.Participants)], rangeSpan(r))
		}
	}
	w.logf("%s: S=%d", p.op.name, p.s)
	p.state, p.awaiting = stReading, p.reads.ranges()
	for r := range rangeCount {
		if p.awaiting.has(r) {
			w.send(request{kind: reqSnapshot, proc: i, txn: p.txn.ID, rng: r, reads: p.reads.of(r), span: p.span, s: p.s})
		}
	}
	if p.awaiting == 0 {
		w.haveRead(i)
	}
}

// haveRead goes on when all reads at S are there.
func (w *world) haveRead(i int) {
	p := &w.procs[i]
	all := p.reads | p.writes
	switch {
	case p.writes == 0:
		p.state = stDone
		w.end(p, happened)
	case all.ranges()&(all.ranges()-1) == 0:
		p.state = stWaiting
		w.send(request{kind: reqCommit, proc: i, txn: p.txn.ID, rng: all.first() / 2, reads: p.reads, span: p.span, writes: p.writes, value: p.value, s: p.s})
	default:
		w.prepare(i)
	}
}

func (w *world) prepare(i int) {
	p := &w.procs[i]
	p.state, p.awaiting = stPreparing, (p.reads | p.writes).ranges()
	if w.faults.SkipReadOnly {
		p.awaiting = p.writes.ranges()
	}
	if w.concludes(p) {
		p.awaiting &^= 1 << w.anchor(&p.txn)
	}
	for r := range rangeCount {
		if p.awaiting.has(r) {
			w.send(request{kind: reqEntry, proc: i, txn: p.txn.ID, rng: r, entry: w.prepareAt(p, r)})
		}
	}
	if p.awaiting == 0 {
		p.state = stPrepared
	}
}

// concludes reports whether the anchor is not asked before all others are prepared.
func (w *world) concludes(p *proc) bool {
	return p.concludes && !p.anchorBusy && !w.faults.CommitStampEarly
}

// prepareAt is what range r is asked.
func (w *world) prepareAt(p *proc, r int) *Prepare {
	e := &Prepare{Txn: p.txn, ReadStamp: p.s, Mutations: mutations(r, p.writes, p.value)}
	e.ReadKeys, e.ReadSpans = readSet(r, p.reads, p.span)
	return e
}

// concluded takes the anchor's answer to reqConclude: how it ended, or that nothing was done.
func (w *world) concluded(q request, rep reply) {
	p := &w.procs[q.proc]
	switch {
	case p.state != stConcluding:
	case rep.unknown: // what was sequenced may be in the log
		p.state = stAsking
		w.sendRecord(q.proc, reqAsk, 0)
	case rep.fate != nil:
		w.decided(q.proc, rep.fate.Commit)
	case errors.Is(rep.err, errBusy):
		p.state, p.awaiting, p.anchorBusy, p.recorded = stPreparing, 1<<q.rng, true, false
		w.send(request{kind: reqEntry, proc: q.proc, txn: p.txn.ID, rng: q.rng, entry: q.entry})
	default:
		p.recorded = false
		w.abort(q.proc)
	}
}

// resolve tells the participants; commit zero aborts.
func (w *world) resolve(i int, commit base.Stamp) {
	p := &w.procs[i]
	p.outcome, p.state, p.awaiting = commit, stResolving, 0
	for _, s := range p.txn.Participants {
		r := keyIndex(s.Start) / 2
		p.awaiting |= 1 << r
		w.send(request{kind: reqEntry, proc: i, txn: p.txn.ID, rng: r, entry: &Resolve{ID: p.txn.ID, Begin: p.txn.Begin, Commit: commit}})
	}
}

// abort ends an attempt whose record was never asked for.
func (w *world) abort(i int) { w.resolve(i, 0) }

func (w *world) sendRecord(i int, kind requestKind, commit base.Stamp) {
	p := &w.procs[i]
	w.send(request{kind: kind, proc: i, txn: p.txn.ID, rng: w.anchor(&p.txn), entry: &Record{Txn: p.txn, Commit: commit}})
}

// recover starts somebody who settles a transaction.
func (w *world) recover(t *Txn) {
	i := len(w.procs)
	p := proc{kind: opRecover, behind: -1, txn: *t, recorded: true}
	p.op.name = fmt.Sprintf("R%d", i)
	w.procs = append(w.procs, p)
	w.logf("%s settles %s", p.op.name, w.txnName(t.ID))
	w.procs[i].state = stRecording
	if w.faults.AbortWithoutTombstone {
		w.procs[i].state = stAsking
		w.sendRecord(i, reqAsk, 0)
		return
	}
	w.sendRecord(i, reqEntry, 0)
}

// answer gives a process the reply to its request.
func (w *world) answer(q request, rep reply) {
	p := &w.procs[q.proc]
	if q.txn != p.txn.ID {
		return // of an earlier attempt
	}
	switch e := q.entry.(type) {
	case *Prepare:
		if q.kind == reqConclude {
			w.concluded(q, rep)
			return
		}
		w.prepared(q.proc, q.rng, rep)
	case *Record:
		w.recordAnswered(q, rep)
	case *Resolve:
		if p.state == stResolving && e.ID == p.txn.ID {
			w.resolved(q.proc, q.rng)
		}
	case *Settled:
		if p.state == stSettling {
			w.settled(q.proc)
		}
	default:
		w.readOrCommitted(q, rep)
	}
}

func (w *world) readOrCommitted(q request, rep reply) {
	p := &w.procs[q.proc]
	if q.kind == reqSnapshot && p.state == stReading && p.awaiting.has(q.rng) {
		p.awaiting &^= 1 << q.rng
		p.see(q.reads, rep.got)
		if p.awaiting == 0 {
			w.haveRead(q.proc)
		}
		return
	}
	if p.state != stWaiting {
		return
	}
	p.state = stDone
	switch {
	case rep.unknown:
		if p.setnx {
			p.op.reads = p.writes // if it happened, the key was absent
		}
		w.end(p, unknown)
	case errors.Is(rep.err, errPresent):
		p.op.present, p.op.writes = p.writes, 0
		w.end(p, happened)
	case rep.err != nil:
		w.retry(q.proc)
	default:
		if p.kind == opRead {
			p.see(q.reads, rep.got)
		}
		if p.setnx {
			p.op.reads = p.writes
		}
		w.end(p, happened)
	}
}

func (p *proc) see(m keyMask, got values) {
	p.op.reads |= m
	for i := range keyCount {
		if m.has(i) {
			p.op.got[i] = got[i]
		}
	}
}

// retry tries again, or gives up.
func (w *world) retry(i int) {
	p := &w.procs[i]
	p.attempts--
	if p.attempts <= 0 || p.op.ended {
		p.state = stDone
		w.end(p, declined)
		return
	}
	w.begin(i)
}

func (w *world) prepared(i, r int, rep reply) {
	p := &w.procs[i]
	if p.state != stPreparing || !p.awaiting.has(r) {
		return
	}
	if rep.err != nil {
		w.abort(i)
		return
	}
	p.awaiting &^= 1 << r
	w.logf("%s: prepared on %s", p.op.name, rangeName(r))
	if p.awaiting == 0 {
		p.state = stPrepared
	}
}

// recordAnswered settles the outcome, or finds it out (C2).
func (w *world) recordAnswered(q request, rep reply) {
	p := &w.procs[q.proc]
	asked := q.kind == reqAsk
	if asked != (p.state == stAsking) || !asked && p.state != stRecording {
		return
	}
	switch {
	case rep.unknown: // of the commit record: ask, never write another C
		p.state = stAsking
		w.sendRecord(q.proc, reqAsk, 0)
	case rep.fate != nil:
		w.decided(q.proc, rep.fate.Commit)
	case errors.Is(rep.err, ErrNotHeld):
		w.decided(q.proc, 0)
	case asked && rep.status == Undecided && w.faults.AbortWithoutTombstone && p.kind == opRecover:
		w.decided(q.proc, 0)
	case asked && rep.status == Undecided:
		p.state = stRecording
		w.sendRecord(q.proc, reqEntry, 0)
	default: // forgotten: all is settled, or else the alarm
		p.state = stDone
		w.end(p, unknown)
	}
}

func (w *world) decided(i int, commit base.Stamp) {
	p := &w.procs[i]
	if p.kind == opTxn && commit != 0 {
		w.end(p, happened)
	}
	w.resolve(i, commit)
}

func (w *world) resolved(i, r int) {
	p := &w.procs[i]
	if p.awaiting &^= 1 << r; p.awaiting != 0 {
		return
	}
	if !p.recorded {
		w.settled(i)
		return
	}
	p.state = stSettling
	w.send(request{kind: reqEntry, proc: i, txn: p.txn.ID, rng: w.anchor(&p.txn), entry: &Settled{ID: p.txn.ID}})
}

func (w *world) settled(i int) {
	p := &w.procs[i]
	p.state = stDone
	if p.kind == opTxn && p.outcome == 0 {
		w.retry(i)
	}
}

// stepClosure reads a key of a closure at the leader, or commits it (C8).
func (w *world) stepClosure(i int) {
	p := &w.procs[i]
	ri := (p.reads | p.writes).first() / 2
	r := &w.ranges[ri]
	if p.closureKey > 0 && p.term != r.term {
		w.begin(i)
		return
	}
	for k := 2 * ri; k < 2*ri+2; k++ {
		if !p.reads.has(k) || p.op.reads.has(k) {
			continue
		}
		if p.closureKey == 0 {
			p.term, p.firstRead = r.term, r.pos
		}
		if stop := r.table.StopsRead([][]byte{keyName(k)}, nil); len(stop) > 0 {
			p.state = stWaiting
			w.park(request{kind: reqGoOn, proc: i, rng: ri}, stop)
			return
		}
		p.closureKey++
		v := r.latest(k)
		p.op.reads |= 1 << k
		p.op.got[k] = v.value
		p.lookedAt = max(p.lookedAt, v.pos)
		return
	}
	w.commitClosure(i, ri)
}

func (w *world) commitClosure(i, ri int) {
	p, r := &w.procs[i], &w.ranges[ri]
	q := request{kind: reqCommit, proc: i, rng: ri, writes: p.writes, value: p.value, closure: true}
	keys, _ := readSet(ri, p.reads, false)
	stop := append(r.table.StopsRead(keys, nil), r.table.StopsWrite(mutations(ri, p.writes, p.value))...)
	conflict := len(stop) > 0
	for k := range keyCount {
		conflict = conflict || p.reads.has(k) && r.latest(k).pos > p.firstRead
	}
	if conflict && !(p.writes == 0 && w.faults.ReadOnlyClosureTrusted) {
		w.retry(i)
		return
	}
	p.state = stWaiting
	if p.writes == 0 {
		w.after(p.lookedAt, q, reply{})
		return
	}
	w.after(w.sequence(ri, logEntry{writes: p.writes, value: p.value}), q, reply{})
}
