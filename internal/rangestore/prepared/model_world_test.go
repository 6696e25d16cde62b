package prepared

import (
	"fmt"
	"slices"

	"github.com/stratadb/strata/internal/base"
)

// The model: two ranges of two keys each. A range is the real Table and Queue, a
// plain store of versions, and a log that moves in single events: sequence, close,
// stamp issued, stamp learned, committed by Raft, applied. Clients and those who
// recover transactions are step machines. Whoever picks the events (a seed, a
// search, a scenario file) decides everything; the model is a function of them.

const (
	rangeCount = 2
	keyCount   = 4
)

// keyMask is a set of keys, or of ranges.
type keyMask uint8

func (m keyMask) has(i int) bool { return m>>i&1 != 0 }

// of is the part of the keys that lies in range r.
func (m keyMask) of(r int) keyMask { return m & (3 << (2 * r)) }

// ranges is the set of ranges that the keys lie in.
func (m keyMask) ranges() (rs keyMask) {
	for r := range rangeCount {
		if m.of(r) != 0 {
			rs |= 1 << r
		}
	}
	return rs
}

func (m keyMask) first() int {
	for i := range keyCount {
		if m.has(i) {
			return i
		}
	}
	return 0
}

func (m keyMask) String() string {
	s := ""
	for i := range keyCount {
		if m.has(i) {
			s += " " + string(keyName(i))
		}
	}
	return s
}

func keyName(i int) []byte { return []byte{"aabb"[i], "1212"[i]} }

func keyIndex(key []byte) int { return int(key[0]-'a')*2 + int(key[1]-'1') }

func rangeName(r int) string { return "ab"[r : r+1] }

// rangeSpan is the span of all the keys of a range.
func rangeSpan(r int) base.Span {
	return base.Span{Start: []byte{"ab"[r], '1'}, End: []byte{"ab"[r], '3'}}
}

// values are what the keys hold; zero means absent.
type values [keyCount]uint8

// version is a write to a key.
type version struct {
	value uint8
	stamp base.Stamp // zero while unknown
	pos   base.Position
}

// logBatch is a batch that is not applied yet.
type logBatch struct {
	phase   batchPhase
	stamp   base.Stamp // from phaseIssued on
	entries []logEntry
}

type batchPhase uint8

const (
	phaseOpen batchPhase = iota
	phaseClosed
	phaseIssued    // the oracle has issued the stamp; the range does not know it
	phaseProposed  // the range knows it
	phaseCommitted // by Raft; not applied
)

// logEntry is a transaction of a batch: writes to keys, or the payload of an Entry.
type logEntry struct {
	pos     base.Position
	payload []byte
	writes  keyMask
	value   uint8
}

// pending is a request that waits for a position: to be answered, or to be served again.
type pending struct {
	pos   base.Position
	req   request
	reply reply
	again bool
	lost  request // of again: to be served when pos is lost
}

// modelRange is a range.
type modelRange struct {
	table     *Table
	follower  *Table // applies what is committed, from bytes; nil in searches and with planted bugs
	versions  [2][]version
	term      int
	pos       base.Position // last sequenced
	committed base.Position // and applied
	batches   []logBatch
	queue     Queue
	parked    map[WaiterID]request
	pendings  []pending
	askers    []request // want to know about an undecided transaction
	nextID    WaiterID
}

// closed is the last position that is not in the open batch.
func (r *modelRange) closed() base.Position {
	if n := len(r.batches); n > 0 && r.batches[n-1].phase == phaseOpen {
		return r.batches[n-1].entries[0].pos - 1
	}
	return r.pos
}

// world is the whole model.
type world struct {
	faults  Faults
	oracle  base.Stamp
	cached  base.Stamp // Faults.CachedReadStamp
	ranges  [rangeCount]modelRange
	procs   []proc
	msgs    []request
	clock   int     // counts events, orders invocations and returns
	txns    int     // attempts so far
	over    []TxnID // settled, as committed at their anchors
	budget  budget
	seen    [eventKinds]int // how often events of each kind have happened
	retains int             // so far
	alarm   string          // what broke an assertion
	trace   func(string)
}

func newWorld(f Faults, follow bool) *world {
	w := &world{faults: f}
	for i := range w.ranges {
		w.ranges[i].table = New()
		w.ranges[i].parked = map[WaiterID]request{}
		if follow && f == (Faults{}) {
			w.ranges[i].follower = New()
		}
	}
	return w
}

func (w *world) logf(format string, args ...any) {
	if w.trace != nil {
		w.trace(fmt.Sprintf(format, args...))
	}
}

// fail is an assertion. A planted bug may break some; then the history has to tell.
func (w *world) fail(format string, args ...any) {
	if w.faults != (Faults{}) {
		return
	}
	if w.alarm == "" {
		w.alarm = fmt.Sprintf(format, args...)
		w.logf("ALARM %s", w.alarm)
	}
}

// stamp asks the oracle.
func (w *world) stamp() base.Stamp {
	w.oracle++
	return w.oracle
}

func (w *world) clone() *world {
	c := *w
	c.procs = slices.Clone(w.procs)
	c.msgs = slices.Clone(w.msgs)
	for i := range c.ranges {
		r := &c.ranges[i]
		r.table = r.table.Clone()
		r.batches = slices.Clone(r.batches)
		for b := range r.batches {
			r.batches[b].entries = slices.Clone(r.batches[b].entries)
		}
		for k := range r.versions {
			r.versions[k] = slices.Clone(r.versions[k])
		}
		r.queue.waiting = slices.Clone(r.queue.waiting)
		for q := range r.queue.waiting {
			r.queue.waiting[q].txn = slices.Clone(r.queue.waiting[q].txn)
		}
		parked := make(map[WaiterID]request, len(r.parked))
		for id, req := range r.parked {
			parked[id] = req
		}
		r.parked = parked
		r.pendings = slices.Clone(r.pendings)
		r.askers = slices.Clone(r.askers)
	}
	return &c
}

// Faults are the bugs that a test can plant, to prove that the checker sees them:
// the sloppy readings of the rules.
type Faults struct {
	IgnoreStampedTail      bool // latest read ignores a stamped write in flight
	NoReadLocks            bool
	SnapshotNoWait         bool // snapshot read does not wait for an unstamped batch
	ReadIgnoresLocks       bool // latest read ignores write locks
	PassUndecided          bool // latest read asks the anchor but passes an undecided lock
	ReplyBeforeCommit      bool
	AbortWithoutTombstone  bool // recovery aborts without the tombstone
	NegativeEarly          bool // failed SETNX answered early
	PrefetchStamp          bool // stamp issued for an open batch
	StampsOutOfOrder       bool
	CachedReadStamp        bool
	RecordUnconditional    bool // record not conditional on the held prepare
	LatePrepareAccepted    bool
	BlindWritePassesLock   bool
	PreparedBeforeCommit   bool // prepared answered before commit
	CommitStampEarly       bool // C asked before the last prepare
	ResolveByBatchStamp    bool // resolve judged by its batch's stamp
	UnknownIsOlder         bool // unknown stamp counts as older
	SkipReadOnly           bool // read-only participant skipped
	ReadOnlyClosureTrusted bool // read-only closure not validated
	PlainWaiting           bool // instead of wait-die
	ConcludeUnstamped      bool // C asked at the anchor while what lies before has no stamp
}
