package store

import (
	"bytes"
	"slices"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/rangestore/replica"
)

// seat is a range's place among the others of the store.
type seat struct {
	span base.Span
	r    *replica.Replica
}

// arrange makes the table of the ranges anew.
func (s *Store) arrange() {
	s.mu.Lock()
	defer s.mu.Unlock()
	table := make([]seat, 0, len(s.mu.ranges))
	only := (*replica.Replica)(nil)
	for _, r := range s.mu.ranges {
		span := r.Descriptor().Span
		if !span.Empty() {
			table = append(table, seat{span, r})
		}
		all := keyspace.All()
		if len(s.mu.ranges) == 1 && (span.Empty() || bytes.Equal(span.Start, all.Start) && bytes.Equal(span.End, all.End)) {
			only = r
		}
	}
	slices.SortFunc(table, func(a, b seat) int { return bytes.Compare(a.span.Start, b.span.Start) })
	s.table.Store(&table)
	s.only.Store(only)
	s.arranged.Add(1)
}

// Only is the replica of the whole keyspace; nil where there are several ranges.
func (s *Store) Only() *replica.Replica { return s.only.Load() }

// Arrangement is another number whenever ranges have come, gone or changed their bounds.
func (s *Store) Arrangement() uint64 { return s.arranged.Load() }

// Range is this store's replica of the range that holds key, nil if there is none. The
// first range holds the empty key.
func (s *Store) Range(key []byte) *replica.Replica {
	if r := s.only.Load(); r != nil {
		return r
	}
	if len(key) == 0 {
		key = metaStart
	}
	table := *s.table.Load()
	i, found := slices.BinarySearchFunc(table, key, func(x seat, key []byte) int { return bytes.Compare(x.span.Start, key) })
	if !found {
		i--
	}
	if i < 0 || !table[i].span.Contains(key) {
		return nil
	}
	return table[i].r
}

// covered reports whether a replica of another range than id holds key.
func (s *Store) covered(id base.RangeID, key []byte) bool {
	return s.overlaps(id, base.KeySpan(key))
}

// claim reports whether a snapshot may be installed: no other range here holds, or is
// about to hold, any of its keys, but for those of which it proves that they were
// merged. It may be one from before a split of which the right side is here already; a
// later one will fit.
func (s *Store) claim(m *replica.Message) bool {
	d := &m.Snapshot.State.Range
	id, span := m.Range, d.Span
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.overlapsLocked(id, span, d) {
		s.o.Log.Info("snapshot does not fit", "range", id, "start", keyspace.Pretty(span.Start), "end", keyspace.Pretty(span.End))
		return false
	}
	s.mu.claims[id] = span
	m.Snapshot.Done = func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.mu.claims, id)
	}
	return true
}

func (s *Store) overlaps(id base.RangeID, span base.Span) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.overlapsLocked(id, span, nil)
}

// overlapsLocked: of the others those do not count that a snapshot of d makes an end of.
func (s *Store) overlapsLocked(id base.RangeID, span base.Span, d *base.RangeDescriptor) bool {
	for other, r := range s.mu.ranges {
		if o := r.Descriptor(); other != id && o.Span.Overlaps(span) && (d == nil || !o.Superseded(d) || s.wantedLocked(&o, d)) {
			return true
		}
	}
	for other, claimed := range s.mu.claims {
		if other != id && claimed.Overlaps(span) {
			return true
		}
	}
	return false
}

// A tombstone stands where a replica of a range was, in place of its state: a range
// without keys and replicas. Whoever comes with an id that is not above it is too late.

func tombstone(id base.RangeID, self base.ReplicaID) replica.State {
	return replica.State{Range: base.RangeDescriptor{ID: id, NextReplica: self + 1}}
}

// buryMerged is the tombstone of a range that was merged: nobody comes with any id.
func buryMerged(id base.RangeID) replica.State { return tombstone(id, mergedID-1) }

// mergedID is above every id that a replica has.
const mergedID = ^base.ReplicaID(0)

// merged reports whether a replica of a range was here and was merged.
func (s *Store) merged(id base.RangeID) (bool, error) { return s.buried(id, mergedID-1) }

func isTombstone(st *replica.State) bool { return len(st.Range.Replicas) == 0 && st.Range.Span.Empty() }

// buried reports whether a replica of a range was here and is gone.
func (s *Store) buried(id base.RangeID, self base.ReplicaID) (bool, error) {
	st, found, err := s.state.RangeState(id)
	if err != nil || !found {
		return false, err
	}
	state, err := decodeState(st)
	return err == nil && isTombstone(&state) && self < state.Range.NextReplica, err
}
