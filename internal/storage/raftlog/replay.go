package raftlog

import (
	"encoding/binary"
	"fmt"

	"github.com/stratadb/strata/internal/base"
)

// replay applies a record of the chain to the table.
func (t *table) replay(seg *segment, off int64, h header, body []byte) error {
	u64 := binary.LittleEndian.Uint64
	at := location{seg: seg.seq, len: recordLen(len(body))}
	switch h.typ {
	case recEntry, recMovedEntry:
		r, e := decodeEntry(body)
		where := ref{term: e.Term, seg: seg.seq, off: uint32(off), len: uint32(len(e.Data)), typ: e.Type}
		if h.typ == recEntry {
			return t.appendEntry(r, &e, where)
		}
		return t.placeEntry(t.group(r), e.Index, where)
	case recHardState:
		hs := HardState{
			Term: base.Term(u64(body[8:])), Vote: base.ReplicaID(u64(body[16:])), Commit: base.LogIndex(u64(body[24:])),
		}
		t.setHard(base.RangeID(u64(body)), hs, at)
	case recCompact, recReset:
		m := Mark{Index: base.LogIndex(u64(body[8:])), Term: base.Term(u64(body[16:]))}
		t.compact(base.RangeID(u64(body)), m, h.typ == recReset, at)
	case recRemove:
		t.remove(base.RangeID(u64(body)))
	case recLifecycle:
		t.addLifecycle(LifecycleRecord{
			Range: base.RangeID(u64(body)), ID: LifecycleID(u64(body[8:])), Kind: LifecycleKind(body[16]),
			Payload: append([]byte(nil), body[lifecycleFixedLen:]...),
		}, at)
	case recRelease:
		t.releaseLifecycle(LifecycleID(u64(body)))
	}
	return nil
}

// oldestNeeded is what a begin, mark or trim record says about the segments that
// the log still needs; 0 for other records.
func oldestNeeded(h header, body []byte) uint64 {
	switch h.typ {
	case recBegin, recMark:
		return binary.LittleEndian.Uint64(body[8:])
	case recTrim:
		return binary.LittleEndian.Uint64(body)
	}
	return 0
}

// recovered is the outcome of reading a log.
type recovered struct {
	table
	scan
	oldest uint64
}

// recoverLog reads all segments. It changes nothing on disk.
func recoverLog(segs []*segment) (*recovered, error) {
	return recoverLogWith(segs, func(*segment, header) {})
}

// recoverLogWith also shows every record to observe.
func recoverLogWith(segs []*segment, observe func(*segment, header)) (*recovered, error) {
	rec := &recovered{table: newTable(segs)}
	rec.scan.segs = segs
	rec.scan.visit = func(seg *segment, off int64, h header, body []byte) error {
		observe(seg, h)
		rec.oldest = max(rec.oldest, oldestNeeded(h, body))
		return rec.table.replay(seg, off, h, body)
	}
	if err := rec.scan.run(); err != nil {
		return nil, err
	}
	if rec.oldest != 0 && segs[0].seq > rec.oldest {
		return nil, &CorruptionError{File: segs[0].path, Offset: 0, Detail: fmt.Sprintf(
			"the log needs the segments from %d on, and the first file is that of segment %d", rec.oldest, segs[0].seq)}
	}
	if err := rec.table.finishReplay(); err != nil {
		last := segs[rec.scan.end.seg]
		return nil, &CorruptionError{File: last.path, Offset: rec.scan.end.off, Detail: err.Error()}
	}
	return rec, nil
}

func newTable(segs []*segment) table {
	return table{groups: make(map[base.RangeID]*group), nextID: 1, segs: segs}
}
