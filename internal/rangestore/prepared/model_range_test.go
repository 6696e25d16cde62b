package prepared

import (
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

type requestKind uint8

const (
	reqCommit   requestKind = iota // a transaction of one range
	reqRead                        // latest read
	reqSnapshot                    // read at s
	reqEntry                       // prepare, record, resolve, settled
	reqAsk                         // how did the transaction of entry end?
	reqGoOn                        // a closure that waited may go on
	reqConclude                    // prepare, C, record and resolve in one step
)

// request is a message to a range.
type request struct {
	kind    requestKind
	proc    int
	txn     TxnID // of the attempt that sent it
	rng     int
	reads   keyMask
	span    bool // reads are a span
	writes  keyMask
	value   uint8
	setnx   bool
	closure bool
	s       base.Stamp
	entry   Entry

	asks      bool       // asks the anchor rather than waits (latest reads)
	about     *Held      // on its way to the anchor, on behalf of this holder
	home      int        // and back to this range
	known     []decision // what the anchor has said
	forgotten TxnID      // what it did not remember
}

// decision is how a transaction ended.
type decision struct {
	id     TxnID
	commit base.Stamp
}

func (q *request) decided(id TxnID) (commit base.Stamp, ok bool) {
	for _, d := range q.known {
		if d.id == id {
			return d.commit, true
		}
	}
	return 0, false
}

// readSet is the keys and spans that a mask stands for.
func readSet(r int, m keyMask, span bool) (keys [][]byte, spans []base.Span) {
	if span && m.of(r) != 0 {
		return nil, []base.Span{rangeSpan(r)}
	}
	for i := range keyCount {
		if m.of(r).has(i) {
			keys = append(keys, keyName(i))
		}
	}
	return keys, nil
}

// mutations are the writes of a mask; zero clears, and the whole range at once.
func mutations(r int, m keyMask, value uint8) (muts []base.Mutation) {
	if value == 0 && m.of(r) == keyMask(3).of(0)<<(2*r) {
		s := rangeSpan(r)
		return []base.Mutation{{Op: base.OpClearRange, Key: s.Start, Value: s.End}}
	}
	for i := range keyCount {
		switch {
		case m.of(r).has(i) && value == 0:
			muts = append(muts, base.Mutation{Op: base.OpClear, Key: keyName(i)})
		case m.of(r).has(i):
			muts = append(muts, base.Mutation{Op: base.OpSet, Key: keyName(i), Value: []byte{value}})
		}
	}
	return muts
}

// reply is what a request gets.
type reply struct {
	unknown bool
	err     error
	got     values
	fate    *Fate
	status  Status
}

// serve handles a request that has arrived.
func (w *world) serve(q request) {
	switch {
	case q.about != nil:
		w.serveAbout(q)
	case q.kind == reqCommit:
		w.serveCommit(q)
	case q.kind == reqRead:
		w.serveRead(q)
	case q.kind == reqSnapshot:
		w.serveSnapshot(q)
	case q.kind == reqGoOn:
		w.procs[q.proc].state = stClosure
	case q.kind == reqAsk:
		w.serveAsk(q)
	case q.kind == reqConclude:
		w.serveConclude(q)
	default:
		w.serveEntry(q)
	}
}

// park lets the request wait for the holders.
func (w *world) park(q request, holders []*Held) {
	r := &w.ranges[q.rng]
	r.nextID++
	r.queue.Wait(r.nextID, holders)
	r.parked[r.nextID] = q
	w.logf("%s: %s waits for %s", rangeName(q.rng), w.describe(&q), w.txnName(holders[0].ID))
}

// wake sends those who may ask again.
func (w *world) wake(r *modelRange, ids []WaiterID) {
	for _, id := range ids {
		w.msgs = append(w.msgs, r.parked[id])
		delete(r.parked, id)
	}
}

// after answers when pos is applied.
func (w *world) after(pos base.Position, q request, rep reply) {
	w.await(pending{pos: pos, req: q, reply: rep})
}

// again serves then when pos is applied, and q when pos is lost.
func (w *world) again(pos base.Position, q, then request) {
	w.await(pending{pos: pos, req: then, again: true, lost: q})
}

func (w *world) await(p pending) {
	r := &w.ranges[p.req.rng]
	if p.again {
		r = &w.ranges[p.lost.rng]
	}
	if p.pos <= r.committed {
		w.finish(p)
		return
	}
	r.pendings = append(r.pendings, p)
}

func (w *world) finish(p pending) {
	if p.again {
		w.msgs = append(w.msgs, p.req)
		return
	}
	w.answer(p.req, p.reply)
}

// sequence gives a transaction the next position.
func (w *world) sequence(ri int, e logEntry) base.Position {
	r := &w.ranges[ri]
	if n := len(r.batches); n == 0 || r.batches[n-1].phase != phaseOpen {
		b := logBatch{}
		if w.faults.PrefetchStamp {
			b.stamp = w.stamp()
			w.logf("%s: batch opens with stamp %d", rangeName(ri), b.stamp)
		}
		r.batches = append(r.batches, b)
	}
	r.pos++
	e.pos = r.pos
	b := &r.batches[len(r.batches)-1]
	b.entries = append(slices.Clip(b.entries), e)
	w.install(r, &e)
	return r.pos
}

// install makes the change of a log entry.
func (w *world) install(r *modelRange, e *logEntry) {
	for i := range keyCount {
		if e.writes.has(i) {
			r.write(i, version{value: e.value, pos: e.pos})
		}
	}
	if e.payload == nil {
		return
	}
	entry, err := Decode(e.payload)
	if err != nil {
		w.fail("%v", err)
		return
	}
	effect, err := w.apply(r.table, e.pos, entry)
	if err != nil {
		w.fail("%v", err)
	}
	for i := range effect.Mutations {
		m := &effect.Mutations[i]
		v := version{pos: e.pos, stamp: effect.Commit}
		if w.faults.ResolveByBatchStamp {
			v.stamp = 0
		}
		if m.Op == base.OpClearRange {
			r.write(keyIndex(m.Key), v)
			r.write(keyIndex(m.Key)+1, v)
			continue
		}
		if m.Op == base.OpSet {
			v.value = m.Value[0]
		}
		r.write(keyIndex(m.Key), v)
	}
	if effect.Released != nil {
		w.wake(r, r.queue.Gone(effect.Released.ID))
	}
	w.msgs = append(w.msgs, r.askers...)
	r.askers = nil
}

// apply is Table.Apply, made to swallow what a planted bug lets through.
func (w *world) apply(t *Table, pos base.Position, e Entry) (Effect, error) {
	if r, ok := e.(*Record); ok && w.faults.RecordUnconditional && t.held[r.ID] == nil && t.fates[r.ID] == nil {
		t.remember(pos, r.ID)
		t.fates[r.ID] = &Fate{ID: r.ID, Begin: r.Begin, Commit: r.Commit, Open: &r.Txn, Pos: pos}
		return Effect{}, nil
	}
	if p, ok := e.(*Prepare); ok && w.faults.LatePrepareAccepted {
		delete(t.fates, p.ID)
	}
	return t.Apply(pos, e)
}

func (r *modelRange) write(key int, v version) {
	list := &r.versions[key%2]
	*list = append(slices.Clip(*list), v)
}

// serveCommit validates and sequences a transaction of one range (C4, C7).
func (w *world) serveCommit(q request) {
	r := &w.ranges[q.rng]
	muts := mutations(q.rng, q.writes, q.value)
	keys, spans := readSet(q.rng, q.reads, q.span)
	var stop []*Held
	if q.reads != 0 || q.setnx || !w.faults.BlindWritePassesLock {
		stop = r.table.StopsWrite(muts)
	}
	if stop = append(stop, r.table.StopsRead(keys, spans)...); len(stop) > 0 {
		w.park(q, distinct(stop))
		return
	}
	if q.setnx {
		if v := r.latest(q.writes.first()); v.value != 0 {
			rep := reply{err: errPresent}
			if w.faults.NegativeEarly {
				w.answer(q, rep)
			} else {
				w.after(v.pos, q, rep)
			}
			return
		}
	}
	if q.reads != 0 {
		if err := (modelVersions{w, q.rng}).Validate(q.s, keys, spans); err != nil {
			w.answer(q, reply{err: err})
			return
		}
	}
	pos := w.sequence(q.rng, logEntry{writes: q.writes, value: q.value})
	w.logf("%s: %s at position %d", rangeName(q.rng), w.describe(&q), pos)
	if w.faults.ReplyBeforeCommit {
		w.answer(q, reply{})
		return
	}
	w.after(pos, q, reply{})
}

var errPresent = errors.New("the key is present")

// latest is the newest version of a key.
func (r *modelRange) latest(key int) version {
	return r.latestBut(key, func(version) bool { return false })
}

// latestBut is the newest version of a key but for those to skip.
func (r *modelRange) latestBut(key int, skip func(version) bool) version {
	for _, v := range slices.Backward(r.versions[key%2]) {
		if !skip(v) {
			return v
		}
	}
	return version{}
}

// modelVersions implements Versions.
type modelVersions struct {
	w   *world
	rng int
}

var _ Versions = modelVersions{}

func (m modelVersions) Validate(s base.Stamp, keys [][]byte, spans []base.Span) error {
	for i := range keyCount {
		covered := false
		for _, k := range keys {
			covered = covered || keyIndex(k) == i
		}
		for _, x := range spans {
			covered = covered || x.Contains(keyName(i))
		}
		if !covered {
			continue
		}
		for _, v := range m.w.ranges[m.rng].versions[i%2] {
			if v.stamp > s || v.stamp == 0 && !m.w.faults.UnknownIsOlder {
				return base.ErrConflict
			}
		}
	}
	return nil
}

// undecided are the holders of which the request knows nothing yet.
func (q *request) undecided(holders []*Held) []*Held {
	return slices.DeleteFunc(slices.Clone(holders), func(h *Held) bool { _, ok := q.decided(h.ID); return ok })
}

// toAnchor sends the request to the anchor of a holder.
func (w *world) toAnchor(q request, h *Held) {
	if h.ID == q.forgotten {
		w.fail("%s is held and forgotten", w.txnName(h.ID))
		return
	}
	q.about, q.home = h, q.rng
	q.rng = keyIndex(h.Anchor) / 2
	w.msgs = append(w.msgs, q)
	w.logf("%s: %s asks the anchor of %s", rangeName(q.home), w.describe(&q), w.txnName(h.ID))
}

// serveAbout answers, at the anchor, how a holder ended (C5).
func (w *world) serveAbout(q request) {
	r := &w.ranges[q.rng]
	status, fate := r.table.Ask(q.about.ID, q.about.Begin)
	then, d := q, decision{id: q.about.ID}
	pos := base.Position(0)
	switch status {
	case Undecided:
		if q.kind != reqRead || !w.faults.PassUndecided {
			r.askers = append(r.askers, q)
			return
		}
	case Forgotten: // it is over, unless it is still held when the reader is back
		then.forgotten = q.about.ID
	default:
		d.commit, pos = fate.Commit, fate.Pos
	}
	if then.forgotten != d.id {
		then.known = append(slices.Clip(q.known), d)
	}
	then.rng, then.about = q.home, nil
	w.again(pos, q, then)
}

// overlay is the value that a decided holder leaves under a key, for a read at s
// (zero: latest).
func (q *request) overlay(holders []*Held, key int, s base.Stamp) (value uint8, ok bool) {
	for _, h := range holders {
		commit, known := q.decided(h.ID)
		if !known || commit == 0 || s != 0 && commit > s {
			continue
		}
		if v, written := h.Written(keyName(key)); written {
			if len(v) > 0 {
				value = v[0]
			}
			return value, true
		}
	}
	return 0, false
}

func (w *world) serveRead(q request) {
	r := &w.ranges[q.rng]
	keys, spans := readSet(q.rng, q.reads, q.span)
	var holders []*Held
	if !w.faults.ReadIgnoresLocks {
		holders = r.table.StopsRead(keys, spans)
	}
	if open := q.undecided(holders); len(open) > 0 {
		if q.asks {
			w.toAnchor(q, open[0])
		} else {
			w.park(q, open)
		}
		return
	}
	var rep reply
	pos := base.Position(0)
	for i := range keyCount {
		if !q.reads.has(i) {
			continue
		}
		var ok bool
		if rep.got[i], ok = q.overlay(holders, i, 0); !ok {
			v := r.latestBut(i, func(v version) bool {
				return w.faults.IgnoreStampedTail && v.pos > r.committed && v.stamp != 0
			})
			rep.got[i] = v.value
			pos = max(pos, v.pos)
		}
	}
	if w.faults.ReplyBeforeCommit {
		pos = 0
	}
	w.after(pos, q, rep)
}

func (w *world) serveSnapshot(q request) {
	r := &w.ranges[q.rng]
	keys, spans := readSet(q.rng, q.reads, q.span)
	closed := r.closed()
	ask, wait := r.table.StopsSnapshot(q.s, closed, keys, spans)
	for i := range keyCount {
		if !q.reads.has(i) {
			continue
		}
		for _, v := range r.versions[i%2] {
			unknown := v.stamp == 0 && v.pos <= closed && !w.faults.SnapshotNoWait
			if v.pos > r.committed && (unknown || v.stamp != 0 && v.stamp <= q.s) {
				wait = max(wait, v.pos)
			}
		}
	}
	if wait != 0 {
		w.again(wait, q, q)
		return
	}
	if open := q.undecided(ask); len(open) > 0 {
		w.toAnchor(q, open[0])
		return
	}
	var rep reply
	for i := range keyCount {
		if !q.reads.has(i) {
			continue
		}
		var ok bool
		if rep.got[i], ok = q.overlay(ask, i, q.s); ok {
			continue
		}
		for _, v := range r.versions[i%2] {
			if v.pos <= r.committed && v.stamp <= q.s {
				rep.got[i] = v.value
			}
		}
	}
	w.answer(q, rep)
}

// serveAsk answers a coordinator that asks for its own record.
func (w *world) serveAsk(q request) {
	p := q.entry.(*Record)
	status, fate := w.ranges[q.rng].table.Ask(p.ID, p.Begin)
	rep := reply{status: status, fate: fate}
	if fate != nil {
		w.after(fate.Pos, q, rep)
	} else {
		w.answer(q, rep)
	}
}

// serveEntry decides about a prepare, a record, a resolve, or that all is settled.
func (w *world) serveEntry(q request) {
	r := &w.ranges[q.rng]
	a := w.check(q.rng, q.entry)
	rep := reply{err: a.Err, fate: a.Fate}
	switch a.Verdict {
	case Wait:
		w.park(q, a.Holders)
		return
	case Accept:
		entry := q.entry
		if p, ok := entry.(*Prepare); ok && w.faults.NoReadLocks {
			unlocked := *p
			unlocked.ReadKeys, unlocked.ReadSpans = nil, nil
			entry = &unlocked
		}
		a.Pos = w.sequence(q.rng, logEntry{payload: entry.Append(nil)})
		w.logf("%s: %s at position %d", rangeName(q.rng), w.describe(&q), a.Pos)
		if rec, ok := q.entry.(*Record); ok {
			rep.fate = r.table.fates[rec.ID]
			if r.table.held[rec.ID] != nil { // the transaction ends here at once
				end := &Resolve{ID: rec.ID, Begin: rec.Begin, Commit: rec.Commit}
				w.sequence(q.rng, logEntry{payload: end.Append(nil)})
			}
		}
	case Refuse:
		w.logf("%s: %s is refused: %v", rangeName(q.rng), w.describe(&q), a.Err)
	}
	_, prepare := q.entry.(*Prepare)
	if prepare && w.faults.PreparedBeforeCommit || w.faults.ReplyBeforeCommit {
		a.Pos = 0
	}
	w.after(a.Pos, q, rep)
}

var errBusy = errors.New("the anchor is busy")

// serveConclude ends a transaction that is prepared everywhere else, at its anchor.
func (w *world) serveConclude(q request) {
	r, p := &w.ranges[q.rng], q.entry.(*Prepare)
	a := w.check(q.rng, p)
	switch {
	case a.Verdict == Wait:
		w.park(q, a.Holders)
		return
	case a.Verdict != Accept:
		w.logf("%s: %s is refused: %v", rangeName(q.rng), w.describe(&q), a.Err)
		w.after(a.Pos, q, reply{err: a.Err})
		return
	case !r.stamped() && !w.faults.ConcludeUnstamped:
		w.answer(q, reply{err: errBusy})
		return
	}
	commit := w.stamp()
	pos := base.Position(0)
	for _, e := range []Entry{p, &Record{Txn: p.Txn, Commit: commit}, &Resolve{ID: p.ID, Begin: p.Begin, Commit: commit}} {
		pos = w.sequence(q.rng, logEntry{payload: e.Append(nil)})
	}
	w.logf("%s: %s at position %d, C=%d", rangeName(q.rng), w.describe(&q), pos, commit)
	if w.faults.ReplyBeforeCommit {
		pos = 0
	}
	w.after(pos, q, reply{fate: r.table.fates[p.ID]})
}

// stamped reports whether the range knows the stamps of all that is sequenced. What a resolve
// installs has its own.
func (r *modelRange) stamped() bool {
	for _, b := range r.batches {
		if b.phase >= phaseProposed {
			continue
		}
		for _, e := range b.entries {
			entry, err := Decode(e.payload)
			if _, resolves := entry.(*Resolve); err != nil || b.phase != phaseOpen || !resolves {
				return false
			}
		}
	}
	return true
}

func (w *world) check(ri int, e Entry) Answer {
	t := w.ranges[ri].table
	switch e := e.(type) {
	case *Prepare:
		a := t.CheckPrepare(e, modelVersions{w, ri})
		if w.faults.LatePrepareAccepted && errors.Is(a.Err, ErrOver) && len(t.stops(e)) == 0 && e.Begin >= t.retain.Refuse {
			return Answer{Verdict: Accept}
		}
		if w.faults.PlainWaiting && errors.Is(a.Err, ErrYounger) {
			return Answer{Verdict: Wait, Holders: t.stops(e)}
		}
		return a
	case *Record:
		a := t.CheckRecord(e)
		if w.faults.RecordUnconditional && e.Commit != 0 && a.Verdict == Refuse {
			return Answer{Verdict: Accept}
		}
		return a
	case *Resolve:
		a := t.CheckResolve(e)
		if a.Err != nil {
			w.fail("%v", a.Err)
		}
		return a
	}
	return t.CheckSettled(e.(*Settled))
}
