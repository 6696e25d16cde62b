package raftlog

import (
	"encoding/binary"
	"slices"
	"sync"

	"github.com/stratadb/strata/internal/base"
)

const (
	// maxSpares bounds the retired files that are kept for reuse.
	maxSpares = 1
	// collectMinSegments is how many full segments there must be before live
	// records are moved out of the oldest; dead ones are always retired.
	collectMinSegments = 2
	// moveBytes bounds the records that are moved in one flush.
	moveBytes = 1 << 20
)

// worker is the goroutine that prepares and collects segments. It has no timer:
// it sleeps until kicked.
type worker struct {
	wake chan struct{} // nil when there is no goroutine
	quit chan struct{}
	done sync.WaitGroup
	once sync.Once
}

func (w *worker) start(l *Log) {
	if l.opts.Inline {
		l.maintainInline()
		return
	}
	w.wake, w.quit = make(chan struct{}, 1), make(chan struct{})
	w.done.Add(1)
	go func() {
		defer w.done.Done()
		for {
			l.maint.Lock()
			l.maintain(w.quit)
			l.maint.Unlock()
			select {
			case <-w.wake:
			case <-w.quit:
				return
			}
		}
	}()
}

func (w *worker) kick() {
	if w.wake == nil {
		return
	}
	select {
	case w.wake <- struct{}{}:
	default:
	}
}

func (w *worker) stop() {
	if w.quit != nil {
		w.once.Do(func() { close(w.quit) })
		w.done.Wait()
	}
}

func (l *Log) maintainInline() {
	l.mu.Lock()
	due := len(l.mu.ready) == 0 || l.collectDueLocked()
	l.mu.Unlock()
	if !due || !l.maint.TryLock() {
		return // the maintainer's own flush, or another caller maintains
	}
	l.maintain(nil)
	l.maint.Unlock()
}

// maintain prepares the next segment and retires the oldest ones. Its failures
// are those of a full disk, reported to whoever runs out of room, or are sticky.
// It holds maint.
func (l *Log) maintain(quit <-chan struct{}) {
	for {
		select {
		case <-quit:
			return
		default:
		}
		l.mu.Lock()
		want, need := l.mu.want, len(l.mu.ready) == 0
		collect, failed := l.collectDueLocked(), l.mu.err != nil || l.mu.closed
		l.mu.Unlock()
		switch {
		case failed:
			return
		case need || want > 0:
			if err := l.prepareOrCollect(want); err != nil {
				l.mu.Lock()
				l.prepareEndedLocked(err)
				l.mu.Unlock()
				return
			}
		case !l.tryCollect(collect):
			return
		}
	}
}

func (l *Log) tryCollect(due bool) bool {
	if !due {
		return false
	}
	done, err := l.collectOldest()
	return done && err == nil
}

// prepareOrCollect is prepare, which on a full disk may have to wait for the
// space of old segments. It holds maint.
func (l *Log) prepareOrCollect(need int64) error {
	for {
		err := l.prepare(need)
		if err == nil {
			return nil
		}
		l.mu.Lock()
		due := l.collectDueLocked()
		l.mu.Unlock()
		if !l.tryCollect(due) {
			return err
		}
	}
}

// prepareEndedLocked tells those who wait for a segment how it went.
func (l *Log) prepareEndedLocked(err error) {
	l.mu.prepareErr, l.mu.want = err, 0
	l.mu.prepareGen++
	l.mu.prepared.Broadcast()
}

// prepare makes one more segment ready that holds a record of need bytes. It
// holds maint. A failure is not fatal: the segments at hand stay usable.
func (l *Log) prepare(need int64) (err error) {
	defer func() { l.starved.Store(err != nil) }()
	l.mu.Lock()
	size := l.opts.FirstSegmentBytes
	if n := len(l.mu.segs); n > 0 {
		size = min(max(2*l.mu.segs[n-1].size, size), l.opts.SegmentBytes)
	}
	size = max(size, sizeFor(need))
	spare := ""
	if n := len(l.mu.spares); n > 0 && size <= l.opts.SegmentBytes {
		size = l.opts.SegmentBytes
		spare, l.mu.spares = l.mu.spares[n-1], l.mu.spares[:n-1]
	}
	s := &segment{seq: l.mu.nextSeq, seed: l.opts.Random(), size: size}
	l.mu.Unlock()

	if spare != "" && !l.spareFits(spare) {
		_ = l.opts.FS.Remove(spare)
		spare = ""
	}
	err = l.createSegment(s, spare)
	if err != nil {
		return err
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.mu.nextSeq++
	l.mu.segs = append(l.mu.segs, s)
	l.mu.ready = append(l.mu.ready, s)
	l.mu.stats.prepared++
	l.prepareEndedLocked(nil)
	return nil
}

// spareFits reports whether a spare has the standard size; the setting may have changed.
func (l *Log) spareFits(path string) bool {
	info, err := l.opts.FS.Stat(path)
	return err == nil && info.Size() == l.opts.SegmentBytes
}

// collectDueLocked reports whether the oldest segment should go: nothing in it
// is live, or less than half of all full segments is. Moving live records costs at
// most as much again as what is appended, and one segment: where records are about
// as long as segments, the ends that stay unused let no number of moves help.
func (l *Log) collectDueLocked() bool {
	if l.mu.err != nil || l.mu.closed || len(l.mu.segs) == 0 || l.mu.segs[0] == l.mu.active {
		return false
	}
	if len(l.mu.segs[0].live) == 0 {
		return true
	}
	full, live, size := 0, int64(0), int64(0)
	for _, s := range l.mu.segs {
		if s == l.mu.active {
			break
		}
		full++
		live += s.liveBytes
		size += s.size
	}
	paid := l.mu.stats.bytesWritten - l.mu.stats.relocated + l.opts.SegmentBytes
	return full >= collectMinSegments && live <= size/2 && l.mu.stats.relocated+l.mu.segs[0].liveBytes <= paid
}

// collectOldest moves what is live in the oldest segment to the log's head, logs
// that the segment is not needed any more, and retires its file. done is false
// when there is nothing more to do now. It holds maint.
//
// The order makes every crash harmless: the copies and the trim record are
// durable before the file goes, and until then both copies are replayed.
func (l *Log) collectOldest() (done bool, err error) {
	l.mu.Lock()
	oldest := l.mu.segs[0]
	ranges := make([]base.RangeID, 0, len(oldest.live))
	for r := range oldest.live {
		ranges = append(ranges, r)
	}
	l.mu.Unlock()
	slices.Sort(ranges)
	for _, r := range ranges {
		if err := l.moveRange(oldest, r); err != nil {
			return false, err
		}
	}
	l.mu.Lock()
	if len(oldest.live) != 0 || oldest == l.mu.active {
		l.mu.Unlock()
		return false, nil // only after a failure; the next round tries again
	}
	if err := l.reserveOwnRoomLocked(recordLen(8)); err != nil {
		l.mu.Unlock()
		return false, err
	}
	l.mu.oldest = oldest.seq + 1
	var body [8]byte
	binary.LittleEndian.PutUint64(body[:], l.mu.oldest)
	l.putLocked(recTrim, body[:], nil)
	l.mu.Unlock()
	if err := l.flushPending(); err != nil {
		return false, err
	}
	return true, l.dropOldest(oldest)
}

// dropOldest retires the file once the last reader has left it.
func (l *Log) dropOldest(oldest *segment) error {
	l.mu.Lock()
	l.mu.segs = slices.Clone(l.mu.segs[1:])
	for oldest.readers > 0 {
		l.mu.released.Wait()
	}
	keep := len(l.mu.spares) < maxSpares
	l.mu.Unlock()
	spare, err := l.retire(oldest, keep)
	l.mu.Lock()
	defer l.mu.Unlock()
	if err != nil {
		l.failLocked(err)
		return err
	}
	if spare != "" {
		l.mu.spares = append(l.mu.spares, spare)
	}
	return nil
}

// moveRange appends again what segment s holds of range r: in portions, each
// looked up under the lock, so that whatever has died meanwhile stays dead.
func (l *Log) moveRange(s *segment, r base.RangeID) error {
	if err := l.moveState(s, r); err != nil {
		return err
	}
	next := base.LogIndex(0)
	for {
		more, err := l.moveEntries(s, r, &next)
		if err != nil {
			return err
		}
		if err := l.flushPending(); err != nil {
			return err
		}
		if !more {
			return nil
		}
	}
}

// moveState moves the hard state, the compaction mark and the lifecycle records.
func (l *Log) moveState(s *segment, r base.RangeID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	need := recordLen(hardStateLen) + recordLen(positionLen)
	if err := l.reserveOwnRoomLocked(need); err != nil {
		return err
	}
	if g := l.mu.groups[r]; g != nil {
		if g.hardLoc.seg == s.seq {
			l.mu.stats.relocated += g.hardLoc.len
			l.putHardLocked(r, g.hard)
		}
		if g.markLoc.seg == s.seq {
			l.mu.stats.relocated += g.markLoc.len
			l.putMarkLocked(r, g.mark, false)
		}
	}
	var ids []LifecycleID
	for i := range l.mu.lifecycles {
		if lc := &l.mu.lifecycles[i]; lc.Range == r && lc.at.seg == s.seq {
			ids = append(ids, lc.ID)
		}
	}
	for _, id := range ids {
		i, ok := l.mu.findLifecycle(id)
		if !ok {
			continue
		}
		if err := l.reserveOwnRoomLocked(l.mu.lifecycles[i].at.len); err != nil {
			return err
		}
		// The lock may have been given up.
		if i, ok = l.mu.findLifecycle(id); ok {
			rec := l.mu.lifecycles[i].LifecycleRecord
			l.mu.stats.relocated += l.mu.lifecycles[i].at.len
			l.mu.addLifecycle(rec, l.putLifecycleLocked(&rec))
		}
	}
	return nil
}

// moveEntries moves one portion of entries, beginning at *next; more reports
// that there may be further ones.
func (l *Log) moveEntries(s *segment, r base.RangeID, next *base.LogIndex) (more bool, err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.mu.groups[r]
	if g == nil || len(g.refs) == 0 {
		return false, nil
	}
	var batch []Entry
	bytes := int64(0)
	i := max(*next, g.first)
	for ; i <= g.last() && bytes < moveBytes; i++ {
		k := g.index(i)
		if at := &g.refs[k]; at.seg == s.seq {
			batch = append(batch, Entry{Term: at.term, Index: i, Type: at.typ, Data: g.data[k]})
			bytes += at.recordLen()
		}
	}
	*next, more = i, i <= g.last()
	if len(batch) == 0 {
		return more, nil
	}
	if err := l.readLocked(g, batch); err != nil {
		return false, err
	}
	for k := range batch {
		if err := l.moveEntryLocked(s, r, &batch[k]); err != nil {
			return false, err
		}
	}
	return more, nil
}

func (l *Log) moveEntryLocked(s *segment, r base.RangeID, e *Entry) error {
	n := recordLen(entryFixedLen + len(e.Data))
	if err := l.reserveOwnRoomLocked(n); err != nil {
		return err
	}
	g := l.mu.groups[r]
	if g == nil || e.Index < g.first || e.Index > g.last() {
		return nil
	}
	k := g.index(e.Index)
	if g.refs[k].seg != s.seq || g.refs[k].term != e.Term {
		return nil
	}
	var fixed [entryFixedLen]byte
	putEntryFixed(&fixed, r, e)
	seg, off := l.putLocked(recMovedEntry, fixed[:], e.Data)
	at := ref{term: e.Term, seg: seg.seq, off: uint32(off), len: uint32(len(e.Data)), typ: e.Type}
	if err := l.mu.placeEntry(g, e.Index, at); err != nil {
		return err
	}
	l.mu.stats.relocated += n
	l.mu.cache.drop(g, k)
	l.cacheLocked(g, e.Index, e.Data)
	return nil
}

// reserveOwnRoomLocked is reserveRoomLocked for whoever holds maint: it prepares
// a segment itself instead of waiting for itself.
func (l *Log) reserveOwnRoomLocked(need int64) error {
	for {
		if l.mu.err != nil {
			return l.mu.err
		}
		if l.mu.active.room() >= need {
			return nil
		}
		for _, s := range l.mu.ready {
			if freshRoom(s.size) >= need {
				return nil
			}
		}
		l.mu.Unlock()
		err := l.prepare(need)
		l.mu.Lock()
		if err != nil {
			return err
		}
	}
}
