package replica

import (
	"context"
	"sync/atomic"
	"time"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
	"github.com/stratadb/strata/internal/rangestore/window"
)

// A slice is sealed early when it has that many entries or bytes.
const (
	sliceEntries = 32 << 10
	sliceBytes   = 8 << 20
)

// evictEntries is how many entries are planned or forgotten before others get the
// range's lock; pausedEntries, where a simulator decides who goes on.
const (
	evictEntries  = 128
	pausedEntries = 3
)

// evictor moves slices that leave the window to disk.
type evictor struct {
	kick      chan struct{}
	lastSeal  base.Stamp // belongs to the loop
	evictPart int        // how many entries at a time
	asleep    atomic.Bool
}

func (e *evictor) init(paused bool) {
	e.kick, e.evictPart = make(chan struct{}, 1), evictEntries
	if paused {
		e.evictPart = pausedEntries
	}
}

// applied tells of a committed batch. It runs in the loop.
func (e *evictor) applied(stamp base.Stamp) {
	if e.asleep.Load() && e.asleep.Swap(false) {
		e.wake()
	}
	if stamp.Millis()-e.lastSeal.Millis() < limits.WindowSlice.Milliseconds()/4 {
		return
	}
	e.lastSeal = stamp
	e.wake()
}

// wake makes the evictor look at once.
func (e *evictor) wake() {
	select {
	case e.kick <- struct{}{}:
	default:
	}
}

// RunEvictor evicts until ctx ends. now is the wall clock as a stamp: a range
// that nobody writes to empties its window, too, and costs nothing then.
func (r *Replica) RunEvictor(ctx context.Context, now func() base.Stamp) {
	tick := time.NewTicker(limits.WindowSlice)
	defer tick.Stop()
	for {
		ticks := tick.C
		if r.rests() {
			tick.Stop()
			ticks = nil
		}
		select {
		case <-ctx.Done():
			return
		case <-ticks:
		case <-r.kick:
		}
		if ticks == nil {
			tick.Reset(limits.WindowSlice)
		}
		if err := r.Evict(now()); err != nil {
			r.o.OnFatal(err)
			return
		}
	}
}

// rests reports whether there is nothing to evict until something is applied, which
// wakes the evictor then.
func (r *Replica) rests() bool {
	r.evictor.asleep.Store(true)
	r.mu.Lock()
	empty := r.mu.win.Empty()
	r.mu.Unlock()
	if !empty {
		r.evictor.asleep.Store(false)
	}
	return empty
}

// Evict seals the newest slice if it is due and writes to disk what has left
// the window at the time now.
func (r *Replica) Evict(now base.Stamp) error {
	r.settleDue()
	for {
		r.mu.Lock()
		r.sealLocked(now)
		r.mu.Unlock()
		if !r.due(now) {
			return nil
		}
		if _, err := r.evictOne(); err != nil {
			return err
		}
	}
}

func (r *Replica) sealLocked(now base.Stamp) {
	win := r.mu.win
	_, last := win.Sealed()
	entries, bytes := win.Unsealed()
	if now.Millis()-last.Millis() >= limits.WindowSlice.Milliseconds() || entries >= sliceEntries || bytes >= sliceBytes ||
		r.pressedLocked() {
		win.Seal()
	}
}

// idleAfter is how long nothing was applied when a range counts as idle.
const idleAfter = time.Second

// leaves reports whether a slice that ended at end leaves the window: when it is older than
// age, or while the range is written to, last at logged, than keep. What is overwritten
// until then never reaches the disk.
func leaves(now, end, logged base.Stamp, age, keep time.Duration) bool {
	old := time.Duration(now.Millis()-end.Millis()) * time.Millisecond
	quiet := time.Duration(now.Millis()-logged.Millis())*time.Millisecond > idleAfter
	return old > keep || old > age && quiet
}

func (r *Replica) due(now base.Stamp) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	end, ok := r.mu.win.OldestSealed()
	if !ok {
		return false
	}
	return leaves(now, end, r.mu.logged, r.o.WindowAge, r.o.WindowKeep) || r.pressedLocked()
}

// evictOne writes the oldest slice to disk and drops it.
func (r *Replica) evictOne() (bool, error) {
	r.lockEviction()
	defer r.unlockEviction()
	r.mu.Lock()
	cutting := r.mu.cutting
	r.mu.Unlock()
	if cutting {
		return false, nil // by a split or merge that was not completed: the next start repeats it
	}
	return r.evictOldest(r.write)
}

func (r *Replica) write(ev *window.Eviction, s *State) error { return r.o.Disk.Write(ev, *s) }

// evictOldest evicts the oldest slice by way of write. The caller keeps others from
// evicting.
func (r *Replica) evictOldest(write func(*window.Eviction, *State) error) (bool, error) {
	r.lockSoon()
	ev, ok := r.mu.win.BeginEvict()
	if !ok {
		r.mu.Unlock()
		return false, nil
	}
	for !r.mu.win.Plan(ev, r.evictPart) {
		r.letOthers()
	}
	desc := r.descriptorLocked(ev.Applied)
	table, err := r.tableLocked(ev.Applied)
	r.mu.Unlock()
	if err != nil {
		return false, err
	}
	s := State{Range: desc, Applied: ev.Applied, Position: ev.Position, Stamp: ev.Stamp, Readable: ev.Readable, Table: table}
	// The mirror moves first: a snapshot reader that finds the disk newer than
	// its stamp must see afterwards that it is too old.
	r.raiseBase(ev.Stamp)
	r.pause(PointEvicting)
	if err := write(ev, &s); err != nil {
		return false, errors.Wrap(err, "evict")
	}
	r.pause(PointEvicted)
	r.lockSoon()
	r.mu.onDisk = s
	r.evictions.Add(1) // before the first entry goes: what was read from disk before may be older
	for !r.mu.win.FinishEvict(ev, r.evictPart) {
		r.letOthers()
	}
	r.accountLocked()
	r.mu.Unlock()
	r.room.Broadcast()
	return true, nil
}

// raiseBase refuses snapshots below s from now on.
func (r *Replica) raiseBase(s base.Stamp) {
	for {
		old := r.baseStamp.Load()
		if old >= uint64(s) || r.baseStamp.CompareAndSwap(old, uint64(s)) {
			return
		}
	}
}

// EvictAll writes everything committed to disk. It is called when the loop and
// the evictor have ended, so that the next start has nothing to replay.
func (r *Replica) EvictAll() error {
	for {
		r.mu.Lock()
		r.mu.win.Seal()
		r.mu.Unlock()
		if more, err := r.evictOne(); err != nil || !more {
			return err
		}
	}
}

// Settle moves everything that is applied to disk, the last index included. Nobody
// drives the replica meanwhile.
func (r *Replica) Settle() error {
	if err := r.EvictAll(); err != nil {
		return err
	}
	return r.settleEmpty()
}
