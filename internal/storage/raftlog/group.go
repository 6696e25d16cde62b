package raftlog

import (
	"encoding/binary"
	"fmt"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Entry is an entry of a group's Raft log. Type is the caller's.
type Entry struct {
	Term  base.Term
	Index base.LogIndex
	Type  uint8
	Data  []byte
}

// HardState is what Raft must not forget: the term, the vote in it, the commit index.
type HardState struct {
	Term   base.Term
	Vote   base.ReplicaID
	Commit base.LogIndex
}

// Mark is the position below which a group's log is gone: the entry at Index had
// Term and is not stored any more.
type Mark struct {
	Index base.LogIndex
	Term  base.Term
}

// ref says where an entry is. It holds no pointer. A zero seg is a hole, which
// exists only during replay.
type ref struct {
	term base.Term
	seg  uint64
	off  uint32
	len  uint32 // of the data
	typ  uint8
}

func (r ref) recordLen() int64 { return recordLen(entryFixedLen + int(r.len)) }

// location is where the latest record of some state is.
type location struct {
	seg uint64
	len int64
}

// group is the state of one range's log. It is guarded by Log.mu.
type group struct {
	id        base.RangeID
	hard      HardState
	hardLoc   location // zero: never written
	mark      Mark
	markLoc   location
	first     base.LogIndex // of refs[0]; mark.Index+1 once replay has ended
	refs      []ref
	data      [][]byte // cached data, nil where it is not cached; as long as refs
	sizeBytes int64    // data of all refs
}

func (g *group) last() base.LogIndex { return g.first + base.LogIndex(len(g.refs)) - 1 }

// index is the place of i in refs; it must lie in [first, last].
func (g *group) index(i base.LogIndex) int { return int(i - g.first) }

// term is the term of the entry at i, or at the mark.
func (g *group) term(i base.LogIndex) (base.Term, error) {
	switch {
	case i == g.mark.Index:
		return g.mark.Term, nil
	case i < g.first:
		return 0, ErrCompacted
	case i > g.last():
		return 0, ErrUnavailable
	}
	return g.refs[g.index(i)].term, nil
}

// maxHoles bounds what replay believes about entries that it has not seen yet.
const maxHoles = 1 << 26

// extendTo makes room for index i, which may leave holes on either side; only
// replay, where a moved front comes after its tail, ever makes any.
func (g *group) extendTo(i base.LogIndex) error {
	switch {
	case len(g.refs) == 0:
		g.first = i
		g.refs, g.data = append(g.refs, ref{}), append(g.data, nil)
	case i < g.first:
		n := g.first - i
		if n > maxHoles {
			return errors.AssertionFailedf("range %d: entry %d is too far below %d", g.id, i, g.first)
		}
		g.refs = append(make([]ref, n, int(n)+len(g.refs)), g.refs...)
		g.data = append(make([][]byte, n, int(n)+len(g.data)), g.data...)
		g.first = i
	case i > g.last():
		n := i - g.last()
		if n > maxHoles {
			return errors.AssertionFailedf("range %d: entry %d is too far above %d", g.id, i, g.last())
		}
		for ; n > 0; n-- {
			g.refs, g.data = append(g.refs, ref{}), append(g.data, nil)
		}
	}
	return nil
}

// entryBody is the fixed part of an entry's record.
func putEntryFixed(b *[entryFixedLen]byte, r base.RangeID, e *Entry) {
	binary.LittleEndian.PutUint64(b[0:], uint64(r))
	binary.LittleEndian.PutUint64(b[8:], uint64(e.Index))
	binary.LittleEndian.PutUint64(b[16:], uint64(e.Term))
	b[24] = e.Type
}

func decodeEntry(body []byte) (r base.RangeID, e Entry) {
	r = base.RangeID(binary.LittleEndian.Uint64(body))
	e.Index = base.LogIndex(binary.LittleEndian.Uint64(body[8:]))
	e.Term = base.Term(binary.LittleEndian.Uint64(body[16:]))
	e.Type = body[24]
	e.Data = body[entryFixedLen:]
	return r, e
}

// table is the index of everything that is live: groups, lifecycle records and
// the count of live records of each segment. It knows no file and no lock; the
// live path and replay change it by the same methods.
type table struct {
	groups     map[base.RangeID]*group
	lifecycles []lifecycle // ascending by id
	nextID     LifecycleID
	segs       []*segment // ascending and contiguous by seq; the last ones may be unused
	cache      cache
}

func (t *table) group(r base.RangeID) *group {
	g := t.groups[r]
	if g == nil {
		g = &group{id: r, first: 1}
		t.groups[r] = g
	}
	return g
}

func (t *table) segment(seq uint64) *segment {
	if len(t.segs) == 0 || seq < t.segs[0].seq || seq-t.segs[0].seq >= uint64(len(t.segs)) {
		return nil
	}
	return t.segs[seq-t.segs[0].seq]
}

func (t *table) addLive(seq uint64, r base.RangeID, n int64) {
	s := t.segment(seq)
	s.liveBytes += n
	s.live[r]++
}

func (t *table) dropLive(seq uint64, r base.RangeID, n int64) {
	s := t.segment(seq)
	if s == nil || s.live[r] == 0 {
		panic(errors.AssertionFailedf("segment %d has no live record of range %d", seq, r))
	}
	s.liveBytes -= n
	if s.live[r]--; s.live[r] == 0 {
		delete(s.live, r)
	}
}

// dropRefs forgets the entries of g.refs[from:to]; the caller reslices.
func (t *table) dropRefs(g *group, from, to int) {
	for i := from; i < to; i++ {
		if r := &g.refs[i]; r.seg != 0 {
			t.dropLive(r.seg, g.id, r.recordLen())
			g.sizeBytes -= int64(r.len)
		}
		t.cache.drop(g, i)
	}
}

func (t *table) truncateFrom(g *group, i base.LogIndex) {
	if len(g.refs) == 0 || i > g.last() {
		return
	}
	keep := 0
	if i > g.first {
		keep = g.index(i)
	}
	t.dropRefs(g, keep, len(g.refs))
	g.refs, g.data = g.refs[:keep], g.data[:keep]
}

func (t *table) appendEntry(r base.RangeID, e *Entry, at ref) error {
	g := t.group(r)
	t.truncateFrom(g, e.Index)
	return t.placeEntry(g, e.Index, at)
}

// placeEntry stores the place of the entry at i, which may have had another one.
func (t *table) placeEntry(g *group, i base.LogIndex, at ref) error {
	if err := g.extendTo(i); err != nil {
		return err
	}
	old := &g.refs[g.index(i)]
	if old.seg != 0 {
		if old.term != at.term || old.len != at.len {
			return errors.AssertionFailedf("range %d: entry %d was moved as another one", g.id, i)
		}
		t.dropLive(old.seg, g.id, old.recordLen())
		g.sizeBytes -= int64(old.len)
	}
	*old = at
	t.addLive(at.seg, g.id, at.recordLen())
	g.sizeBytes += int64(at.len)
	return nil
}

func (t *table) setHard(r base.RangeID, hs HardState, at location) {
	g := t.group(r)
	if g.hardLoc.seg != 0 {
		t.dropLive(g.hardLoc.seg, r, g.hardLoc.len)
	}
	g.hard, g.hardLoc = hs, at
	t.addLive(at.seg, r, at.len)
}

// compact drops the entries up to m.Index; with reset, all of them.
func (t *table) compact(r base.RangeID, m Mark, reset bool, at location) {
	g := t.group(r)
	if g.markLoc.seg != 0 {
		t.dropLive(g.markLoc.seg, r, g.markLoc.len)
	}
	g.mark, g.markLoc = m, at
	t.addLive(at.seg, r, at.len)
	n := 0
	switch {
	case reset || len(g.refs) == 0 || m.Index >= g.last():
		n = len(g.refs)
	case m.Index >= g.first:
		n = g.index(m.Index) + 1
	default:
		return // replay has not seen the entries below first yet
	}
	t.dropRefs(g, 0, n)
	g.refs, g.data = g.refs[n:], g.data[n:]
	g.first = m.Index + 1
	if len(g.refs) == 0 {
		g.refs, g.data = nil, nil
	}
}

func (t *table) remove(r base.RangeID) {
	g := t.groups[r]
	if g == nil {
		return
	}
	t.dropRefs(g, 0, len(g.refs))
	for _, at := range [...]location{g.hardLoc, g.markLoc} {
		if at.seg != 0 {
			t.dropLive(at.seg, r, at.len)
		}
	}
	g.refs, g.data = nil, nil
	delete(t.groups, r)
}

// finishReplay checks what only holds after the last record.
func (t *table) finishReplay() error {
	for _, g := range t.groups {
		if len(g.refs) == 0 {
			g.first = g.mark.Index + 1
		}
		// Entries that were compacted may come back when the compaction mark
		// was moved and the entries' own segment still exists.
		if g.first <= g.mark.Index {
			n := min(int(g.mark.Index-g.first)+1, len(g.refs))
			t.dropRefs(g, 0, n)
			g.refs, g.data, g.first = g.refs[n:], g.data[n:], g.mark.Index+1
		}
		if g.first != g.mark.Index+1 {
			return errors.AssertionFailedf("range %d: the log begins at %d, after a mark at %d", g.id, g.first, g.mark.Index)
		}
		for i := range g.refs {
			if g.refs[i].seg == 0 {
				return errors.AssertionFailedf("range %d: entry %d is missing", g.id, g.first+base.LogIndex(i))
			}
		}
		if g.hardLoc.seg != 0 && g.hard.Commit > g.last() {
			return errors.AssertionFailedf("range %d: commit %d is above the last entry %d", g.id, g.hard.Commit, g.last())
		}
	}
	return nil
}

func (g *group) String() string {
	return fmt.Sprintf("r%d [%d,%d] mark %d/%d hard %d/%d/%d", g.id, g.first, g.last(),
		g.mark.Term, g.mark.Index, g.hard.Term, g.hard.Vote, g.hard.Commit)
}
