package replica

import (
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// Whoever meets a lock (C4) gives back the range's lock and waits in a queue until
// the holder is gone. Who has waited for a while asks the holder's anchor how the
// transaction ended, ends it in this range if it has ended there, and settles it when
// it has waited for limits.LockAge: so nobody waits for a coordinator that is gone.

// Settler reaches the anchors of transactions over several ranges.
type Settler interface {
	// Fate asks the anchor how a transaction ended. The answer is committed, and that
	// of a leader (C9).
	Fate(t *prepared.Txn) (prepared.Status, base.Stamp, error)
	// Settle ends a transaction whose coordinator seems to be gone: the tombstone at
	// the anchor first, then every range. Somebody else may have ended it first.
	Settle(t *prepared.Txn) error
}

// How long somebody waits for a lock before the anchor is asked, and between two
// questions.
const (
	lockAskMin = 10 * time.Millisecond
	lockAskMax = 200 * time.Millisecond
)

// lockWaits are those who wait for locks. It is guarded by Replica.mu.
type lockWaits struct {
	queue  prepared.Queue
	last   prepared.WaiterID
	parked map[prepared.WaiterID]*lockWaiter
}

type lockWaiter struct {
	id   prepared.WaiterID
	gone chan struct{} // closed when it may ask again
}

func (l *lockWaits) park(holders []*prepared.Held) *lockWaiter {
	if l.parked == nil {
		l.parked = map[prepared.WaiterID]*lockWaiter{}
	}
	l.last++
	w := &lockWaiter{id: l.last, gone: make(chan struct{})}
	l.queue.Wait(w.id, holders)
	l.parked[w.id] = w
	return w
}

func (l *lockWaits) wake(ids []prepared.WaiterID) {
	for _, id := range ids {
		close(l.parked[id].gone)
		delete(l.parked, id)
	}
}

// released wakes those who waited for the locks of a transaction only.
func (l *lockWaits) released(id prepared.TxnID) { l.wake(l.queue.Gone(id)) }

// drain wakes everybody: this replica leads no more.
func (l *lockWaits) drain() { l.wake(l.queue.Drain()) }

func (l *lockWaits) cancel(w *lockWaiter) {
	l.queue.Cancel(w.id)
	delete(l.parked, w.id)
}

func (w *lockWaiter) isGone() bool {
	select {
	case <-w.gone:
		return true
	default:
		return false
	}
}

// waitLocks gives the range's lock back and waits until the holders are gone, or until
// it is known that the snapshot at, if there is one, passes one of them.
func (a *Attempt) waitLocks(holders []*prepared.Held, at base.Stamp) error {
	a.split = true
	if a.prompt {
		a.unlock()
		return base.ErrWouldWait
	}
	w := a.r.mu.waits.park(holders)
	a.unlock()
	err := a.attend(w, holders, at)
	a.r.mu.Lock()
	a.r.mu.waits.cancel(w)
	a.r.mu.Unlock()
	return err
}

// attend waits for w, and looks after the holders meanwhile.
func (a *Attempt) attend(w *lockWaiter, holders []*prepared.Held, at base.Stamp) error {
	began := a.r.o.Clock.Elapsed()
	for pause := lockAskMin; ; pause = min(2*pause, lockAskMax) {
		if gone, err := a.r.pauseLock(w, pause); gone || err != nil {
			return err
		}
		waited := a.r.o.Clock.Elapsed() - began
		for _, h := range holders {
			passed, err := a.r.lookAfter(h, at, waited)
			if err != nil {
				return err
			}
			if passed {
				a.pass(h.ID)
				return nil
			}
		}
	}
}

// pauseLock waits for a while; gone reports whether w may ask again.
func (r *Replica) pauseLock(w *lockWaiter, d time.Duration) (gone bool, err error) {
	switch {
	case r.o.Pause != nil:
		if !w.isGone() {
			r.pause(PointLocked)
		}
		return w.isGone(), nil
	case r.o.Manual:
		return false, errors.Wrap(base.ErrConflict, "a transaction over several ranges holds a lock")
	}
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-w.gone:
		return true, nil
	case <-t.C:
		return false, nil
	}
}

// lookAfter asks how the transaction of a holder ended, on behalf of a reader at the
// snapshot at, or of somebody who needs the newest state. If it has ended at its
// anchor, it ends here. passed reports that the snapshot does not see it (C5).
func (r *Replica) lookAfter(h *prepared.Held, at base.Stamp, waited time.Duration) (passed bool, err error) {
	if r.o.Settler == nil {
		return false, nil
	}
	status, commit, err := r.o.Settler.Fate(&h.Txn)
	switch {
	case err != nil: // the anchor's range has no leader, say: go on waiting
		return false, nil
	case status == prepared.Forgotten:
		return false, r.alarm(h)
	case status == prepared.Committed && at != 0 && commit > at:
		return true, nil
	case status != prepared.Undecided:
		_, _, err := r.Resolve(&prepared.Resolve{ID: h.ID, Begin: h.Begin, Commit: commit})
		return false, err
	case waited >= limits.LockAge:
		_ = r.o.Settler.Settle(&h.Txn) // it is tried again
	}
	return false, nil
}

// alarm: a transaction is held here and its anchor remembers nothing of it, unless it
// was settled while the anchor was asked (C10).
func (r *Replica) alarm(h *prepared.Held) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.mu.tenure == nil || r.mu.seq.Table().Held(h.ID) == nil {
		return nil
	}
	return errors.AssertionFailedf("range %d holds transaction %s, begun at %d, which its anchor has forgotten", r.o.Range, h.ID, h.Begin)
}

// pass remembers that a snapshot does not see a transaction.
func (a *Attempt) pass(id prepared.TxnID) {
	if a.passed == nil {
		a.passed = map[prepared.TxnID]bool{}
	}
	a.passed[id] = true
}

// stopsSnapshot reports whether a write lock stops the attempt's reads: not one that
// was prepared after the snapshot, and not one that ends after it.
func (a *Attempt) stopsSnapshot(h *prepared.Held) bool {
	return !a.passed[h.ID] && (h.Stamp == 0 || h.Stamp <= a.at)
}

// unlockedKey waits until a read of key passes the locks. The range's lock is held;
// again means that it was given back, and that the attempt has to look again.
func (a *Attempt) unlockedKey(key []byte) (again bool, err error) {
	table := a.r.mu.seq.Table()
	if table.Empty() || a.r.o.Faults.ReadIgnoresLocks {
		return false, nil
	}
	if a.at != 0 {
		return a.passLocks([][]byte{key}, nil)
	}
	if h := table.StopsKey(key); h != nil {
		if a.r.o.Faults.PassUndecided {
			return a.passUndecided(h)
		}
		return true, a.waitLocks([]*prepared.Held{h}, 0)
	}
	return false, nil
}

// passLocks is unlockedKey for a snapshot (C5).
func (a *Attempt) passLocks(keys [][]byte, spans []base.Span) (again bool, err error) {
	ask, wait := a.r.mu.seq.Table().StopsSnapshot(a.at, a.r.mu.seq.ClosedPosition(), keys, spans)
	if wait != 0 {
		return true, a.wait(wait)
	}
	for _, h := range ask {
		if a.passed[h.ID] {
			continue
		}
		return true, a.askAnchor(h)
	}
	return false, nil
}

// askAnchor asks before it waits: most transactions that a snapshot meets are just
// being resolved.
func (a *Attempt) askAnchor(h *prepared.Held) error {
	a.unlock()
	passed, err := a.r.lookAfter(h, a.at, 0)
	if passed {
		a.pass(h.ID)
	}
	if passed || err != nil {
		return err
	}
	if err := a.enter(); err != nil {
		return err
	}
	if a.r.mu.seq.Table().Held(h.ID) == nil {
		a.unlock()
		return nil
	}
	return a.waitLocks([]*prepared.Held{h}, a.at)
}

// unlockedSpan cuts the page that was read down to what lies before the first lock.
// again means that it begins with one, which was waited for.
func (a *Attempt) unlockedSpan(reverse bool) (again bool, err error) {
	table := a.r.mu.seq.Table()
	if table.Empty() || a.r.o.Faults.ReadIgnoresLocks {
		return false, nil
	}
	stop := a.stopsSnapshot
	if a.at == 0 {
		stop = func(*prepared.Held) bool { return true }
	}
	free, h := table.Unlocked(a.page.Span, reverse, stop)
	if h == nil {
		return false, nil
	}
	if !free.Empty() {
		a.page.Cut(free)
		return false, nil
	}
	switch closed := a.r.mu.seq.ClosedPosition(); {
	case a.at == 0:
		return true, a.waitLocks([]*prepared.Held{h}, 0)
	case h.Stamp != 0:
		return true, a.askAnchor(h)
	case h.Pos <= closed:
		return true, a.wait(h.Pos)
	}
	a.pass(h.ID) // of the open batch: its stamp will be above the snapshot's
	return true, nil
}
