package raftlog

import (
	"bytes"
	"encoding/binary"
	"fmt"
	"io"

	"github.com/cockroachdb/errors"
)

// readBytes is the unit in which segments are scanned.
const readBytes = 256 << 10

// window reads a segment through a buffer that moves forward.
type window struct {
	seg *segment
	off int64 // of buf[0]
	buf []byte
	mem []byte
}

// at returns up to n bytes at off; fewer only at the end of the file. They are
// valid until the next call.
func (w *window) at(off int64, n int) ([]byte, error) {
	if off < w.off || off+int64(n) > w.off+int64(len(w.buf)) {
		size := min(max(int64(n), readBytes), max(w.seg.size-off, 0))
		if int64(cap(w.mem)) < size || cap(w.mem) > 4*readBytes && size <= readBytes {
			w.mem = make([]byte, size)
		}
		got, err := w.seg.file.ReadAt(w.mem[:size], off)
		if err != nil && !errors.Is(err, io.EOF) {
			return nil, errors.Wrapf(err, "raftlog: reading %s", w.seg.path)
		}
		w.off, w.buf = off, w.mem[:got]
	}
	b := w.buf[off-w.off:]
	return b[:min(n, len(b))], nil
}

// place is a position in the log: a segment, by its place in scan.segs, and an
// offset in it.
type place struct {
	seg int
	off int64
}

// scan walks the chain of records over all segments and decides where it ends
// and whether that end is a torn tail. It only reads.
type scan struct {
	segs  []*segment
	visit func(seg *segment, off int64, h header, body []byte) error

	win        window
	chain      uint32
	flush      uint64 // of the last record
	complete   bool   // the last record was the last of its flush
	records    int64
	flushStart place // of the first record of flush
	end        place // behind the last record
	torn       bool  // something of a later, unfinished flush may lie behind end
}

// run visits every record of the chain. A *CorruptionError says that the chain
// ends before something that was written after the end had been made durable.
func (s *scan) run() error {
	s.complete = true
	for i := range s.segs {
		sealed, err := s.segment(i)
		if err != nil {
			return err
		}
		if !sealed {
			return s.judgeEnd()
		}
	}
	last := s.segs[len(s.segs)-1]
	return &CorruptionError{File: last.path, Offset: s.end.off,
		Detail: fmt.Sprintf("segment %d is sealed, and the file of segment %d is missing", last.seq, last.seq+1)}
}

// segment visits the records of segs[i]; sealed reports that the log goes on in
// the next one.
func (s *scan) segment(i int) (sealed bool, err error) {
	seg := s.segs[i]
	s.win = window{seg: seg, mem: s.win.mem}
	s.end = place{i, dataStart}
	for {
		h, body, ok, err := s.record(i)
		if err != nil || !ok {
			return false, err
		}
		first := s.end.off == dataStart
		if first != (h.typ == recBegin) {
			return false, &CorruptionError{File: seg.path, Offset: s.end.off, Detail: "a begin record at the wrong place"}
		}
		if s.complete || s.records == 0 {
			s.flushStart = s.end
		}
		s.chain, s.flush, s.complete = h.chainSum, h.flush, h.lastOfFlush()
		s.records++
		if err := s.visit(seg, s.end.off, h, body); err != nil {
			return false, errors.Wrapf(err, "raftlog: %s at offset %d", seg.path, s.end.off)
		}
		s.end.off += recordLen(int(h.bodyLen))
		if h.typ == recSeal {
			return true, nil
		}
	}
}

// record reads the record at the end; ok is false if it is not the chain's next one.
func (s *scan) record(i int) (h header, body []byte, ok bool, err error) {
	seg := s.segs[i]
	b, err := s.win.at(s.end.off, headerLen)
	if err != nil {
		return h, nil, false, err
	}
	h, ok = decodeHeader(b, seg.seed, s.end.off, seg.size)
	if !ok || int(h.bodyLen) < h.typ.minBodyLen() {
		return h, nil, false, nil
	}
	if b, err = s.win.at(s.end.off, headerLen+int(h.bodyLen)); err != nil {
		return h, nil, false, err
	}
	if len(b) < headerLen+int(h.bodyLen) {
		return h, nil, false, nil
	}
	body = b[headerLen:]
	if bodySum(body) != h.bodySum {
		return h, nil, false, nil
	}
	prev := s.chain
	if s.records == 0 && h.typ == recBegin {
		// The oldest segment: what came before is gone, so its word is taken.
		prev = binary.LittleEndian.Uint32(body)
	} else if h.flush != s.nextFlush() {
		return h, nil, false, nil
	}
	if chainSum(prev, b) != h.chainSum {
		return h, nil, false, nil
	}
	return h, body, true, nil
}

// nextFlush is the only flush number that the record behind the end can have.
func (s *scan) nextFlush() uint64 {
	if s.complete {
		return s.flush + 1
	}
	return s.flush
}

// judgeEnd decides what the bad or missing record at the end means. It belongs
// to flush B = nextFlush, if it was ever written. A record header of a flush
// above B, anywhere behind, was written after flush B had been synced: then B's
// data was durable and has been damaged since. A header of B itself proves
// nothing, since the sectors of one flush reach the disk in any order.
func (s *scan) judgeEnd() error {
	if s.records == 0 && s.segs[0].seq != 1 {
		return &CorruptionError{File: s.segs[0].path, Offset: dataStart,
			Detail: "the oldest segment's first record is damaged"}
	}
	bad := s.segs[s.end.seg]
	bound := s.nextFlush()
	for i := s.end.seg; i < len(s.segs); i++ {
		from := int64(dataStart)
		if i == s.end.seg {
			from = s.end.off
		}
		off, h, err := s.search(s.segs[i], from, bound)
		if err != nil {
			return err
		}
		if off == 0 {
			continue
		}
		return &CorruptionError{File: bad.path, Offset: s.end.off, Detail: fmt.Sprintf(
			"the record here is damaged or missing (it belongs to flush %d), and a good %s record of the later flush %d follows in %s at offset %d",
			bound, h.typ, h.flush, s.segs[i].path, off)}
	}
	return nil
}

var zeroBlock [4096]byte

// search looks for a valid record header of a flush above bound from off on; its
// offset is 0 if there is none.
func (s *scan) search(seg *segment, off int64, bound uint64) (int64, header, error) {
	s.win = window{seg: seg, mem: s.win.mem}
	for off+headerLen <= seg.size {
		b, err := s.win.at(off, readBytes)
		if err != nil {
			return 0, header{}, err
		}
		if len(b) < headerLen {
			break
		}
		end := len(b) - headerLen
		k := 0
		for ; k <= end; k += recordAlign {
			if k+len(zeroBlock) <= len(b) && bytes.Equal(b[k:k+len(zeroBlock)], zeroBlock[:]) {
				k += len(zeroBlock) - headerLen
				continue
			}
			h, ok := decodeHeader(b[k:], seg.seed, off+int64(k), seg.size)
			if !ok {
				continue
			}
			s.torn = true
			if h.flush > bound {
				return off + int64(k), h, nil
			}
		}
		off += int64(k)
	}
	return 0, header{}, nil
}
