package replica

import (
	"slices"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/prepared"
)

// passUndecided is the bug that Faults.PassUndecided plants: the anchor is asked, and what
// it has not decided yet is taken for what comes later (C4).
func (a *Attempt) passUndecided(h *prepared.Held) (again bool, err error) {
	if a.passed[h.ID] {
		return false, nil
	}
	a.split = true
	a.unlock()
	if status, _, err := a.r.o.Settler.Fate(&h.Txn); err == nil && status == prepared.Undecided {
		a.pass(h.ID)
		return true, nil
	}
	if err := a.enter(); err != nil {
		return false, err
	}
	if a.r.mu.seq.Table().Held(h.ID) == nil {
		a.unlock()
		return true, nil
	}
	return true, a.waitLocks([]*prepared.Held{h}, 0)
}

// swapStamp is the bug that Faults.SwapStamps plants: of two batches the later one gets the
// stamp that was issued first.
func (r *Replica) swapStamp(issued base.Stamp) base.Stamp {
	if earlier := r.loop.swapped; earlier != 0 {
		r.loop.swapped = 0
		return earlier
	}
	r.loop.swapped = issued
	later, err := r.o.Oracle.Next()
	if err != nil {
		return issued
	}
	return later
}

// unpassed are the holders that an attempt has not passed.
func (a *Attempt) unpassed(holders []*prepared.Held) []*prepared.Held {
	return slices.DeleteFunc(slices.Clone(holders), func(h *prepared.Held) bool { return a.passed[h.ID] })
}
