package replica

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
)

// Access is a read or write that was picked to stand for many: of one key, with an end
// of nil, or of a span. The span of a write reaches over all keys of its transaction,
// which a cut in between would make one over two ranges.
type Access struct {
	Start, End []byte
	Write      bool
}

// Metered is what a range has done since its replica was opened, and the accesses that
// were picked since they were last asked for.
type Metered struct {
	// Transactions are all that have read or written something, Writes those that have
	// written, and Bytes what they have written. Clears are the keys that they have
	// removed; a span counts as many.
	Transactions, Writes, Bytes, Clears uint64
	Trail                               []Access
	// Descriptor is the range's, Term that of the leader's spell; zero: this replica does
	// not serve.
	Descriptor base.RangeDescriptor
	Term       base.Term
}

const (
	// trailMax bounds the accesses that are kept until somebody asks.
	trailMax = 64
	// spanClears is for how many keys the removal of a span counts.
	spanClears = 100
	// pickFirst is how many transactions one stands for until somebody says better.
	pickFirst = 16
)

// meter counts on the hot path, under the range's lock.
type meter struct {
	transactions, writes, bytes, clears uint64
	every, left                         uint64
	trail                               []Access
}

// Meter reads the meter, and takes the trail. From now on one transaction of every is
// picked; zero leaves that as it is.
func (r *Replica) Meter(every uint64) (m Metered) {
	r.mu.Lock()
	defer r.mu.Unlock()
	t := &r.mu.meter
	m = Metered{Transactions: t.transactions, Writes: t.writes, Bytes: t.bytes, Clears: t.clears, Trail: t.trail, Descriptor: r.mu.desc}
	if r.mu.tenure != nil {
		m.Term = r.mu.tenure.term
	}
	t.trail = nil
	if every != 0 && every != t.every {
		t.every, t.left = every, every
	}
	return m
}

// countLocked counts a transaction, and reports whether it is picked.
func (t *meter) countLocked() bool {
	t.transactions++
	if t.left > 1 {
		t.left--
		return false
	}
	if t.every == 0 {
		t.every = pickFirst
	}
	t.left = t.every
	return len(t.trail) < trailMax
}

// count counts the attempt at its first access, with the range's lock held.
func (a *Attempt) count() {
	if !a.counted {
		a.counted = true
		a.picked = a.r.mu.meter.countLocked()
	}
}

// read counts a read of a key, with the range's lock held.
func (a *Attempt) read(key []byte) {
	a.count()
	if a.picked && !a.shown {
		a.shown = true
		a.followed(key, nil, false)
	}
}

// extent is how far a scan has come.
type extent struct {
	span base.Span
	last []byte // that was visited
	over bool   // the visitor has seen enough
}

func (e *extent) watch(visit func(key, value []byte) bool) func(key, value []byte) bool {
	return func(key, value []byte) bool {
		e.last = append(e.last[:0], key...)
		e.over = !visit(key, value)
		return !e.over
	}
}

// scanned counts a scan's extent as one read.
func (a *Attempt) scanned(e *extent, reverse bool) {
	span := e.span
	switch {
	case e.over && reverse:
		span.Start = e.last
	case e.over:
		span.End = base.Next(e.last)
	}
	a.shown = true
	if !a.locked {
		a.r.mu.Lock()
		defer a.r.mu.Unlock()
	}
	a.followed(span.Start, span.End, false)
}

// followed puts an access of a picked attempt on the trail: one read and one write of
// each at most. The range's lock is held.
func (a *Attempt) followed(start, end []byte, write bool) {
	if t := &a.r.mu.meter; len(t.trail) < trailMax {
		t.trail = append(t.trail, Access{Start: bytes.Clone(start), End: bytes.Clone(end), Write: write})
	}
}

// wrote counts what was sequenced. The range's lock is held.
func (a *Attempt) wrote(muts []base.Mutation, size int) {
	t := &a.r.mu.meter
	t.writes++
	t.bytes += uint64(size)
	for i := range muts {
		switch muts[i].Op {
		case base.OpClear, base.OpCompareAndClear:
			t.clears++
		case base.OpClearRange:
			t.clears += spanClears
		}
	}
	if !a.picked || len(muts) == 0 {
		return
	}
	start, end := reach(muts)
	a.followed(start, end, true)
}

// reach is the span of all keys that mutations write; the end is nil for one key.
func reach(muts []base.Mutation) (start, end []byte) {
	for i := range muts {
		m := &muts[i]
		last := []byte(nil)
		if m.Op == base.OpClearRange || m.Op == base.OpTouch {
			last = m.Value
		}
		if i == 0 {
			start, end = m.Key, last
			continue
		}
		if end == nil && (last != nil || !bytes.Equal(m.Key, start)) {
			end = base.Next(start)
		}
		if last == nil && end != nil {
			last = base.Next(m.Key)
		}
		if bytes.Compare(m.Key, start) < 0 {
			start = m.Key
		}
		if bytes.Compare(last, end) > 0 {
			end = last
		}
	}
	return start, end
}
