package kvrange

import (
	"bytes"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/cluster/coordinator"
	"github.com/stratadb/strata/internal/keyspace"
	"github.com/stratadb/strata/internal/kv"
)

// atHome puts what guards any commit in the place of a request's fence: with one range
// that costs nothing.
func (a *attempt) atHome(req *kv.CommitRequest) {
	a.guards = append(append(a.guards[:0], req.Guards...), req.Fence.Home()...)
	req.Guards, req.Fence = a.guards, nil
}

// fencedIn is fenced for what lies in the range of a leg and in the fence's area, as nearly
// everything does. It answers false where that is not so.
func (m *several) fencedIn(l *leg, req *kv.CommitRequest) (bool, error) {
	piece := l.span.Clip(req.Fence.Area())
	if len(req.Guards) > 0 || first(l.span) || piece.Empty() || !inside(req, piece) {
		return false, nil
	}
	w := req.Fence.At(piece.Start)
	if w == nil {
		return false, base.ErrConflict
	}
	m.guards = append(m.guards[:0], w)
	req.Guards, req.Fence = m.guards, nil
	return true, nil
}

// first reports whether a range is the one in which fences have their home.
func first(s base.Span) bool { return bytes.Compare(s.Start, keyspace.SplitMin()) < 0 }

// fenced puts a watch in the place of a request's fence: if everything lies in the
// fence's area, one in a range that the transaction has to do with. Every watch that a
// fence offers guards the whole transaction, so a range that is another one by now
// costs a second range, or another attempt, and nothing else. It answers ErrConflict
// when the fence has no such watch.
func (m *several) fenced(req *kv.CommitRequest) error {
	guards := append(m.guards[:0], req.Guards...)
	at, within, err := m.fenceKey(req)
	switch {
	case err != nil:
		return err
	case !within:
		guards = append(guards, req.Fence.Home()...)
	default:
		w := req.Fence.At(at)
		if w == nil {
			return base.ErrConflict
		}
		guards = append(guards, w)
	}
	m.guards = guards
	req.Guards, req.Fence = guards, nil
	return nil
}

// fenceKey is the first key of the fence's area in the range of a key that the
// transaction has written, or has read. Nothing but the fence's home will do
// (within is false) for what has to do with other keys than those of the area, or
// with the first range, where the home lies. While a leg may hold its range's lock,
// nobody is asked.
func (m *several) fenceKey(req *kv.CommitRequest) (at []byte, within bool, err error) {
	area := req.Fence.Area()
	if len(req.Mutations)+len(req.ReadKeys)+len(req.ReadSpans) == 0 || !inside(req, area) {
		return nil, false, nil
	}
	key := someKey(req)
	span := base.Span{}
	for _, l := range m.legs[:m.live] {
		if l.span.Contains(key) {
			span = l.span
		}
	}
	if span.Empty() {
		if m.live > 0 && !m.wide {
			return nil, false, nil
		}
		if span, err = m.e.ranges.Span(key); err != nil {
			return nil, false, err
		}
	}
	if first(span) {
		return nil, false, nil
	}
	if bytes.Compare(span.Start, area.Start) > 0 {
		return span.Start, true, nil
	}
	return area.Start, true, nil
}

// inside reports whether a transaction has nothing to do with what lies outside of span.
func inside(req *kv.CommitRequest, span base.Span) bool {
	for _, k := range req.ReadKeys {
		if !span.Contains(k) {
			return false
		}
	}
	for _, s := range req.ReadSpans {
		if !s.Empty() && (!span.Contains(s.Start) || bytes.Compare(s.End, span.End) > 0) {
			return false
		}
	}
	for i := range req.Mutations {
		if !coordinator.Inside(&req.Mutations[i], span) {
			return false
		}
	}
	return true
}
