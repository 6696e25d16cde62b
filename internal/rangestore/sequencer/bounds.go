package sequencer

import (
	"bytes"

	"github.com/cockroachdb/errors"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// bounds is what a range holds: span by its log, own of that while a split is on
// its way, or a freeze, or while it is frozen: nothing. Every range holds its
// range-local keys.
type bounds struct {
	span, own base.Span
	all       bool // own is the whole keyspace: nothing has to be compared
	closed    bool // a change of the range was appended, and is not applied
	frozen    bool
}

var everything = keyspace.All()

// SetBounds says what the range holds from now on, unless it is frozen. A change that
// was on its way is applied, or void.
func (b *bounds) SetBounds(span base.Span) {
	b.span, b.closed = span, false
	if b.frozen {
		span = base.Span{}
	}
	b.hold(span)
}

// SetFrozen says whether the range is frozen, see SetBounds.
func (b *bounds) SetFrozen(frozen bool) {
	b.frozen = frozen
	b.SetBounds(b.span)
}

func (b *bounds) hold(own base.Span) {
	b.own = own
	b.all = bytes.Equal(own.Start, everything.Start) && bytes.Equal(own.End, everything.End)
}

// Changing reports whether a change of the range is on its way.
func (b *bounds) Changing() bool { return b.closed }

// Frozen reports whether the range is frozen, or a freeze is on its way.
func (b *bounds) Frozen() bool { return b.own.Empty() && !b.span.Empty() }

// All reports whether the range is the whole keyspace.
func (b *bounds) All() bool { return b.all }

// Holds reports whether key lies inside the range.
func (b *bounds) Holds(key []byte) bool {
	return b.all || b.own.Contains(key) || len(key) > 0 && key[0] == keyspace.RangeLocal
}

// HoldsSpan reports whether span lies inside the range.
func (b *bounds) HoldsSpan(span base.Span) bool {
	return b.all || bytes.Compare(b.own.Start, span.Start) <= 0 && bytes.Compare(span.End, b.own.End) <= 0 || span.Empty()
}

// HoldsReads reports whether everything that was read lies inside the range.
func (b *bounds) HoldsReads(keys [][]byte, spans []base.Span) bool {
	if b.all {
		return true
	}
	for _, k := range keys {
		if !b.Holds(k) {
			return false
		}
	}
	for _, s := range spans {
		if !b.HoldsSpan(s) {
			return false
		}
	}
	return true
}

// Owns reports whether every mutation lies inside the range. Every stamp that is
// still to come is above after.
func (b *bounds) Owns(muts []base.Mutation, after base.Stamp) bool {
	for i := range muts {
		m := &muts[i]
		in := false
		switch m.Op {
		case base.OpClearRange, base.OpTouch:
			in = b.own.Contains(m.Key) && bytes.Compare(m.Value, b.own.End) <= 0
		case base.OpSetVersionstampedKey:
			in = b.all || b.ownsStamped(m.Key, after)
		default:
			in = b.own.Contains(m.Key)
		}
		if !in {
			return false
		}
	}
	return true
}

// ownsStamped reports whether a versionstamped key lands inside the range whatever
// its stamp will be.
func (b *bounds) ownsStamped(key []byte, after base.Stamp) bool {
	template, off, ok := base.VersionstampOffset(key)
	if !ok {
		return b.own.Contains(key) // refused later, as what it is
	}
	low, high := bytes.Clone(template), bytes.Clone(template)
	least := base.MakeVersionstamp(after+1, 0)
	copy(low[off:], least[:])
	for i := range least {
		high[off+i] = 0xFF
	}
	return b.own.Contains(low) && b.own.Contains(high)
}

// Change appends a change of the range. A split gives up the right side, a freeze all.
func (s *Sequencer) Change(x batch.Change) (base.Position, error) {
	if _, thaw := x.(batch.Thaw); s.Busy() || s.frozen != thaw {
		return 0, errors.AssertionFailedf("change %T of a range that is closed: %v, frozen: %v", x, s.closed, s.frozen)
	}
	own := s.own
	switch x := x.(type) {
	case batch.Split:
		if !s.own.Contains(x.Key) || bytes.Equal(s.own.Start, x.Key) {
			return 0, errors.AssertionFailedf("split at %q of [%q, %q)", x.Key, s.own.Start, s.own.End)
		}
		own.End = bytes.Clone(x.Key)
	case batch.Freeze:
		own = base.Span{}
	}
	s.begin()
	s.b.AddChange(x)
	s.win.SetBuffer(s.b.Buf)
	s.closed = true
	s.hold(own)
	return s.pos, nil
}

// Skip makes the positions go on behind pos, if they do not: those of a range that was
// merged. Nothing is speculative.
func (s *Sequencer) Skip(pos base.Position) {
	if s.pos < pos {
		s.pos = pos
		s.win.Skip(pos)
	}
}
