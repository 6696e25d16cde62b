package raftlog

import (
	"slices"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// Group is a view of one range's log. It costs nothing to make, holds no state
// and includes what is appended and not flushed.
type Group struct {
	log *Log
	id  base.RangeID
}

// Group is the view of range r, which need not exist: then the log is empty and
// its first index is 1.
func (l *Log) Group(r base.RangeID) Group { return Group{log: l, id: r} }

// Ranges are the ids of all groups with any record, ascending.
func (l *Log) Ranges() []base.RangeID {
	l.mu.Lock()
	defer l.mu.Unlock()
	ids := make([]base.RangeID, 0, len(l.mu.groups))
	for id := range l.mu.groups {
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids
}

var emptyGroup = group{first: 1}

// withLock runs under the lock; g must not be changed.
func (v Group) lock() *group {
	v.log.mu.Lock()
	if g := v.log.mu.groups[v.id]; g != nil {
		return g
	}
	return &emptyGroup
}

// FirstIndex is one above the compaction mark.
func (v Group) FirstIndex() base.LogIndex {
	g := v.lock()
	defer v.log.mu.Unlock()
	return g.first
}

// LastIndex is the index of the last entry, or of the mark if there is none.
func (v Group) LastIndex() base.LogIndex {
	g := v.lock()
	defer v.log.mu.Unlock()
	return g.last()
}

// Mark is the compaction mark.
func (v Group) Mark() Mark {
	g := v.lock()
	defer v.log.mu.Unlock()
	return g.mark
}

// HardState is the hard state; ok is false if none was ever written.
func (v Group) HardState() (hs HardState, ok bool) {
	g := v.lock()
	defer v.log.mu.Unlock()
	return g.hard, g.hardLoc.seg != 0
}

// SizeBytes is the data of all entries.
func (v Group) SizeBytes() int64 {
	g := v.lock()
	defer v.log.mu.Unlock()
	return g.sizeBytes
}

// SizeTo is the data of the entries up to i.
func (v Group) SizeTo(i base.LogIndex) (bytes int64) {
	g := v.lock()
	defer v.log.mu.Unlock()
	for k := range g.refs[:max(0, min(int64(i)-int64(g.first)+1, int64(len(g.refs))))] {
		bytes += int64(g.refs[k].len)
	}
	return bytes
}

// Term is the term of the entry at i, or of the mark: ErrCompacted below it,
// ErrUnavailable above the last entry.
func (v Group) Term(i base.LogIndex) (base.Term, error) {
	g := v.lock()
	defer v.log.mu.Unlock()
	return g.term(i)
}

// Entries appends the entries [lo, hi) to dst, at least one and otherwise at
// most maxBytes of data. Their Data must not be changed. It reads from disk what
// is not cached.
func (v Group) Entries(dst []Entry, lo, hi base.LogIndex, maxBytes uint64) ([]Entry, error) {
	if lo >= hi {
		return dst, nil
	}
	g := v.lock()
	defer v.log.mu.Unlock()
	if lo < g.first {
		return dst, ErrCompacted
	}
	if hi > g.last()+1 {
		return dst, ErrUnavailable
	}
	begin, bytes := len(dst), uint64(0)
	var missing bool
	for i := lo; i < hi; i++ {
		k := g.index(i)
		bytes += uint64(g.refs[k].len)
		if i > lo && bytes > maxBytes {
			break
		}
		dst = append(dst, Entry{Term: g.refs[k].term, Index: i, Type: g.refs[k].typ, Data: g.data[k]})
		missing = missing || g.data[k] == nil
	}
	if !missing {
		return dst, nil
	}
	return dst, v.log.readLocked(g, dst[begin:])
}

// readLocked fills in the data of entries that are not cached. It gives up the
// lock while it reads; the segments are held meanwhile.
func (l *Log) readLocked(g *group, entries []Entry) error {
	type place struct {
		entry int
		at    ref
		seg   *segment
	}
	var places []place
	for i := range entries {
		if entries[i].Data == nil {
			at := g.refs[g.index(entries[i].Index)]
			p := place{entry: i, at: at, seg: l.mu.segment(at.seg)}
			p.seg.readers++
			places = append(places, p)
		}
	}
	id := g.id
	l.mu.Unlock()
	var err error
	for _, p := range places {
		if err == nil {
			entries[p.entry].Data, err = readEntry(p.seg, id, entries[p.entry], p.at)
		}
	}
	l.mu.Lock()
	for _, p := range places {
		p.seg.readers--
	}
	l.mu.released.Broadcast()
	return err
}

// readEntry reads one entry's record and checks that it is the one looked for.
func readEntry(s *segment, id base.RangeID, want Entry, at ref) ([]byte, error) {
	b := make([]byte, headerLen+entryFixedLen+int(at.len))
	if n, err := s.file.ReadAt(b, int64(at.off)); err != nil && n < len(b) {
		return nil, errors.Wrapf(err, "raftlog: reading %s", s.path)
	}
	corrupt := func(detail string) error {
		return &CorruptionError{File: s.path, Offset: int64(at.off), Detail: detail}
	}
	h, ok := decodeHeader(b, s.seed, int64(at.off), s.size)
	if !ok {
		return nil, corrupt("the header of an entry that was good has changed")
	}
	body := b[headerLen:]
	if int(h.bodyLen) != len(body) || bodySum(body) != h.bodySum {
		return nil, corrupt("an entry that was good fails its checksum")
	}
	r, e := decodeEntry(body)
	if r != id || e.Index != want.Index || e.Term != want.Term {
		return nil, errors.AssertionFailedf("raftlog: %s holds another entry at %d", s.path, at.off)
	}
	return e.Data[:len(e.Data):len(e.Data)], nil
}

// Metrics are counters and sizes.
type Metrics struct {
	Segments      int   // files that hold or will hold records
	Spares        int   // files kept for reuse
	SizeBytes     int64 // of the segments on disk
	LiveBytes     int64 // of records that a restart still needs
	HeadroomBytes int64
	CacheBytes    int64
	Groups        int
	BytesWritten  int64 // since open
	Flushes       int64
	Relocated     int64 // bytes of cold tails rewritten
	Prepared      int64 // segments made ready
}

// Metrics returns the current values.
func (l *Log) Metrics() Metrics {
	l.mu.Lock()
	defer l.mu.Unlock()
	m := Metrics{
		Segments: len(l.mu.segs), Spares: len(l.mu.spares), HeadroomBytes: l.headroomLocked(),
		CacheBytes: l.mu.cache.bytes, Groups: len(l.mu.groups), BytesWritten: l.mu.stats.bytesWritten,
		Flushes: l.mu.stats.flushes, Relocated: l.mu.stats.relocated, Prepared: l.mu.stats.prepared,
	}
	for _, s := range l.mu.segs {
		m.SizeBytes += s.size
		m.LiveBytes += s.liveBytes
	}
	return m
}
