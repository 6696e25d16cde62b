package replica

import (
	"sync"
	"sync/atomic"

	"github.com/stratadb/strata/internal/base"
)

// tenure is one spell of leadership, as seen by those who wait for its positions.
type tenure struct {
	term      base.Term
	kick      func()
	committed atomic.Uint64
	mu        struct {
		sync.Mutex
		waiting []waiting
		ended   bool
	}
}

var _ base.Log = (*tenure)(nil)

type waiting struct {
	pos base.Position
	w   base.Waiter
}

func newTenure(term base.Term, committed base.Position, kick func()) *tenure {
	t := &tenure{term: term, kick: kick}
	t.committed.Store(uint64(committed))
	return t
}

// Committed implements base.Log.
func (t *tenure) Committed() base.Position { return base.Position(t.committed.Load()) }

// Kick implements base.Log.
func (t *tenure) Kick() { t.kick() }

// Notify implements base.Log.
func (t *tenure) Notify(pos base.Position, w base.Waiter) bool {
	t.mu.Lock()
	if t.Committed() >= pos {
		t.mu.Unlock()
		return false
	}
	if t.mu.ended {
		t.mu.Unlock()
		w.Committed(base.ErrUnknownOutcome)
		return true
	}
	t.mu.waiting = append(t.mu.waiting, waiting{pos, w})
	t.mu.Unlock()
	return true
}

// advance moves the committed position and wakes whom it serves. woken is
// memory to reuse; the slice is returned for the next call.
func (t *tenure) advance(pos base.Position, woken []base.Waiter) []base.Waiter {
	woken = woken[:0]
	t.mu.Lock()
	t.committed.Store(uint64(pos))
	kept := t.mu.waiting[:0]
	for _, x := range t.mu.waiting {
		if x.pos <= pos {
			woken = append(woken, x.w)
		} else {
			kept = append(kept, x)
		}
	}
	clear(t.mu.waiting[len(kept):])
	t.mu.waiting = kept
	t.mu.Unlock()
	for i, w := range woken {
		w.Committed(nil)
		woken[i] = nil
	}
	return woken
}

// end tells everybody who still waits that the outcome is unknown.
func (t *tenure) end() {
	t.mu.Lock()
	lost := t.mu.waiting
	t.mu.waiting, t.mu.ended = nil, true
	t.mu.Unlock()
	for _, x := range lost {
		x.w.Committed(base.ErrUnknownOutcome)
	}
}
