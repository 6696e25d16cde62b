package window

import (
	"github.com/stratadb/strata/internal/base"
)

// ReadPoint is what a transaction's reads were based on: the newest state right
// after the transaction at Pos, or the snapshot at Stamp when that is not zero.
type ReadPoint struct {
	Pos   base.Position
	Stamp base.Stamp
	// UnknownIsOlder breaks C7; tests plant it.
	UnknownIsOlder bool
}

// tailSearch is how many newer versions are compared with the read spans one by
// one before the order is built.
const tailSearch = 256

// Validate reports ErrConflict when anything in keys or spans was written after
// the read point, by a batch whose stamp is unknown, or by a touch; and
// ErrTooOld when the window no longer reaches back to the read point (C7, C8, C12).
func (w *Window) Validate(p ReadPoint, keys [][]byte, spans []base.Span) error {
	if len(keys)+len(spans) == 0 {
		return nil
	}
	if p.Stamp != 0 && p.Stamp < w.baseStamp || p.Stamp == 0 && p.Pos < w.basePos {
		return base.ErrTooOld
	}
	if !w.anythingNewer(p) {
		return nil
	}
	for _, k := range keys {
		if w.keyWritten(k, p) {
			return base.ErrConflict
		}
	}
	for _, s := range spans {
		if w.spanWritten(s, p) {
			return base.ErrConflict
		}
	}
	return nil
}

func (w *Window) newer(batch uint64, pos base.Position, p ReadPoint) bool {
	if p.Stamp == 0 {
		return pos > p.Pos
	}
	stamp := w.batch(batch).stamp
	return stamp == 0 && !p.UnknownIsOlder || stamp > p.Stamp
}

// behind reports whether something from pos on, in the log order, may be newer than
// p: stamps of batches grow with it, those of installed versions do not (W7).
func (w *Window) behind(batch uint64, pos base.Position, p ReadPoint) bool {
	if p.Stamp == 0 {
		return pos > p.Pos
	}
	logged := w.batch(batch).logged
	return logged == 0 || logged > p.Stamp
}

func (w *Window) anythingNewer(p ReadPoint) bool {
	if len(w.unstamped) > 0 {
		return true
	}
	if w.ring.next > w.ring.tail {
		if e := w.ring.at(w.ring.next - 1); w.behind(e.batch, e.pos, p) {
			return true
		}
	}
	if n := len(w.frags.marks); n > 0 {
		if m := w.frags.marks[n-1]; w.behind(m.batch, m.pos, p) {
			return true
		}
	}
	return false
}

func (w *Window) keyWritten(key []byte, p ReadPoint) bool {
	if id := w.head(key); id != 0 {
		if e := w.ring.at(id); w.newer(e.batch, e.pos, p) {
			return true
		}
	}
	if fr := w.frags.cover(key); fr != nil {
		if m := fr.marks[len(fr.marks)-1]; w.newer(m.batch, m.pos, p) {
			return true
		}
	}
	for _, u := range w.unstamped {
		if u.span.Contains(key) && w.newer(u.batch, u.pos, p) {
			return true
		}
	}
	return false
}

func (w *Window) spanWritten(s base.Span, p ReadPoint) bool {
	written := false
	w.frags.visit(s, func(fr *frag) bool {
		m := fr.marks[len(fr.marks)-1]
		written = w.newer(m.batch, m.pos, p)
		return !written
	})
	for _, u := range w.unstamped {
		written = written || u.span.Overlaps(s) && w.newer(u.batch, u.pos, p)
	}
	if written {
		return true
	}
	searched := 0
	for id := w.ring.next - 1; id >= w.ring.tail; id-- {
		e := w.ring.at(id)
		if !w.behind(e.batch, e.pos, p) {
			return false
		}
		if e.flags&ghost == 0 && w.newer(e.batch, e.pos, p) && s.Contains(w.keyOf(e)) {
			return true
		}
		if searched++; searched == tailSearch {
			return w.spanWrittenOrdered(s, p)
		}
	}
	return false
}

func (w *Window) spanWrittenOrdered(s base.Span, p ReadPoint) (written bool) {
	w.visitKeys(s, false, func(*bucket) bool { return false }, func(k orderKey) bool {
		if id := w.head(k.key); id != 0 {
			e := w.ring.at(id)
			written = w.newer(e.batch, e.pos, p)
		}
		return !written
	})
	return written
}

// WaitFor is the position that must commit before the snapshot s can be read:
// the last of what is not committed and has a stamp that is unknown or ≤ s. The
// open batch, the last one if open is true, will get a later stamp; what was
// installed in it has its own. It is 0 when nothing is to be waited for.
func (w *Window) WaitFor(s base.Stamp, open bool) base.Position {
	for n := w.lastBatch(); n > w.committed && n >= w.firstBatch; n-- {
		b := w.batch(n)
		if b.stamp != 0 && b.stamp <= s || b.stamp == 0 && !open {
			return b.lastPos
		}
		open = open && b.part
	}
	return 0
}

// WaitForKey is WaitFor for a single key: the position of the newest write of it that is
// not committed and may belong to the snapshot. closed is the last position that was in a
// closed batch when something was read at s for the first time: the stamp of what was
// closed later is above s.
func (w *Window) WaitForKey(key []byte, s base.Stamp, closed base.Position) (pos base.Position) {
	if w.committed == w.lastBatch() {
		return 0
	}
	belongs := func(n uint64, at base.Position) bool {
		if n <= w.committed {
			return false
		}
		stamp := w.batch(n).stamp
		return stamp != 0 && stamp <= s || stamp == 0 && at <= closed
	}
	for id := w.head(key); w.ring.has(id) && pos == 0; {
		e := w.ring.at(id)
		if e.batch <= w.committed {
			break
		}
		if belongs(e.batch, e.pos) {
			pos = e.pos
		}
		id = e.prev
	}
	if fr := w.frags.cover(key); fr != nil {
		for _, m := range fr.marks {
			if !m.touch && belongs(m.batch, m.pos) {
				pos = max(pos, m.pos)
			}
		}
	}
	for _, u := range w.unstamped {
		if u.span.Contains(key) && belongs(u.batch, u.pos) {
			pos = max(pos, u.pos)
		}
	}
	return pos
}

// WaitForInstalled is WaitFor for a snapshot that has waited before: batches which
// were closed since have later stamps, and only what was installed may lie below s.
func (w *Window) WaitForInstalled(s base.Stamp) base.Position {
	if w.installed == 0 {
		return 0
	}
	for n := w.lastBatch(); n > w.committed && n >= w.firstBatch; n-- {
		if b := w.batch(n); b.own && b.stamp != 0 && b.stamp <= s {
			return b.lastPos
		}
	}
	return 0
}
