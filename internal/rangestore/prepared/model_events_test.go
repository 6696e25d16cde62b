package prepared

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"slices"

	"github.com/stratadb/strata/internal/base"
)

type eventKind uint8

const (
	evStep    eventKind = iota // a process goes on by itself
	evDeliver                  // a message arrives
	evCopy                     // a message arrives, and will arrive again
	evClose                    // a batch
	evIssue                    // its stamp, at the oracle
	evLearn                    // its stamp, at the range; it is proposed
	evCommit                   // by Raft
	evApply
	evLead    // another leader, who has what was proposed
	evLose    // another leader, who has what was committed only
	evCrash   // a coordinator
	evGiveUp  // a coordinator that is still preparing
	evRecover // somebody settles a transaction
	evRetain  // the horizons move
	eventKinds
)

// event is something that may happen next: to process, message, range or batch i.
type event struct {
	kind eventKind
	i, j int
	id   TxnID
}

// budget says how often the events that are faults, or retention, may happen. With
// an empty one everything comes to its end.
type budget [eventKinds]int

// events lists what may happen next.
func (w *world) events(list []event) []event {
	for i := range w.procs {
		p := &w.procs[i]
		if w.canStep(i) {
			list = append(list, event{kind: evStep, i: i})
		}
		if p.kind != opTxn || !p.live() {
			continue
		}
		if w.budget[evCrash] > 0 {
			list = append(list, event{kind: evCrash, i: i})
		}
		if p.state == stPreparing && w.budget[evGiveUp] > 0 {
			list = append(list, event{kind: evGiveUp, i: i})
		}
	}
	for i := range w.msgs {
		list = append(list, event{kind: evDeliver, i: i})
		if w.budget[evCopy] > 0 && w.msgs[i].kind == reqEntry {
			list = append(list, event{kind: evCopy, i: i})
		}
	}
	for i := range w.ranges {
		list = w.rangeEvents(list, i)
	}
	return w.recoveries(list)
}

func (w *world) rangeEvents(list []event, i int) []event {
	r := &w.ranges[i]
	issued := false
	for b := range r.batches {
		first := b == 0 || r.batches[b-1].phase > r.batches[b].phase
		switch r.batches[b].phase {
		case phaseOpen:
			list = append(list, event{kind: evClose, i: i})
		case phaseClosed:
			if !issued || w.faults.StampsOutOfOrder {
				list = append(list, event{kind: evIssue, i: i, j: b})
			}
			issued = true
		case phaseIssued:
			if first && (b == 0 || r.batches[b-1].phase >= phaseProposed) {
				list = append(list, event{kind: evLearn, i: i, j: b})
			}
		case phaseProposed:
			if b == 0 || r.batches[b-1].phase == phaseCommitted {
				list = append(list, event{kind: evCommit, i: i, j: b})
			}
		case phaseCommitted:
			if b == 0 {
				list = append(list, event{kind: evApply, i: i})
			}
		}
	}
	if len(r.batches) > 0 && w.budget[evLose] > 0 {
		list = append(list, event{kind: evLose, i: i})
	}
	if len(r.batches) > 0 && r.batches[0].phase == phaseProposed && w.budget[evLead] > 0 {
		list = append(list, event{kind: evLead, i: i})
	}
	if w.budget[evRetain] > 0 {
		list = append(list, event{kind: evRetain, i: i})
	}
	return list
}

// recoveries lists the transactions that somebody may settle: those that are held, records
// whose participants may hold them, and those that somebody asks about. Without a budget only those whose
// coordinator is gone.
func (w *world) recoveries(list []event) []event {
	free := w.budget[evRecover] > 0
	busy := map[TxnID]bool{}
	for i := range w.procs {
		if p := &w.procs[i]; p.live() && (p.kind == opRecover || p.kind == opTxn && !free) {
			busy[p.txn.ID] = true
		}
	}
	for i := range w.ranges {
		t := w.ranges[i].table
		for _, h := range t.HeldBefore(^base.Stamp(0)) {
			if !busy[h.ID] {
				busy[h.ID] = true
				list = append(list, event{kind: evRecover, i: i, id: h.ID})
			}
		}
		for _, f := range t.OpenRecords() {
			if !busy[f.ID] {
				busy[f.ID] = true
				list = append(list, event{kind: evRecover, i: i, id: f.ID})
			}
		}
		for _, q := range w.ranges[i].askers { // the prepare that it met may be lost
			if !busy[q.about.ID] {
				busy[q.about.ID] = true
				list = append(list, event{kind: evRecover, i: i, id: q.about.ID})
			}
		}
	}
	return list
}

// known is the transaction that somebody at a range has heard of.
func (r *modelRange) known(id TxnID) *Txn {
	if h := r.table.held[id]; h != nil {
		return &h.Txn
	}
	if f := r.table.fates[id]; f != nil && f.Open != nil {
		return f.Open
	}
	for _, q := range r.askers {
		if q.about.ID == id {
			return &q.about.Txn
		}
	}
	return nil
}

// do makes an event happen.
func (w *world) do(e event) {
	w.clock++
	w.seen[e.kind]++
	if w.budget[e.kind] > 0 {
		w.budget[e.kind]--
	}
	switch e.kind {
	case evStep:
		w.step(e.i)
	case evDeliver, evCopy:
		q := w.msgs[e.i]
		if e.kind == evDeliver {
			w.msgs = slices.Delete(slices.Clone(w.msgs), e.i, e.i+1)
		}
		w.serve(q)
	case evCrash:
		p := &w.procs[e.i]
		w.logf("%s crashes", p.op.name)
		p.state = stDone
		w.end(p, unknown)
	case evGiveUp:
		w.abort(e.i)
	case evRecover:
		w.recover(w.ranges[e.i].known(e.id))
	case evRetain:
		w.retain(e.i)
	default:
		w.moveLog(e)
	}
}

// moveLog is what happens to the log of a range.
func (w *world) moveLog(e event) {
	r := &w.ranges[e.i]
	switch e.kind {
	case evLead:
		w.changeLeader(e.i, phaseProposed)
	case evLose:
		w.changeLeader(e.i, phaseCommitted)
	case evApply:
		w.applyBatch(e.i)
	case evClose:
		r.batches[len(r.batches)-1].phase = phaseClosed
	case evIssue:
		b := &r.batches[e.j]
		if b.stamp == 0 {
			b.stamp = w.stamp()
			w.logf("%s: stamp %d is issued", rangeName(e.i), b.stamp)
		}
		b.phase = phaseIssued
	case evLearn:
		r.batches[e.j].phase = phaseProposed
		r.setStamp(&r.batches[e.j])
	case evCommit:
		r.batches[e.j].phase = phaseCommitted
	}
}

// setStamp tells versions and locks of a batch their stamp.
func (r *modelRange) setStamp(b *logBatch) {
	first, last := b.entries[0].pos, b.entries[len(b.entries)-1].pos
	for k := range r.versions {
		r.versions[k] = slices.Clone(r.versions[k])
		for i := range r.versions[k] {
			if v := &r.versions[k][i]; v.pos >= first && v.pos <= last && v.stamp == 0 {
				v.stamp = b.stamp
			}
		}
	}
	r.table.SetStamp(last, b.stamp)
}

// applyBatch moves the boundary over the oldest batch.
func (w *world) applyBatch(ri int) {
	r := &w.ranges[ri]
	b := r.batches[0]
	r.batches = slices.Clone(r.batches[1:])
	r.committed = b.entries[len(b.entries)-1].pos
	r.table.Commit(r.committed)
	w.noteSettled(&b)
	w.follow(ri, &b)
	var ready, waiting []pending
	for _, p := range r.pendings {
		if p.pos <= r.committed {
			ready = append(ready, p)
		} else {
			waiting = append(waiting, p)
		}
	}
	r.pendings = waiting
	for _, p := range ready {
		w.finish(p)
	}
}

// noteSettled remembers the transactions of which nobody may hold a prepare any more.
func (w *world) noteSettled(b *logBatch) {
	for _, e := range b.entries {
		if entry, err := Decode(e.payload); err == nil {
			if s, ok := entry.(*Settled); ok {
				w.over = append(slices.Clip(w.over), s.ID)
			}
		}
	}
}

// follow applies a committed batch to the follower, which must then write the
// same bytes as the leader.
func (w *world) follow(ri int, b *logBatch) {
	r := &w.ranges[ri]
	if r.follower == nil {
		return
	}
	last := base.Position(0)
	for _, e := range b.entries {
		last = e.pos
		if e.payload == nil {
			continue
		}
		entry, err := Decode(e.payload)
		if err == nil {
			_, err = r.follower.Apply(e.pos, entry)
		}
		if err != nil {
			w.fail("follower: %v", err)
		}
	}
	r.follower.SetStamp(last, b.stamp)
	r.follower.Commit(last)
	if !bytes.Equal(r.follower.Append(nil), r.table.Append(nil)) {
		w.fail("%s: leader and follower differ", rangeName(ri))
	}
}

// changeLeader drops what is not in the new leader's log: the batches below phase.
func (w *world) changeLeader(ri int, phase batchPhase) {
	r := &w.ranges[ri]
	survivors, lost := r.batches, r.pendings
	for i := range survivors {
		if survivors[i].phase < phase {
			survivors = survivors[:i]
			break
		}
	}
	w.logf("%s: another leader keeps %d of %d batches", rangeName(ri), len(survivors), len(r.batches))
	r.table.DropTail()
	if r.follower != nil {
		t, err := DecodeTable(r.follower.Append(nil))
		if err != nil || !bytes.Equal(t.Append(nil), r.table.Append(nil)) {
			w.fail("%s: the follower takes over another state: %v", rangeName(ri), err)
			return
		}
		r.table = t
	}
	for k := range r.versions {
		r.versions[k] = slices.DeleteFunc(slices.Clone(r.versions[k]), func(v version) bool { return v.pos > r.committed })
	}
	r.term++
	r.pos, r.batches, r.pendings = r.committed, nil, nil
	w.msgs = append(w.msgs, r.askers...)
	r.askers = nil
	for i := range survivors {
		b := &survivors[i]
		for j := range b.entries {
			r.pos = b.entries[j].pos
			w.install(r, &b.entries[j])
		}
		r.setStamp(b)
		r.batches = []logBatch{*b}
		w.applyBatch(ri)
	}
	w.wake(r, r.queue.Drain())
	for _, p := range lost {
		w.lose(p)
	}
}

// lose is about a request whose answer waited for a position of an earlier leader:
// the outcome of a write is unknown (R3), everything else is asked again.
func (w *world) lose(p pending) {
	q := p.req
	switch {
	case p.again:
		q = p.lost
	case q.kind == reqCommit && q.closure && q.writes == 0:
		w.answer(q, reply{err: base.ErrConflict})
		return
	case q.kind == reqCommit && p.reply.err == nil:
		w.answer(q, reply{unknown: true})
		return
	case q.kind == reqConclude && p.reply.fate != nil:
		w.answer(q, reply{unknown: true})
		return
	case q.kind == reqEntry:
		if rec, ok := q.entry.(*Record); ok && rec.Commit != 0 {
			w.answer(q, reply{unknown: true})
			return
		}
	}
	w.msgs = append(w.msgs, q)
}

// retain moves the horizons of a range: prepares that began before now are too
// old; what began before every range refuses so old ones may be forgotten, unless
// somebody holds a prepare of it and no open record protects it.
func (w *world) retain(ri int) {
	want := Retain{Refuse: w.oracle, Forget: w.oracle}
	var committed [rangeCount]*Table
	for i := range w.ranges {
		committed[i] = w.ranges[i].table.Clone()
		committed[i].DropTail()
		want.Forget = min(want.Forget, committed[i].retain.Refuse)
	}
	for i := range w.ranges {
		for _, t := range []*Table{w.ranges[i].table, committed[i]} {
			for _, h := range t.held {
				f := committed[w.anchor(&h.Txn)].fates[h.ID]
				if (f == nil || f.Open == nil) && !slices.Contains(w.over, h.ID) {
					want.Forget = min(want.Forget, h.Begin)
				}
			}
		}
	}
	r := &w.ranges[ri]
	if e, ok := r.table.CheckRetain(want); ok {
		w.sequence(ri, logEntry{payload: e.Append(nil)})
		w.logf("%s: refuses what began before %d, forgets before %d", rangeName(ri), e.Refuse, e.Forget)
	}
}

// finalState are the values in the end.
func (w *world) finalState() (final values) {
	for i := range keyCount {
		final[i] = w.ranges[i/2].latest(i).value
	}
	return final
}

// history are the operations of the clients.
func (w *world) history() (ops []historyOp) {
	for i := range w.procs {
		if p := &w.procs[i]; p.kind != opRecover {
			ops = append(ops, p.op)
			if !p.op.ended {
				ops[len(ops)-1].outcome = unknown
			}
		}
	}
	return ops
}

// verdict is what is wrong in the end: an assertion, an operation that runs, a
// lock that is held, or a history without order.
func (w *world) verdict() error {
	if w.alarm != "" {
		return fmt.Errorf("assertion: %s", w.alarm)
	}
	for i := range w.procs {
		if p := &w.procs[i]; p.live() || !p.op.ended && p.kind != opRecover {
			return fmt.Errorf("liveness: %s is in state %d", p.op.name, p.state)
		}
	}
	for i := range w.ranges {
		r := &w.ranges[i]
		if !r.table.Empty() || r.queue.Len() > 0 || len(r.table.OpenRecords()) > 0 || r.table.locks.order.Len()+r.table.locks.fragments.Len() > 0 {
			return fmt.Errorf("liveness: locks, waiters or open records remain in range %s", rangeName(i))
		}
	}
	return checkHistory(w.history(), w.finalState())
}

// scheduler picks events by weights: of the kind, of the range, of the process.
type scheduler struct {
	rnd    *rand.Rand
	kinds  [eventKinds]float64
	ranges [rangeCount]float64
	procs  [16]float64
	list   []event
	weight []float64
}

func (s *scheduler) draw(steps int) float64 { return float64(int(1) << s.rnd.IntN(steps)) }

func newScheduler(rnd *rand.Rand) *scheduler {
	s := &scheduler{rnd: rnd}
	for k := range s.kinds {
		s.kinds[k] = 64 * s.draw(7)
	}
	for _, rare := range []eventKind{evLead, evLose, evCrash, evGiveUp, evRecover, evRetain, evCopy} {
		s.kinds[rare] = s.draw(7) / 4
	}
	s.turn()
	return s
}

// turn draws new weights of ranges and processes: who was fast may become slow.
func (s *scheduler) turn() {
	for r := range s.ranges {
		s.ranges[r] = s.draw(6)
	}
	for p := range s.procs {
		s.procs[p] = s.draw(8)
	}
}

func (s *scheduler) weigh(w *world, e event) float64 {
	x := s.kinds[e.kind]
	switch e.kind {
	case evStep, evCrash, evGiveUp:
		return x * s.procs[e.i%len(s.procs)]
	case evDeliver, evCopy:
		q := &w.msgs[e.i]
		return x * s.procs[q.proc%len(s.procs)] * s.ranges[q.rng]
	case evRecover:
		return x * 16
	}
	return x * s.ranges[e.i] * 8
}

// next makes one event happen; false when nothing can.
func (s *scheduler) next(w *world) bool {
	s.list = w.events(s.list[:0])
	if len(s.list) == 0 {
		return false
	}
	if s.rnd.IntN(16) == 0 {
		s.turn()
	}
	s.weight = s.weight[:0]
	total := 0.0
	for _, e := range s.list {
		x := s.weigh(w, e)
		total += x
		s.weight = append(s.weight, x)
	}
	at := s.rnd.Float64() * total
	pick := 0
	for pick < len(s.list)-1 && at >= s.weight[pick] {
		at -= s.weight[pick]
		pick++
	}
	w.do(s.list[pick])
	return true
}
