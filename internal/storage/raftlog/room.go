package raftlog

import (
	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
)

// sizes calls f with the length of each record of w, in order, until f returns false.
func (w *Write) sizes(f func(int64) bool) {
	if w.Snapshot != nil && !f(recordLen(positionLen)) {
		return
	}
	for i := range w.Entries {
		if !f(recordLen(entryFixedLen + len(w.Entries[i].Data))) {
			return
		}
	}
	if w.HardState != nil && !f(recordLen(hardStateLen)) {
		return
	}
	// Compaction, or the record of a call that has no entries.
	f(recordLen(positionLen))
}

// bulky reports whether w adds data, which may not use the reserve.
func (w *Write) bulky() bool { return len(w.Entries) > 0 }

// reserveRoomLocked returns when w fits into the segments at hand. It may give
// up the lock in between.
func (l *Log) reserveRoomLocked(w *Write) error {
	for {
		switch {
		case l.mu.err != nil:
			return l.mu.err
		case l.mu.closed:
			return base.ErrClosed
		}
		reserve := int64(0)
		if w.bulky() {
			reserve = l.opts.reserve()
		}
		need := l.shortfallLocked(w, reserve)
		if need == 0 {
			return nil
		}
		if need > recordLen(maxBodyLen) {
			return errors.Wrapf(base.ErrValueTooLarge, "raft log entry of %d bytes", need)
		}
		if err := l.growLocked(need); err != nil {
			return err
		}
	}
}

// shortfallLocked places w's records in the active and the ready segments and
// returns the length of the first that finds no place, or of the reserve; 0 if
// all fit.
func (l *Log) shortfallLocked(w *Write, reserve int64) (need int64) {
	total := int64(0)
	w.sizes(func(n int64) bool { total += n; return true })
	room, next := l.mu.active.room(), 0
	if total > room {
		w.sizes(func(n int64) bool {
			for n > room {
				if next == len(l.mu.ready) {
					need = n
					return false
				}
				room = freshRoom(l.mu.ready[next].size)
				next++
			}
			room -= n
			return true
		})
	} else {
		room -= total
	}
	if need != 0 {
		return need
	}
	for ; room < reserve && next < len(l.mu.ready); next++ {
		room += freshRoom(l.mu.ready[next].size)
	}
	if room < reserve {
		return reserve
	}
	return 0
}

// growLocked waits for one more segment, which must hold a record of need bytes.
func (l *Log) growLocked(need int64) error {
	if l.opts.Inline {
		l.mu.Unlock()
		l.maint.Lock()
		err := l.prepareOrCollect(need)
		l.maint.Unlock()
		l.mu.Lock()
		return err
	}
	gen := l.mu.prepareGen
	l.mu.want = max(l.mu.want, need)
	l.worker.kick()
	for l.mu.prepareGen == gen && l.mu.err == nil && !l.mu.closed {
		l.mu.prepared.Wait()
	}
	return l.mu.prepareErr
}

// Headroom is how many bytes of records can still be appended without new disk
// space. Whoever sequences writes refuses them while it is low, and lets
// deletions through.
func (l *Log) Headroom() int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.headroomLocked()
}

func (l *Log) headroomLocked() int64 {
	n := l.mu.active.room() - l.opts.reserve()
	for _, s := range l.mu.ready {
		n += freshRoom(s.size)
	}
	return max(n, 0)
}

// Starved reports that the last attempt to prepare a segment has failed: there is
// no more room than Headroom says until one succeeds.
func (l *Log) Starved() bool { return l.starved.Load() }

// MakeRoom tries now to have a segment ready behind the active one: to be called
// now and then while writes are refused for want of headroom, since the log has
// no timer of its own. It wraps base.ErrDiskFull while there is no space.
func (l *Log) MakeRoom() error {
	l.maint.Lock()
	defer l.maint.Unlock()
	l.mu.Lock()
	enough, err := len(l.mu.ready) > 0, l.mu.err
	if l.mu.closed {
		err = base.ErrClosed
	}
	l.mu.Unlock()
	if err != nil || enough {
		return err
	}
	return l.prepareOrCollect(0)
}
