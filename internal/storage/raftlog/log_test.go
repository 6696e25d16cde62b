package raftlog

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/cockroachdb/pebble/v2/vfs"

	"github.com/stratadb/strata/internal/base"
)

var testStore = base.StoreID{1, 2, 3}

// counter is a Random that differs from call to call and is the same in every run.
func counter() func() uint64 {
	n := uint64(0)
	return func() uint64 { n++; return n * 0x9E3779B97F4A7C15 }
}

func testOptions(fs vfs.FS) Options {
	return Options{
		FS: fs, Dir: "log", StoreID: testStore, Inline: true, Random: counter(),
		SegmentBytes: 64 << 10, FirstSegmentBytes: 16 << 10, CacheBytes: 4 << 10,
	}
}

func mustOpen(t testing.TB, o Options) *Log {
	t.Helper()
	l, err := Open(o)
	if err != nil {
		t.Fatalf("open: %+v", err)
	}
	return l
}

func must(t testing.TB, err error) {
	t.Helper()
	if err != nil {
		t.Fatalf("%+v", err)
	}
}

func entries(first base.LogIndex, term base.Term, n, size int) []Entry {
	var es []Entry
	for i := range n {
		index := first + base.LogIndex(i)
		data := bytes.Repeat([]byte{byte(index), byte(term)}, size/2+1)[:size]
		es = append(es, Entry{Term: term, Index: index, Type: uint8(index % 3), Data: data})
	}
	return es
}

// checkEntries compares everything that the view of r returns with want.
func checkEntries(t testing.TB, l *Log, r base.RangeID, want []Entry) {
	t.Helper()
	g := l.Group(r)
	if len(want) == 0 {
		if g.LastIndex()+1 != g.FirstIndex() {
			t.Fatalf("range %d: [%d,%d], want empty", r, g.FirstIndex(), g.LastIndex())
		}
		return
	}
	got, err := g.Entries(nil, want[0].Index, want[len(want)-1].Index+1, 1<<40)
	must(t, err)
	if g.FirstIndex() != want[0].Index || g.LastIndex() != want[len(want)-1].Index || len(got) != len(want) {
		t.Fatalf("range %d: [%d,%d] %d entries, want [%d,%d]", r, g.FirstIndex(), g.LastIndex(), len(got),
			want[0].Index, want[len(want)-1].Index)
	}
	size := int64(0)
	for i := range want {
		if size += int64(len(want[i].Data)); g.SizeTo(want[i].Index) != size || g.SizeTo(want[0].Index-1) != 0 {
			t.Fatalf("range %d: %d bytes up to entry %d, want %d", r, g.SizeTo(want[i].Index), want[i].Index, size)
		}
		if got[i].Term != want[i].Term || got[i].Index != want[i].Index || got[i].Type != want[i].Type ||
			!bytes.Equal(got[i].Data, want[i].Data) {
			t.Fatalf("range %d: entry %d differs: %d/%d", r, want[i].Index, got[i].Term, got[i].Index)
		}
	}
}

func TestAppendReopen(t *testing.T) {
	fs := vfs.NewMem()
	l := mustOpen(t, testOptions(fs))
	a, b := entries(1, 1, 100, 1000), entries(1, 2, 5, 10)
	for i := range a {
		must(t, l.Append(Write{Range: 7, Entries: a[i : i+1], HardState: &HardState{Term: 1, Vote: 3, Commit: base.LogIndex(i)}}))
		must(t, l.Flush())
	}
	must(t, l.Append(Write{Range: 8, Entries: b}))
	checkEntries(t, l, 8, b) // not flushed yet
	must(t, l.Flush())
	for range 3 {
		checkEntries(t, l, 7, a)
		checkEntries(t, l, 8, b)
		if hs, ok := l.Group(7).HardState(); !ok || hs != (HardState{Term: 1, Vote: 3, Commit: 99}) {
			t.Fatalf("hard state %+v %t", hs, ok)
		}
		must(t, l.Close())
		l = mustOpen(t, testOptions(fs))
	}
	must(t, l.Close())
}

// TestLargeEntry: an entry above the segment size gets a segment of its own.
func TestLargeEntry(t *testing.T) {
	for _, inline := range []bool{true, false} {
		t.Run(fmt.Sprint(inline), func(t *testing.T) {
			fs := vfs.NewMem()
			o := testOptions(fs)
			o.Inline = inline
			o.Random = nil
			l := mustOpen(t, o)
			a := append(entries(1, 1, 3, 100), entries(4, 1, 1, 300<<10)...)
			a = append(a, entries(5, 1, 3, 30<<10)...)
			must(t, l.Append(Write{Range: 1, Entries: a}))
			must(t, l.Flush())
			checkEntries(t, l, 1, a)
			must(t, l.Close())
			l = mustOpen(t, o)
			checkEntries(t, l, 1, a)
			must(t, l.Close())
		})
	}
}
