package raftlog

import (
	"crypto/rand"
	"encoding/binary"
	"sync"
	"sync/atomic"

	"github.com/cockroachdb/errors"
	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

const (
	// DefaultSegmentBytes is the size of a segment once the log has grown.
	DefaultSegmentBytes = 64 << 20
	// DefaultFirstSegmentBytes is the size of a new log's first segment; each
	// later one is twice as large as its predecessor, up to SegmentBytes.
	DefaultFirstSegmentBytes = 4 << 20
	// DefaultCacheBytes bounds the data of recent entries kept in memory.
	DefaultCacheBytes = 8 << 20

	// reserveBytes is kept for records that free space (compaction, removal,
	// trimming) when entries are already refused.
	reserveBytes = 64 << 10
	// pendingKeepBytes is how large an encoding buffer may be to be kept.
	pendingKeepBytes = 2 << 20
)

// Options configures a log. FS, Dir and StoreID are required.
type Options struct {
	FS      vfs.FS
	Dir     string
	StoreID base.StoreID
	// SegmentBytes and FirstSegmentBytes default to the constants above.
	SegmentBytes, FirstSegmentBytes int64
	// CacheBytes bounds the data of recent entries kept in memory; negative
	// means none beyond what is not flushed yet.
	CacheBytes int64
	// ErrorIfMissing makes Open fail with ErrMissing where there is no log.
	ErrorIfMissing bool
	// Inline runs the preparation of segments and the rewriting of cold tails
	// inside Append and Flush instead of in a goroutine, so that a run depends
	// on nothing but the calls.
	Inline bool
	// Inspect is shown the last index of every range that a restart has found,
	// before anything is changed on disk; its error refuses the log. Optional.
	Inspect func(last map[base.RangeID]base.LogIndex) error
	// Random yields segment seeds and nonces; by default from the system.
	Random func() uint64
	// OnFatal is called once, without locks, when writing or syncing has
	// failed. What is on disk is unknown from then on: the process must stop.
	OnFatal func(error)
}

func (o Options) withDefaults() Options {
	if o.SegmentBytes == 0 {
		o.SegmentBytes = DefaultSegmentBytes
	}
	if o.FirstSegmentBytes == 0 {
		o.FirstSegmentBytes = DefaultFirstSegmentBytes
	}
	o.FirstSegmentBytes = min(o.FirstSegmentBytes, o.SegmentBytes)
	if o.CacheBytes == 0 {
		o.CacheBytes = DefaultCacheBytes
	}
	o.CacheBytes = max(o.CacheBytes, 0)
	if o.Random == nil {
		o.Random = systemRandom
	}
	return o
}

func systemRandom() uint64 {
	var b [8]byte
	_, _ = rand.Read(b[:]) // never fails
	return binary.LittleEndian.Uint64(b[:])
}

// reserve scales reserveBytes down for the small segments of tests.
func (o *Options) reserve() int64 { return min(reserveBytes, o.SegmentBytes/16) }

// Log is one store's log. All methods may be called concurrently; the calls for
// one range must come from one goroutine at a time.
//
// Lock order: maint, then mu. Neither is held while files are written by Flush.
type Log struct {
	starved atomic.Bool // see Starved
	opts    Options
	dir     vfs.File

	// maint is held by whoever prepares, collects or retires segments.
	maint sync.Mutex

	mu struct {
		sync.Mutex
		table

		active  *segment
		ready   []*segment // prepared, after active
		spares  []string   // paths of retired files of the standard size
		nextSeq uint64     // of the next segment to prepare
		oldest  uint64     // the lowest segment that is still needed, as last logged

		pending, writing *flushBuffer
		chain, prevChain uint32 // after and before the last record of pending
		flush            uint64 // number of the flush that will take pending
		durable          uint64 // highest flush that is on disk
		flushing         bool
		flushed          [2]*sync.Cond // by parity of the awaited flush

		prepared   *sync.Cond // a preparation has ended, well or not
		prepareGen uint64
		prepareErr error
		want       int64      // record length for which somebody waits
		released   *sync.Cond // a reader has left a segment

		closed bool
		err    error // sticky
		stats  stats
	}

	worker worker
}

type stats struct {
	bytesWritten, flushes, relocated, prepared int64
}

// flushBuffer holds encoded records and where they go.
type flushBuffer struct {
	buf    []byte
	chunks []chunk
	last   int // start of the last record in buf
	lastAt int64
}

// chunk is a part of a flushBuffer: from start to the next chunk's start it goes
// to seg at off.
type chunk struct {
	seg   *segment
	off   int64
	start int
}

func (b *flushBuffer) reset() {
	if cap(b.buf) > pendingKeepBytes {
		b.buf = nil
	}
	b.buf = b.buf[:0]
	clear(b.chunks)
	b.chunks = b.chunks[:0]
}

// Write is what Append adds for one range, in this order: Snapshot, Entries,
// HardState, Compact. After a crash a prefix of that order may remain.
type Write struct {
	Range base.RangeID
	// Snapshot empties the range's log and sets its position: a snapshot was received.
	Snapshot *Mark
	// Entries are contiguous and begin at most one above the last index; those
	// at and above the first one's index are replaced. The log keeps Data, which
	// must not change any more.
	Entries []Entry
	// HardState replaces the range's hard state.
	HardState *HardState
	// Compact, if not zero, drops the entries up to that index.
	Compact base.LogIndex
}

// Append adds w to the pending flush: a copy into memory. It is visible to Group
// at once and durable when a Flush begun later has returned. It waits only when
// the log has outrun the preparation of segments. An error wrapping
// base.ErrDiskFull means that nothing was added.
func (l *Log) Append(w Write) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reserveRoomLocked(&w); err != nil {
		return err
	}
	if err := l.checkLocked(&w); err != nil {
		return err
	}
	if w.Snapshot != nil {
		l.putMarkLocked(w.Range, *w.Snapshot, true)
	}
	for i := range w.Entries {
		if err := l.putEntryLocked(w.Range, &w.Entries[i]); err != nil {
			return err
		}
	}
	if w.HardState != nil {
		l.putHardLocked(w.Range, *w.HardState)
	}
	if w.Compact != 0 {
		if g := l.mu.group(w.Range); w.Compact > g.mark.Index {
			term, err := g.term(w.Compact)
			if err != nil {
				return err // checked above
			}
			l.putMarkLocked(w.Range, Mark{Index: w.Compact, Term: term}, false)
		}
	}
	return nil
}

// checkLocked refuses what would make the log contradict itself.
func (l *Log) checkLocked(w *Write) error {
	first, last, mark := base.LogIndex(1), base.LogIndex(0), Mark{}
	if g := l.mu.groups[w.Range]; g != nil {
		first, last, mark = g.first, g.last(), g.mark
	}
	if w.Snapshot != nil {
		if w.Snapshot.Index < mark.Index {
			return errors.AssertionFailedf("range %d: snapshot at %d below the mark at %d",
				w.Range, w.Snapshot.Index, mark.Index)
		}
		first, last = w.Snapshot.Index+1, w.Snapshot.Index
	}
	for i := range w.Entries {
		index := w.Entries[i].Index
		if index < first || index > last+1 || (i > 0 && index != last+1) {
			return errors.AssertionFailedf("range %d: entry %d does not fit the log [%d,%d]", w.Range, index, first, last)
		}
		last = index
	}
	if w.HardState != nil && w.HardState.Commit > last {
		return errors.AssertionFailedf("range %d: commit %d above the last entry %d", w.Range, w.HardState.Commit, last)
	}
	if w.Compact > last {
		return errors.AssertionFailedf("range %d: compaction to %d above the last entry %d", w.Range, w.Compact, last)
	}
	return nil
}

func (l *Log) putEntryLocked(r base.RangeID, e *Entry) error {
	var fixed [entryFixedLen]byte
	putEntryFixed(&fixed, r, e)
	seg, off := l.putLocked(recEntry, fixed[:], e.Data)
	at := ref{term: e.Term, seg: seg.seq, off: uint32(off), len: uint32(len(e.Data)), typ: e.Type}
	if err := l.mu.appendEntry(r, e, at); err != nil {
		return err
	}
	l.cacheLocked(l.mu.group(r), e.Index, e.Data)
	return nil
}

func (l *Log) cacheLocked(g *group, i base.LogIndex, data []byte) {
	if data == nil {
		data = []byte{}
	}
	l.mu.cache.add(g, g.index(i), data, l.mu.flush)
}

func (l *Log) putHardLocked(r base.RangeID, hs HardState) {
	var fixed [hardStateLen]byte
	binary.LittleEndian.PutUint64(fixed[0:], uint64(r))
	binary.LittleEndian.PutUint64(fixed[8:], uint64(hs.Term))
	binary.LittleEndian.PutUint64(fixed[16:], uint64(hs.Vote))
	binary.LittleEndian.PutUint64(fixed[24:], uint64(hs.Commit))
	seg, _ := l.putLocked(recHardState, fixed[:], nil)
	l.mu.setHard(r, hs, location{seg: seg.seq, len: recordLen(hardStateLen)})
}

func (l *Log) putMarkLocked(r base.RangeID, m Mark, reset bool) {
	var fixed [positionLen]byte
	binary.LittleEndian.PutUint64(fixed[0:], uint64(r))
	binary.LittleEndian.PutUint64(fixed[8:], uint64(m.Index))
	binary.LittleEndian.PutUint64(fixed[16:], uint64(m.Term))
	typ := recCompact
	if reset {
		typ = recReset
	}
	seg, _ := l.putLocked(typ, fixed[:], nil)
	l.mu.compact(r, m, reset, location{seg: seg.seq, len: recordLen(positionLen)})
}

// Compact drops the range's entries up to upTo, which must not be above the last
// one; a lower index than before is ignored.
func (l *Log) Compact(r base.RangeID, upTo base.LogIndex) error {
	return l.Append(Write{Range: r, Compact: upTo})
}

// Remove forgets everything about the range but its lifecycle records.
func (l *Log) Remove(r base.RangeID) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if err := l.reserveRoomLocked(&Write{Range: r}); err != nil {
		return err
	}
	if l.mu.groups[r] == nil {
		return nil
	}
	var fixed [8]byte
	binary.LittleEndian.PutUint64(fixed[:], uint64(r))
	l.putLocked(recRemove, fixed[:], nil)
	l.mu.remove(r)
	return nil
}

// putLocked encodes a record at the log's head, going over to the next segment
// where it does not fit; reserveRoomLocked has made sure that there is one.
func (l *Log) putLocked(typ recordType, fixed, payload []byte) (*segment, int64) {
	for recordLen(len(fixed)+len(payload)) > l.mu.active.room() {
		l.rollLocked()
	}
	return l.encodeLocked(typ, fixed, payload)
}

func (l *Log) encodeLocked(typ recordType, fixed, payload []byte) (*segment, int64) {
	p, seg := l.mu.pending, l.mu.active
	off, start := seg.head, len(p.buf)
	if n := len(p.chunks); n == 0 || p.chunks[n-1].seg != seg {
		p.chunks = append(p.chunks, chunk{seg: seg, off: off, start: start})
	}
	var zero [headerLen]byte
	bodyLen := len(fixed) + len(payload)
	n := recordLen(bodyLen)
	p.buf = append(p.buf, zero[:]...)
	p.buf = append(p.buf, fixed...)
	p.buf = append(p.buf, payload...)
	p.buf = append(p.buf, zero[:int(n)-headerLen-bodyLen]...)
	rec := p.buf[start:]
	putHeader(rec, typ, l.mu.flush, rec[headerLen:headerLen+bodyLen])
	l.mu.prevChain = l.mu.chain
	l.mu.chain = sealHeader(rec, seg.seed, off, l.mu.prevChain)
	p.last, p.lastAt = start, off
	seg.head += n
	return seg, off
}

// rollLocked seals the active segment and begins the next one.
func (l *Log) rollLocked() {
	if len(l.mu.ready) == 0 {
		panic(errors.AssertionFailedf("no segment is ready"))
	}
	l.encodeLocked(recSeal, nil, nil)
	l.mu.active = l.mu.ready[0]
	l.mu.ready = append(l.mu.ready[:0], l.mu.ready[1:]...)
	l.beginLocked()
	l.worker.kick()
}

func (l *Log) beginLocked() {
	var body [beginLen]byte
	binary.LittleEndian.PutUint32(body[:], l.mu.chain)
	binary.LittleEndian.PutUint64(body[8:], l.mu.oldest)
	l.encodeLocked(recBegin, body[:], nil)
}

// putMarkRecordLocked writes a mark record: it carries no content, and makes what
// lies before it "followed by a later flush".
func (l *Log) putMarkRecordLocked() {
	var body [markLen]byte
	binary.LittleEndian.PutUint64(body[:], l.opts.Random())
	binary.LittleEndian.PutUint64(body[8:], l.mu.oldest)
	l.putLocked(recMark, body[:], nil)
}
