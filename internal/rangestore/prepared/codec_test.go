package prepared

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"reflect"
	"testing"

	"github.com/stratadb/strata/internal/base"
	"github.com/stratadb/strata/internal/limits"
)

func sampleTxn(id string) Txn {
	return Txn{ID: idOf(id), Begin: 1 << 50, Priority: 7, Anchor: []byte("k"),
		Participants: []base.Span{{Start: []byte("a"), End: []byte("b")}, {Start: []byte("k"), End: []byte("z")}}}
}

// sampleEntries are one of each kind.
func sampleEntries() []Entry {
	stamped, _ := mutationOf([]string{"stamped-key", "v", ""})
	return []Entry{
		&Prepare{Txn: sampleTxn("t"), ReadStamp: 300, ReadKeys: [][]byte{[]byte("r"), []byte("s")},
			ReadSpans: []base.Span{{Start: []byte(""), End: []byte("q")}},
			Mutations: []base.Mutation{
				{Op: base.OpSet, Key: []byte("k"), Value: []byte("value")},
				{Op: base.OpClearRange, Key: []byte("l"), Value: []byte("m")},
				{Op: base.OpClear, Key: []byte("n"), Value: []byte{}}, stamped}},
		&Record{Txn: sampleTxn("t"), Commit: 9},
		&Resolve{ID: idOf("t"), Begin: 5, Commit: 9},
		&Settled{ID: idOf("t")},
		&Retain{Refuse: 1 << 40, Forget: 4},
	}
}

func TestEntries(t *testing.T) {
	for _, e := range sampleEntries() {
		b := e.Append([]byte("x"))[1:]
		got, err := Decode(b)
		if err != nil || !reflect.DeepEqual(got, e) {
			t.Errorf("%T: %+v, %v", e, got, err)
		}
		for n := range b {
			if _, err := Decode(b[:n]); err == nil {
				t.Errorf("%T: %d of %d bytes are enough", e, n, len(b))
			}
		}
		if _, err := Decode(append(bytes.Clone(b), 0)); err == nil {
			t.Errorf("%T: a byte behind it is accepted", e)
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	with := func(change func(p *Prepare)) []byte {
		p := sampleEntries()[0].(*Prepare)
		change(p)
		return p.Append(nil)
	}
	for name, b := range map[string][]byte{
		"format":           {2, byte(kindSettled)},
		"kind":             {formatVersion, 77},
		"zero id":          append([]byte{formatVersion, byte(kindSettled)}, make([]byte, 16)...),
		"announced length": append([]byte{formatVersion, byte(kindPrepare)}, bytes.Repeat([]byte{0xFF}, 40)...),
		"empty span":       with(func(p *Prepare) { p.ReadSpans[0] = base.Span{Start: []byte("b"), End: []byte("a")} }),
		"empty key":        with(func(p *Prepare) { p.ReadKeys[0] = nil }),
		"long key":         with(func(p *Prepare) { p.ReadKeys[0] = make([]byte, limits.KeyBytes+5) }),
		"operation":        with(func(p *Prepare) { p.Mutations[0].Op = base.OpAdd }),
		"offset": with(func(p *Prepare) {
			p.Mutations[0] = base.Mutation{Op: base.OpSetVersionstampedKey, Key: []byte("k\xFF\xFF\xFF\xFF")}
		}),
		"long number": {formatVersion, byte(kindRetain), 0x81, 0x00, 0},
	} {
		if e, err := Decode(b); err == nil {
			t.Errorf("%s: %+v", name, e)
		}
	}
}

func FuzzDecode(f *testing.F) {
	for _, e := range sampleEntries() {
		f.Add(e.Append(nil))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		e, err := Decode(b)
		if err != nil {
			return
		}
		if !bytes.Equal(e.Append(nil), b) {
			t.Fatalf("%+v has two forms", e)
		}
		table := New()
		effect, err := table.Apply(1, e)
		if err == nil && effect.Released != nil {
			t.Fatal("an empty table has released something")
		}
		table.SetStamp(1, 9)
		table.Commit(1)
		again, err := DecodeTable(table.Append(nil))
		if err != nil || !bytes.Equal(again.Append(nil), table.Append(nil)) {
			t.Fatalf("%+v: %v", e, err)
		}
	})
}

func FuzzDecodeTable(f *testing.F) {
	f.Add(New().Append(nil))
	table := New()
	for i, e := range sampleEntries()[:2] {
		if _, err := table.Apply(base.Position(i+1), e); err != nil {
			f.Fatal(err)
		}
	}
	table.SetStamp(9, 9)
	table.Commit(9)
	f.Add(table.Append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		table, err := DecodeTable(b)
		if err != nil {
			return
		}
		if !bytes.Equal(table.Append(nil), b) {
			t.Fatal("the table has two forms")
		}
		table.Clone().DropTail()
		for _, h := range table.HeldBefore(^base.Stamp(0)) {
			table.release(h)
		}
		if n := len(table.locks.points) + table.locks.order.Len() + table.locks.fragments.Len(); n != 0 {
			t.Fatalf("%d locks remain", n)
		}
	})
}

// TestIndex compares the index with a plain search, and with itself after a split
// and a merge, over random locks.
func TestIndex(t *testing.T) {
	rnd := rand.New(rand.NewPCG(1, 2))
	key := func() []byte { return []byte{byte('a' + rnd.IntN(20))} }
	span := func() base.Span {
		s := base.Span{Start: key(), End: key()}
		if s.Empty() {
			s.End = base.Next(s.Start)
		}
		return s
	}
	table, pos := New(), base.Position(0)
	for i := range 4000 {
		pos++
		p := &Prepare{Txn: sampleTxn("t" + string(rune('0'+i%60))), ReadStamp: 1}
		p.Begin = base.Stamp(100 + i)
		for range rnd.IntN(3) {
			p.ReadKeys = append(p.ReadKeys, key())
			p.ReadSpans = append(p.ReadSpans, span())
		}
		for range rnd.IntN(3) {
			s := span()
			p.Mutations = append(p.Mutations, base.Mutation{Op: base.OpSet, Key: key()},
				base.Mutation{Op: base.OpTouch, Key: s.Start, Value: s.End})
		}
		comparePlain(t, table, p)
		if h := table.held[p.ID]; h != nil {
			if _, err := table.Apply(pos, &Resolve{ID: p.ID, Begin: p.Begin}); err != nil {
				t.Fatal(err)
			}
			delete(table.fates, p.ID)
		} else if len(table.stops(p)) == 0 {
			if _, err := table.Apply(pos, p); err != nil {
				t.Fatal(err)
			}
		}
		if err := table.check(); err != nil {
			t.Fatal(err)
		}
		if i%7 == 0 {
			table.SetStamp(pos, base.Stamp(pos))
			table.Commit(pos)
			table = splitAndMerge(t, table, key())
		} else if i%11 == 0 {
			table.DropTail()
		}
	}
}

// comparePlain asks who stops p, and the same of all held prepares one by one.
func comparePlain(t *testing.T, table *Table, p *Prepare) {
	t.Helper()
	compareUnlocked(t, table, p)
	met := table.stops(p)
	for _, h := range table.held {
		conflict := false
		mine := spansOf(&Held{Prepare: *p})
		for _, a := range mine {
			for _, b := range spansOf(h) {
				conflict = conflict || (a.write || b.write) && a.span.Overlaps(b.span)
			}
		}
		found := false
		for _, x := range met {
			found = found || x == h
		}
		if found != conflict {
			t.Fatalf("%s meets %s: %v, want %v", p.ID, h.ID, found, conflict)
		}
	}
}

// compareUnlocked asks how far a scan of what p has read gets, in both directions.
func compareUnlocked(t *testing.T, table *Table, p *Prepare) {
	t.Helper()
	spans := append(spansOf(&Held{Prepare: *p}), plainLock{span: base.Span{Start: []byte("a"), End: []byte("z")}})
	for _, s := range spans {
		for _, reverse := range []bool{false, true} {
			want, blocked := s.span, false
			for _, h := range table.held {
				for _, l := range spansOf(h) {
					switch {
					case !l.write || !l.span.Overlaps(s.span):
						continue
					case reverse && bytes.Compare(l.span.End, want.Start) > 0:
						want.Start = l.span.End
					case !reverse && bytes.Compare(l.span.Start, want.End) < 0:
						want.End = l.span.Start
					}
					blocked = true
				}
			}
			if want.Empty() {
				want = base.Span{}
			}
			free, holder := table.Unlocked(s.span, reverse, func(*Held) bool { return true })
			if !bytes.Equal(free.Start, want.Start) || !bytes.Equal(free.End, want.End) || (holder != nil) != blocked {
				t.Fatalf("[%q, %q), reverse %v: free [%q, %q), holder %v; want [%q, %q), %v", s.span.Start, s.span.End, reverse,
					free.Start, free.End, holder, want.Start, want.End, blocked)
			}
			if _, holder := table.Unlocked(s.span, reverse, func(*Held) bool { return false }); holder != nil {
				t.Fatal("a holder that stops nobody is reported")
			}
		}
	}
}

type plainLock struct {
	span  base.Span
	write bool
}

func spansOf(h *Held) (list []plainLock) {
	_ = h.locks(
		func(k []byte, write bool) error { list = append(list, plainLock{base.KeySpan(k), write}); return nil },
		func(s base.Span, write bool) error { list = append(list, plainLock{s, write}); return nil })
	return list
}

// splitAndMerge must leave the same locks behind.
func splitAndMerge(t *testing.T, table *Table, at []byte) *Table {
	t.Helper()
	before := stopped(table)
	left, right, err := table.Split(at)
	if err != nil {
		t.Fatal(err)
	}
	for side, part := range map[string]*Table{"left": left, "right": right} {
		if err := part.check(); err != nil {
			t.Fatalf("%s: %v", side, err)
		}
	}
	merged, err := Merge(left, right)
	if err != nil {
		t.Fatal(err)
	}
	if after := stopped(merged); after != before {
		t.Fatalf("split at %s and merged:\n%s\nwas\n%s", at, after, before)
	}
	return merged
}

// stopped says, key by key, who stops a write and who stops a read.
func stopped(t *Table) string {
	out := ""
	for c := byte('a'); c < 'a'+22; c++ {
		key := []byte{c}
		out += fmt.Sprintf("%s: %s, %s\n", key, holders(t.StopsWrite([]base.Mutation{{Op: base.OpSet, Key: key}})),
			holders(t.StopsRead([][]byte{key}, nil)))
	}
	return out
}

func TestEmptyCostsNothing(t *testing.T) {
	table, muts := New(), []base.Mutation{{Op: base.OpSet, Key: []byte("k")}}
	key := [][]byte{[]byte("k")}
	if n := testing.AllocsPerRun(100, func() {
		if table.StopsWrite(muts) != nil || table.StopsRead(key, nil) != nil {
			t.Fatal("somebody is stopped")
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkStops(b *testing.B) {
	table := New()
	muts, key := []base.Mutation{{Op: base.OpSet, Key: []byte("k")}}, [][]byte{[]byte("k")}
	b.Run("empty", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = table.StopsWrite(muts)
		}
	})
	if _, err := table.Apply(1, sampleEntries()[0]); err != nil {
		b.Fatal(err)
	}
	b.Run("held", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			_ = table.StopsRead(key, nil)
		}
	})
}
