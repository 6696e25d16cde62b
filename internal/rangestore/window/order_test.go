package window

import (
	"fmt"
	"testing"

	"pgregory.net/rapid"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/rangestore/batch"
)

// catchUp puts some keys in order; when that was all, a scan finds nothing left to do.
func (m *model) catchUp() {
	reverse := rapid.Bool().Draw(m.t, "reverse")
	span := base.Span{Start: []byte(rapid.SampledFrom(keys).Draw(m.t, "from")), End: []byte(rapid.SampledFrom(keys).Draw(m.t, "to") + "0")}
	limit := rapid.IntRange(1, 3).Draw(m.t, "limit")
	if span.Empty() || !m.w.CatchUp(span, 0, reverse, limit, rapid.IntRange(0, 2).Draw(m.t, "n")) {
		return
	}
	before := m.fresh()
	var p Page
	m.w.Scan(&p, span, 0, reverse, limit)
	if n := m.fresh(); n != before || m.w.order.next < m.w.ring.next {
		m.t.Fatalf("a scan has put %d keys in order that CatchUp has forgotten", before-n)
	}
}

func (m *model) fresh() (n int) {
	for _, b := range m.w.order.buckets {
		n += len(b.fresh)
	}
	return n
}

// TestOrderAfterDrop: a version that is the newest again is found, although it had left its
// place in the order to the one behind it.
func TestOrderAfterDrop(t *testing.T) {
	w := New(0, 0)
	var b batch.Builder
	for i := range 2 {
		n := w.Open(base.Position(i))
		b.Reset(0)
		b.Begin()
		r := b.Add(base.OpSet, []byte("key"), []byte("value"))
		w.SetBuffer(b.Buf)
		w.Add(r, base.Position(i+1))
		w.SetStamp(n, base.Stamp(i+1))
		w.SetIndex(n, base.LogIndex(i+1))
	}
	w.Commit(1)
	span := base.Span{Start: []byte("a"), End: []byte("z")}
	if w.CatchUp(span, 0, false, 1, 1) {
		t.Fatal("two versions are put in order in one step")
	}
	w.DropTail()
	if err := w.Check(); err != nil {
		t.Fatal(err)
	}
	var p Page
	if w.Scan(&p, span, 0, false, 1); len(p.Items) != 1 {
		t.Errorf("%d items", len(p.Items))
	}
}

// TestCatchUpAfterEviction: what was evicted before any scan came is no work.
func TestCatchUpAfterEviction(t *testing.T) {
	w := New(0, 0)
	var b batch.Builder
	write := func(i int) {
		n := w.Open(base.Position(i))
		b.Reset(0)
		b.Begin()
		r := b.Add(base.OpSet, fmt.Appendf(nil, "key%06d", i), []byte("value"))
		w.SetBuffer(b.Buf)
		w.Add(r, base.Position(i+1))
		w.SetStamp(n, base.Stamp(i+1))
		w.SetIndex(n, base.LogIndex(i+1))
		w.Commit(n)
	}
	for i := range 1000 {
		write(i)
	}
	w.Seal()
	ev, _ := w.BeginEvict()
	for !w.Plan(ev, 100) {
	}
	for !w.FinishEvict(ev, 100) {
	}
	write(1000)
	if !w.CatchUp(base.Span{Start: []byte("a"), End: []byte("z")}, 0, false, 1, 2) {
		t.Error("one key is put in order in more than one step")
	}
	if err := w.Check(); err != nil {
		t.Error(err)
	}
}
