package replica

import "sync/atomic"

// Budget divides the memory of a store's windows among its ranges. A range may use what
// the others leave. When there is not enough, those shrink, and later wait, that use more
// than an equal part of it; of ranges that use something, one always does.
type Budget struct {
	limit  int64
	used   atomic.Int64
	active atomic.Int64 // ranges that use something
}

// NewBudget is a budget of so many bytes.
func NewBudget(limit int64) *Budget { return &Budget{limit: limit} }

// Used is how much of it the windows hold, as of their last batches.
func (b *Budget) Used() int64 { return b.used.Load() }

// exceeded reports whether all together use more than limit and a range with own bytes,
// told of which are counted already, more than its part.
func (b *Budget) exceeded(own, told, limit int64) bool {
	return b.used.Load()+own-told > limit && own > limit/max(1, b.active.Load())
}

// budgeted is what a budget has been told of a range.
type budgeted struct{ bytes int64 }

func (u *budgeted) tell(b *Budget, bytes int64) {
	if bytes == u.bytes {
		return
	}
	switch {
	case u.bytes == 0:
		b.active.Add(1)
	case bytes == 0:
		b.active.Add(-1)
	}
	b.used.Add(bytes - u.bytes)
	u.bytes = bytes
}

// accountLocked tells the budget what the window holds.
func (r *Replica) accountLocked() {
	bytes := r.mu.win.Bytes()
	if r.mu.stopped {
		bytes = 0
	}
	r.mu.budgeted.tell(r.o.Windows, bytes)
}

// pressedLocked reports whether the window must shrink whatever the clock says,
// which may have been set back.
func (r *Replica) pressedLocked() bool {
	b := r.o.Windows
	return b.exceeded(r.mu.win.Bytes(), r.mu.budgeted.bytes, b.limit*3/4)
}

// overfullLocked reports whether the range's writers must wait for it to shrink.
func (r *Replica) overfullLocked() bool {
	b := r.o.Windows
	return b.exceeded(r.mu.win.Bytes(), r.mu.budgeted.bytes, b.limit)
}
